/** `--set path=value` and input values laid over a file before it is compiled. */
import { child, parseYaml, textNode, type YMap, type YNode } from './document.js';
import { nearest, type Place, type Problems } from './problems.js';

const place = (input: string): Place => ({ file: input, line: 1, column: 1, input });

/** Applies lines `jobs.train.compute=azureml:gpu`. Values are YAML (numbers, lists, mappings); a path may end in a new key. */
export function applyOverrides(root: YMap, overrides: readonly string[], problems: Problems): void {
  const known = stepsOf(root)?.entries;
  const before = new Set(known?.keys());
  for (const override of overrides) {
    const where = place(`override ${JSON.stringify(override)}`);
    const split = override.indexOf('=');
    const keys = split < 0 ? [] : parsePath(override.slice(0, split).trim());
    if (keys.length === 0) {
      problems.add(where, 'This is no override.', 'jobs.train.compute=azureml:gpu');
      continue;
    }
    const value = readValue(override.slice(split + 1).trim(), where, problems);
    if (value) put(root, keys, value, where, problems);
  }
  if (before.size > 0) refuseHalfSteps(root, before, problems);
}

const stepsOf = (root: YMap): YMap | undefined => {
  const jobs = child(root, 'jobs');
  return jobs?.kind === 'map' ? jobs : undefined;
};

/** A step that only overrides speak of, and that none of them says what to run: its name is a typing error, not a step that lacks a lot. */
function refuseHalfSteps(root: YMap, before: ReadonlySet<string>, problems: Problems): void {
  const steps = stepsOf(root)?.entries;
  for (const [name, { key, value }] of steps ?? []) {
    if (before.has(name) || value.kind !== 'map' || ['type', 'component', 'command'].some((one) => value.entries.has(one)))
      continue;
    const near = nearest(name, [...before]);
    problems.add(key.place, `The job has no step ${name}.${near ? ` Did you mean ${near}?` : ''}`, [...before].join(', '));
    steps?.delete(name);
  }
}

function parsePath(text: string): string[] {
  return text
    .replace(/\[(\d+)\]/g, '.$1')
    .split('.')
    .filter((key) => key !== '');
}

function readValue(text: string, where: Place, problems: Problems): YNode | undefined {
  // `azureml:x:1` and `${{…}}` are text although YAML would read a mapping.
  if (text === '' || /^(azureml:|file:|[a-z]+:\/\/|\$\{\{)/i.test(text)) return textNode(text, where);
  const problem = problems.list.length;
  const node = parseYaml(text, where.file, problems);
  if (problems.list.length > problem) {
    problems.list.length = problem;
    return textNode(text, where);
  }
  return node && relocate(node, where);
}

function relocate(node: YNode, where: Place): YNode {
  node.place = where;
  if (node.kind === 'seq') node.items.forEach((item) => relocate(item, where));
  if (node.kind === 'map')
    for (const { key, value } of node.entries.values()) [key, value].forEach((item) => relocate(item, where));
  return node;
}

function put(root: YMap, keys: readonly string[], value: YNode, where: Place, problems: Problems): void {
  let at: YNode = root;
  for (const [index, key] of keys.entries()) {
    const last = index === keys.length - 1;
    if (at.kind === 'seq') {
      const position = Number(key);
      if (!Number.isInteger(position) || position > at.items.length) {
        problems.add(where, `There is no item ${key} in the list ${keys.slice(0, index).join('.')}.`, `0 to ${at.items.length}`);
        return;
      }
      if (last) at.items[position] = value;
      else {
        const next: YNode = at.items[position] ?? { kind: 'map', entries: new Map(), place: where };
        at.items[position] = next;
        at = next;
      }
    } else if (at.kind === 'map') {
      if (last) {
        at.entries.set(key, { key: at.entries.get(key)?.key ?? textNode(key, where), value });
        return;
      }
      let next: YNode | undefined = at.entries.get(key)?.value;
      if (!next || (next.kind === 'scalar' && next.type === 'null')) {
        next = { kind: 'map', entries: new Map(), place: where };
        at.entries.set(key, { key: textNode(key, where), value: next });
      }
      at = next;
    } else {
      problems.add(
        where,
        `${keys.slice(0, index).join('.')} is not a mapping, so ${keys.slice(index).join('.')} cannot be set in it.`,
      );
      return;
    }
  }
}

/** Gives inputs their values. The text is kept as written; an input with a path keeps its type and mode. */
export function applyInputs(root: YMap, inputs: Readonly<Record<string, string>>, problems: Problems): void {
  const names = Object.keys(inputs);
  if (names.length === 0) return;
  const declared = root.entries.get('inputs')?.value;
  const existing: YMap = declared?.kind === 'map' ? declared : { kind: 'map', entries: new Map(), place: root.place };
  const component = root.entries.has('component');
  for (const name of names) {
    const where = place(`input ${name}`);
    const text = inputs[name] ?? '';
    const entry = existing.entries.get(name);
    if (!entry && !component) {
      const known = [...existing.entries.keys()];
      const near = nearest(name, known);
      problems.add(
        where,
        `The job has no input ${name}${known.length === 0 ? '; its file declares none' : ''}.${near ? ` Did you mean ${near}?` : ''}`,
        known.join(', ') || undefined,
      );
      continue;
    }
    const value = text.startsWith('{') ? readValue(text, where, problems) : textNode(text, where);
    if (!value) continue;
    if (entry?.value.kind === 'map' && value.kind === 'scalar' && !entry.value.entries.has('value')) {
      entry.value.entries.set('path', { key: textNode('path', where), value });
    } else existing.entries.set(name, { key: entry?.key ?? textNode(name, where), value });
  }
  root.entries.set('inputs', { key: root.entries.get('inputs')?.key ?? textNode('inputs', root.place), value: existing });
}
