/** `${{ }}` in scalars: segments, directives, and the expression that a scalar stands for. */
import { checkSyntax } from '../expressions/evaluate.js';
import { ExpressionError } from '../expressions/values.js';

type Segment = { literal: string } | { expression: string };

const open = '${{';

/** Splits a scalar; the scan for `}}` respects quotes. @throws ExpressionError when an expression is not closed */
export function segments(text: string): Segment[] {
  const found: Segment[] = [];
  let index = 0;
  for (;;) {
    const start = text.indexOf(open, index);
    if (start < 0) break;
    if (start > index) found.push({ literal: text.slice(index, start) });
    let inString = false;
    let end = -1;
    for (let i = start + open.length; i < text.length && end < 0; i++) {
      if (text[i] === "'") inString = !inString;
      else if (!inString && text[i] === '}' && text[i + 1] === '}') end = i;
    }
    if (end < 0) {
      throw new ExpressionError(
        'The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found.',
      );
    }
    found.push({ expression: text.slice(start + open.length, end).trim() });
    index = end + 2;
  }
  if (index < text.length) found.push({ literal: text.slice(index) });
  return found;
}

export function hasExpression(text: string): boolean {
  return text.includes(open);
}

/** The expression of a scalar that is exactly one `${{ }}`. */
export function loneExpression(parts: readonly Segment[]): string | undefined {
  const [only] = parts;
  return parts.length === 1 && only && 'expression' in only ? only.expression : undefined;
}

/** What a mixed scalar means: `format('text {0}', x)`; messages repeat this text. */
export function formatExpression(parts: readonly Segment[]): string {
  const args: string[] = [];
  const pattern = parts.map((part) => {
    if ('literal' in part) return part.literal.replaceAll("'", "''").replaceAll('{', '{{').replaceAll('}', '}}');
    args.push(part.expression);
    return `{${args.length - 1}}`;
  });
  return `format('${pattern.join('')}'${args.map((arg) => `, ${arg}`).join('')})`;
}

export type Directive =
  { kind: 'if' | 'elseif'; condition: string } | { kind: 'else' | 'insert' } | { kind: 'each'; name: string; collection: string };

/**
 * Reads a directive (keyword in lower case only).
 * @returns undefined when the expression is none; `if` and `elseif` with a wrong number of words are none either
 * @throws ExpressionError for a wrong number of words after else, each and insert
 */
export function directive(expression: string): Directive | undefined {
  const match = /^(if|elseif|else|each|insert)(?=\s|$)/.exec(expression);
  if (!match) return undefined;
  const keyword = match[1] as Directive['kind'];
  const rest = expression.slice(keyword.length);
  const found = words(rest);
  if (keyword === 'if' || keyword === 'elseif') {
    if (found.length === 0 || (found.length > 1 && !parses(rest))) return undefined;
    return { kind: keyword, condition: rest.trim() };
  }
  const expected = keyword === 'each' ? 3 : 0;
  if (found.length !== expected) {
    throw new ExpressionError(
      `Exactly ${expected} parameter(s) were expected following the directive '${keyword}'. Actual parameter count: ${found.length}`,
    );
  }
  if (keyword !== 'each') return { kind: keyword };
  const [name = '', word, collection = ''] = found;
  if (word !== 'in') {
    // the service writes one brace
    throw new ExpressionError(
      `The value '${word ?? ''}' is unexpected. The expected format of an 'each' expression is: \${ each <identifier> in <value> }`,
    );
  }
  return /^[A-Za-z_]\w*$/.test(name) ? { kind: 'each', name, collection } : undefined;
}

function parses(text: string): boolean {
  try {
    checkSyntax(text);
    return true;
  } catch (error) {
    if (error instanceof ExpressionError) return false;
    throw error;
  }
}

/** Words separated by white space outside strings and parentheses. */
function words(text: string): string[] {
  const found: string[] = [];
  let word = '';
  let inString = false;
  let depth = 0;
  for (const character of text) {
    if (character === "'") inString = !inString;
    else if (!inString && character === '(') depth++;
    else if (!inString && character === ')') depth--;
    if (/\s/.test(character) && !inString && depth === 0) {
      if (word !== '') found.push(word);
      word = '';
    } else word += character;
  }
  if (word !== '') found.push(word);
  return found;
}

/** @throws ExpressionError for a syntax error in any expression of the scalar, each told in its own text */
export function checkScalar(text: string): void {
  for (const part of segments(text)) if ('expression' in part) checkSyntax(part.expression);
}
