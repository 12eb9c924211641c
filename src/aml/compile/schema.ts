/** A small schema language for the v2 YAML schemas: reads positioned YAML into values, and says what would be accepted. */
import { PyFloat } from './python.js';
import type { Tree, TreeObject } from './pending.js';
import { nearest, oneOf, Problems } from './problems.js';
import type { YMap, YNode, YScalar } from './document.js';
import { timeText } from './scalars.js';

export interface Reader {
  problems: Problems;
  /** Folder that relative paths start from. */
  base: string;
  /** Inside a pipeline node a `${{…}}` expression may stand for any scalar. */
  bindings: boolean;
  /** The key whose value is read, for messages. */
  key?: string;
}

export interface Field {
  /** For messages: "a whole number". */
  accepts: string;
  shape: 'map' | 'seq' | 'scalar' | 'any';
  /** Adds problems and gives undefined where the value is not acceptable. */
  read(node: YNode, reader: Reader): Tree;
  nullable?: boolean;
}

const BINDING = /\$\{\{\s*\S*\s*\}\}/;
export function isBinding(text: unknown): boolean {
  return typeof text === 'string' && BINDING.test(text);
}

function scalar(accepts: string, read: (node: YScalar) => Tree, hint = ''): Field {
  return {
    accepts,
    shape: 'scalar',
    read(node, reader) {
      if (node.kind === 'scalar' && node.type !== 'null') {
        if (reader.bindings && node.type === 'str' && isBinding(node.text)) return node.text;
        const value = read(node);
        if (value !== undefined) return value;
      }
      reader.problems.add(node.place, `${ofKey(reader)}${what(node)} is not ${accepts}${node.kind === 'scalar' ? hint : ''}.`);
      return undefined;
    },
  };
}

/** `command: `, so that a message names the key as well as the place. */
const ofKey = ({ key }: Reader): string => (key === undefined ? '' : `${key}: `);

/** How a message names a value. */
export function what(node: YNode): string {
  if (node.kind === 'map') return 'A mapping';
  if (node.kind === 'seq') return 'A list';
  if (node.type === 'null') return 'An empty value';
  const text = node.text.length > 60 ? `${node.text.slice(0, 57)}…` : node.text;
  const kinds = { int: 'The number', float: 'The number', bool: 'The boolean', timestamp: 'The date', str: 'The text' };
  return `${kinds[node.type]} ${JSON.stringify(text)}`;
}

/** Text. A bare number or `yes` is not text: it must be quoted. */
export const str: Field = scalar('text', (node) => (node.type === 'str' ? node.text : undefined), ' (put quotes around it)');

/** A whole number; text that is one is taken, a fraction is cut, as the client does. */
export const int: Field = scalar('a whole number', ({ type, value, text }) => {
  if (type === 'int') return value;
  if (value instanceof PyFloat && Number.isFinite(value.value)) return Math.trunc(value.value);
  return type === 'str' && /^\s*[-+]?\d[\d_]*\s*$/.test(text) ? Number(text.replaceAll('_', '')) : undefined;
});

