/** A YAML or JSON mapping of an input, with the text of its scalars kept as it was written. */
import { isAlias, isCollection, isMap, isScalar, parseDocument, LineCounter, type Node } from 'yaml';
import type { Mapped } from './inputs.js';

const largest = 256 * 1024;

/** `where` is empty or names line and column (1-based) in the input. */
export function readMapping(text: string): { values: Record<string, Mapped>; problems: { where: string; what: string }[] } {
  const values: Record<string, Mapped> = Object.create(null) as Record<string, Mapped>;
  if (text.length > largest) return { values, problems: [{ where: '', what: `it is longer than ${largest / 1024} KiB.` }] };
  const lineCounter = new LineCounter();
  const document = parseDocument(text, { lineCounter, version: '1.2', prettyErrors: false, uniqueKeys: true });
  const at = (offset: number | undefined) => {
    if (offset === undefined) return '';
    const { line, col } = lineCounter.linePos(offset);
    return `line ${line}, column ${col}: `;
  };
  const problems = document.errors.map((error) => ({ where: at(error.pos[0]), what: error.message }));
  if (problems.length > 0) return { values, problems };
  const root = document.contents;
  if (!isMap(root)) return { values, problems: [{ where: '', what: 'it is not a mapping.' }] };
  for (const pair of root.items) {
    const key = isScalar(pair.key) ? String(pair.key.source ?? pair.key.value) : undefined;
    const node = pair.value as Node | null;
    const where = at((isScalar(pair.key) ? pair.key.range : node?.range)?.[0]);
    if (key === undefined) problems.push({ where, what: 'a name must be plain text.' });
    else if (isAlias(node)) problems.push({ where, what: `${key}: anchors and aliases are not taken here.` });
    else values[key] = mapped(node);
  }
  return { values, problems };
}

function mapped(node: Node | null): Mapped {
  if (node === null) return { text: '', kind: 'null' };
  if (isCollection(node)) return { text: JSON.stringify(node.toJSON()), kind: 'json' };
  if (!isScalar(node)) return { text: '', kind: 'null' };
  const { value, source, type } = node;
  const plain = type === 'PLAIN';
  if (value === null) return { text: '', kind: 'null' };
  if (plain && (typeof value === 'number' || typeof value === 'bigint')) return { text: source ?? String(value), kind: 'number' };
  if (plain && typeof value === 'boolean') return { text: source ?? String(value), kind: 'boolean' };
  return { text: typeof value === 'string' ? value : (source ?? ''), kind: 'string' };
}
