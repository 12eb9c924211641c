/** The text of a gate -> its conditions, each with its place in that text (design §5: lines, or a YAML/JSON mapping). */
import { isMap, isScalar, LineCounter, parseDocument, type Scalar } from 'yaml';
import { Refusal } from './refusal.js';

export interface Condition {
  name: string;
  expression: string;
  /** Where the expression begins in the gate's text; 1-based. */
  line: number;
  column: number;
}

/** A name, then a colon: what a mapping begins with and no CEL expression does. */
const MAPPING = /^[ \t]*("(?:[^"\\]|\\.)+"|'[^']+'|[^<>=!&|?"'[\]{}()#:+*/%,\s][^<>=!&|?"'[\]{}()#:+*/%,]*)[ \t]*:(?:[ \t]|$)/;

/**
 * Conditions of a gate: one a line with an optional `# name`, or a mapping from name to condition.
 * Throws `Refusal` (`GateInvalid`) with line and column.
 */
export function parseConditions(text: string): Condition[] {
  const lines = text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/);
  const first = lines.find((line) => line.trim() !== '' && !line.trim().startsWith('#')) ?? '';
  if (first.trim().startsWith('{') || MAPPING.test(first)) return parseMapping(lines.join('\n'));
  return lines.flatMap((line, index) => {
    const { code, comment } = splitComment(line);
    const expression = code.trim();
    if (expression === '') return [];
    return [{ name: comment || expression, expression, line: index + 1, column: code.indexOf(expression) + 1 }];
  });
}

/** Cuts a line at the first `#` (or CEL's `//`) that stands outside of quotes. */
function splitComment(line: string): { code: string; comment: string } {
  let quote = '';
  for (let i = 0; i < line.length; i++) {
    const char = line[i]!;
    if (quote) {
      if (char === '\\') i++;
      else if (char === quote) quote = '';
    } else if (char === '"' || char === "'") quote = char;
    else if (char === '#' || (char === '/' && line[i + 1] === '/'))
      return { code: line.slice(0, i), comment: line.slice(i + (char === '#' ? 1 : 2)).trim() };
  }
  return { code: line, comment: '' };
}

function parseMapping(text: string): Condition[] {
  const counter = new LineCounter();
  const document = parseDocument(text, { lineCounter: counter, schema: 'core', uniqueKeys: true });
  const refuse = (message: string, offset: number): never => {
    const { line, col } = counter.linePos(offset);
    throw new Refusal(`The gate is not a mapping of names to conditions: ${message}`, {
      code: 'GateInvalid',
      input: 'gate',
      line,
      column: col,
    });
  };
  const problem = document.errors[0];
  if (problem) refuse(problem.message.split('\n')[0]!.replace(/ at line.*$/, ''), problem.pos[0]);
  const map = document.contents;
  if (!isMap(map)) return refuse('it is something else.', 0);
  return map.items.map(({ key, value }) => {
    const name = isScalar(key) ? String(key.value) : refuse('a name must be a text.', 0);
    const at = isScalar(key) ? (key.range?.[0] ?? 0) : 0;
    if (!isScalar(value) || typeof value.value !== 'string' || value.value.trim() === '')
      return refuse(`the condition "${name}" must be a text such as "accuracy >= 0.8".`, isScalar(value) ? value.range[0] : at);
    const offset = value.range[0] + (value.type?.startsWith('QUOTE') ? 1 : 0);
    const place = value.type?.startsWith('BLOCK') ? blockStart(text, value) : offset;
    const { line, col } = counter.linePos(place);
    return { name, expression: value.value.replace(/\n+$/, ''), line, column: col };
  });
}

/** Offset of the first character of a block scalar's text: after its header line and indentation. */
function blockStart(text: string, value: Scalar): number {
  const header = text.indexOf('\n', value.range![0]);
  const rest = /^[ \t\n]*/.exec(text.slice(header + 1));
  return header + 1 + (rest?.[0].length ?? 0);
}