export const float: Field = scalar('a number', ({ type, value, text }) => {
  if (value instanceof PyFloat) return value;
  if (type === 'int') return new PyFloat(Number(value));
  return type === 'str' && /^\s*[-+]?(\d[\d_]*\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$/.test(text)
    ? new PyFloat(Number(text.replaceAll('_', '')))
    : undefined;
});

/** A whole number and nothing else: no text, no fraction. */
export const scalarInt: Field = scalar('a whole number', ({ type, value }) => (type === 'int' ? value : undefined));

const FINITE = 'a finite number';
export const finite = (field: Field): Field => ({
  ...field,
  accepts: FINITE,
  read(node, reader) {
    const value = field.read(node, reader);
    if (!(value instanceof PyFloat) || Number.isFinite(value.value)) return value;
    reader.problems.add(node.place, 'The number is not finite.', FINITE);
    return undefined;
  },
});

/** A whole number or a fraction, kept as what it is. */
export const scalarNumber: Field = scalar('a number', ({ type, value }) =>
  type === 'int' || type === 'float' ? value : undefined,
);

const TRUE = new Set(['t', 'T', 'true', 'True', 'TRUE', 'on', 'On', 'ON', 'y', 'Y', 'yes', 'Yes', 'YES', '1']);
const FALSE = new Set(['f', 'F', 'false', 'False', 'FALSE', 'off', 'Off', 'OFF', 'n', 'N', 'no', 'No', 'NO', '0']);
export const bool: Field = scalar('true or false', ({ type, value, text }) => {
  if (type === 'bool') return value;
  return TRUE.has(text) ? true : FALSE.has(text) ? false : undefined;
});

/** A version: text, or a number that becomes text. */
export const version: Field = scalar('a version', (node) =>
  node.type === 'str' ? node.text : node.type === 'int' || node.type === 'float' ? node.text : undefined,
);

/** Int, float, text or boolean, kept as what it is. */
export const primitive: Field = scalar('text, a finite number or a boolean', ({ type, value }) =>
  type === 'timestamp' || (value instanceof PyFloat && !Number.isFinite(value.value)) ? undefined : value,
);

export const raw: Field = { accepts: 'anything', shape: 'any', nullable: true, read: (node) => rawValue(node) };

/** `$schema`: whatever it says is for editors; only an empty one is refused. */
export const schemaName: Field = { accepts: 'the address of a schema', shape: 'any', read: (node) => rawValue(node) };

/** The plain value of any YAML. A time is sent in UTC, without a zone as if it were, a day as it stands. */
export function rawValue(node: YNode): Tree {
  if (node.kind === 'scalar' && node.type === 'timestamp') return timeText(node.text);
  if (node.kind === 'seq') return node.items.map(rawValue);
  if (node.kind === 'map') return Object.fromEntries([...node.entries].map(([key, { value }]) => [key, rawValue(value)]));
  return node.value;
}

export const toSnake = (text: string): string =>
  text
    .replace(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replace(/([A-Z]+)([A-Z][a-z])/g, '$1_$2')
    .toLowerCase();

/** One of fixed words. `fold` says what is compared: as written, lower case, or camelCase turned into snake_case; the folded word is the value. */
export function words(values: readonly string[], fold: 'exact' | 'lower' | 'snake' = 'lower', keep = false): Field {
  const turn = fold === 'exact' ? (text: string) => text : fold === 'lower' ? (text: string) => text.toLowerCase() : toSnake;
  const accepted = values.map(turn);
  return {
    accepts: oneOf(accepted),
    shape: 'scalar',
    read(node, reader) {
      if (node.kind === 'scalar' && node.type === 'str') {
        if (reader.bindings && isBinding(node.text)) return node.text;
        if (accepted.includes(turn(node.text))) return keep ? node.text : turn(node.text);
      }
      const near = node.kind === 'scalar' ? nearest(node.text, accepted) : undefined;
      const hint = near ? ` Did you mean ${near}?` : '';
      reader.problems.add(node.place, `${ofKey(reader)}${what(node)} is not known here.${hint}`, oneOf(accepted));
      return undefined;
    },
  };
}

export function nullable(field: Field): Field {
  return { ...field, nullable: true };
}

/** Reads one member: an empty value is a problem unless the field allows it. */
export function readField(field: Field, node: YNode, reader: Reader): Tree {
  if (node.kind === 'scalar' && node.type === 'null') {
    if (field.nullable) return null;
    reader.problems.add(node.place, `${ofKey(reader)}The value is missing.`, field.accepts);
    return undefined;
  }
  return field.read(node, reader);
}

export function list(item: Field): Field {
  return {
    accepts: `a list of ${item.accepts}`,
    shape: 'seq',
    read(node, reader) {
      if (node.kind !== 'seq') {
        if (reader.bindings && node.kind === 'scalar' && isBinding(node.text)) return node.text;
        reader.problems.add(node.place, `${ofKey(reader)}${what(node)} is not a list.`, `a list of ${item.accepts}`);
        return undefined;
      }
      return node.items.map((member) => readField(item, member, reader));
    },
  };
}

/** YAML reads `yes:`, `on:` or `1:` as a boolean or number, which no name is. */
export function textKey(key: YScalar, problems: Problems): void {
  if (key.type !== 'str')
    problems.add(key.place, `The key ${key.text} is no text to YAML.`, `${JSON.stringify(key.text)}, in quotes`);
}

export function dict(value: Field): Field {
  return {
    accepts: 'a mapping',
    shape: 'map',
    read(node, reader) {
      if (node.kind !== 'map') {
        reader.problems.add(node.place, `${ofKey(reader)}${what(node)} is not a mapping.`, `a mapping to ${value.accepts}`);
        return undefined;
      }
      for (const { key } of node.entries.values()) textKey(key, reader.problems);
      return Object.fromEntries(
        [...node.entries].map(([key, entry]) => [key, readField(value, entry.value, { ...reader, key })]),
      );
    },
  };
}

export interface ObjectOptions {
  required?: readonly string[];
  /** What to do with keys that the schema does not have: refuse, take them as they are, or leave them out. */
  unknown?: 'refuse' | 'include' | 'drop';
  /** What the object is called in messages. */
  name?: string;
  /** Keys that are read elsewhere: known, but not in the result. */
  elsewhere?: readonly string[];
}

export function object(fields: Readonly<Record<string, Field>>, options: ObjectOptions = {}): Field {
  const name = options.name ?? 'a mapping';
  return {
    accepts: name,
    shape: 'map',
    read(node, reader) {
      if (node.kind !== 'map') {
        if (reader.bindings && node.kind === 'scalar' && isBinding(node.text)) return node.text;
        reader.problems.add(
          node.place,
          `${ofKey(reader)}${what(node)} is not ${name}.`,
          `a mapping with ${oneOf(Object.keys(fields))}`,
        );
        return undefined;
      }
      return readObject(node, fields, options, reader);
    },
  };
}

export function readObject(
  node: YMap,
  fields: Readonly<Record<string, Field>>,
  options: ObjectOptions,
  reader: Reader,
): TreeObject {
  const result: TreeObject = {};
  const known = [...Object.keys(fields), ...(options.elsewhere ?? [])];
  for (const [key, entry] of node.entries) {
    const field = Object.hasOwn(fields, key) ? fields[key] : undefined;
    if (field) {
      const value = readField(field, entry.value, { ...reader, key });
      if (value !== undefined) result[key] = value;
    } else if (!known.includes(key)) {
      if (options.unknown !== 'drop') textKey(entry.key, reader.problems);
      const near = nearest(key, known);
      const hint = near ? ` Did you mean ${near}?` : '';
      if (options.unknown === 'include') {
        if (near) reader.problems.warn(entry.key.place, `Unknown key ${key}, sent as it is.${hint}`);
        result[key] = rawValue(entry.value);
      } else if (options.unknown !== 'drop') {
        const place = options.name ? ` in ${options.name}` : '';
        reader.problems.add(entry.key.place, `Unknown key ${key}${place}.${hint}`, [...known].sort().join(', '));
      }
    }
  }
  for (const key of options.required ?? []) {
    if (!node.entries.has(key)) {
      const place = options.name ? ` of ${options.name}` : '';
      reader.problems.add(node.place, `The key ${key}${place} is missing.`, fields[key]?.accepts);
    }
  }
  return result;
}

/** The first alternative that takes the value; otherwise the problems of the one that fits best. */
export function union(...alternatives: Field[]): Field {
  const accepts = oneOf([...new Set(alternatives.map((field) => field.accepts))]);
  return {
    accepts,
    shape: 'any',
    read(node, reader) {
      let best: Problems | undefined;
      for (const field of alternatives) {
        const trial = new Problems();
        const value = readField(field, node, { ...reader, problems: trial });
        if (trial.list.length === 0) {
          for (const warning of trial.warnings) reader.problems.warnings.push(warning);
          return value;
        }
        if (field.shape === node.kind && (best === undefined || trial.list.length < best.list.length)) best = trial;
      }
      const fits = alternatives.filter((field) => field.shape === node.kind).length;
      if (best && (fits === 1 || node.kind !== 'scalar')) {
        for (const problem of best.list) reader.problems.add(problem.place, problem.message, problem.accepted);
      } else reader.problems.add(node.place, `${ofKey(reader)}${what(node)} is not accepted here.`, accepts);
      return undefined;
    },
  };
}

/** An object chosen by a member (`type`), so that its problems are told exactly. */
export function tagged(tag: string, variants: Readonly<Record<string, Field>>, fallback?: Field, fold = toSnake): Field {
  const names = Object.keys(variants);
  return {
    accepts: `a mapping with ${tag} ${oneOf(names)}`,
    shape: 'map',
    read(node, reader) {
      const chosen = node.kind === 'map' ? node.entries.get(tag)?.value : undefined;
      const name = chosen?.kind === 'scalar' ? fold(chosen.text) : undefined;
      const variant =
        name === undefined
          ? fallback
          : (variants[name] ?? (isBinding(chosen?.kind === 'scalar' ? chosen.text : '') ? fallback : undefined));
      if (variant) return variant.read(node, reader);
      if (node.kind !== 'map')
        reader.problems.add(
          node.place,
          `${ofKey(reader)}${what(node)} is not a mapping.`,
          `a mapping with ${tag} ${oneOf(names)}`,
        );
      else if (!chosen) reader.problems.add(node.place, `The key ${tag} is missing.`, oneOf(names));
      else {
        const near = nearest(name ?? '', names);
        reader.problems.add(
          chosen.place,
          `${what(chosen)} is not known here.${near ? ` Did you mean ${near}?` : ''}`,
          oneOf(names),
        );
      }
      return undefined;
    },
  };
}
