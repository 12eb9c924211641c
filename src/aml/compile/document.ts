/** YAML files with positions. Reads what PyYAML reads; refuses what no job file is (binary, huge, alias bombs). */
import { readFileSync, statSync } from 'node:fs';
import { isAlias, isMap, isScalar, isSeq, LineCounter } from 'yaml';
import type { Document, ParsedNode } from 'yaml';
import { MAX_DEPTH, openingOf, parseLeniently, strayTab, tooDeep, wordsOf } from './lenient.js';
import type { Tree } from './pending.js';
import { PyDate, PyFloat } from './python.js';
import { type Place, type Problems, shown } from './problems.js';
import { resolveScalar, resolveTagged, type ScalarType } from './scalars.js';

export interface YScalar {
  kind: 'scalar';
  type: ScalarType;
  value: string | number | boolean | null | PyFloat;
  /** As written, without quotes. */
  text: string;
  place: Place;
}
export interface YMap {
  kind: 'map';
  entries: Map<string, { key: YScalar; value: YNode }>;
  place: Place;
}
interface YSeq {
  kind: 'seq';
  items: YNode[];
  place: Place;
}
export type YNode = YScalar | YMap | YSeq;

const MAX_BYTES = 4 * 1024 * 1024;
const MAX_NODES = 1_000_000;
/** A broken file breaks in one place; what follows is noise. */
const MAX_ERRORS = 10;

/**
 * Reads a YAML file. In: absolute path; `at`: who asked for it. Out: its root node, or undefined after adding problems
 * (missing, a folder, too large, binary, not UTF-8, syntax errors with line and column, alias bomb, empty).
 */
export function loadYaml(file: string, problems: Problems, at?: Place): YNode | undefined {
  const start: Place = { file, line: 1, column: 1 };
  const asked = at ?? start;
  let text: string;
  try {
    const stat = statSync(file);
    if (stat.isDirectory()) return refuse(asked, `${shown(file)} is a folder.`, 'the path of a YAML file');
    if (!stat.isFile()) return refuse(asked, `${shown(file)} is not a regular file.`, 'the path of a YAML file');
    if (stat.size > MAX_BYTES) {
      const mb = (bytes: number) => `${(bytes / 2 ** 20).toFixed(bytes % 2 ** 20 === 0 ? 0 : 1)} MiB`;
      return refuse(asked, `${shown(file)} has ${mb(stat.size)}; that is no job file.`, `YAML of at most ${mb(MAX_BYTES)}`);
    }
    const bytes = readFileSync(file);
    if (isUtf16(bytes)) return refuse(asked, `${shown(file)} is text in UTF-16; save it as UTF-8.`, 'YAML text in UTF-8');
    if (bytes.includes(0)) return refuse(asked, `${shown(file)} is a binary file.`, 'YAML text in UTF-8');
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes).replace(/\r\n?/g, '\n');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (error instanceof TypeError && code === 'ERR_ENCODING_INVALID_ENCODED_DATA') {
      return refuse(asked, `${shown(file)} is not UTF-8 text.`, 'YAML text in UTF-8');
    }
    if (code === 'ENOENT' || code === 'ENOTDIR')
      return refuse(asked, `File not found: ${shown(file)}.`, 'the path of a file in the checkout');
    return refuse(asked, `${shown(file)} cannot be read (${code ?? String(error)}).`);
  }
  return parseYaml(text, file, problems);

  function refuse(place: Place, message: string, accepted?: string): undefined {
    problems.add(place, message, accepted);
    return undefined;
  }
}

/** Text as Windows tools save it: with its mark, or plain letters with a zero beside each. */
function isUtf16(bytes: Buffer): boolean {
  const [first, second] = [bytes[0] ?? 0, bytes[1] ?? 0];
  if ((first === 0xff && second === 0xfe) || (first === 0xfe && second === 0xff)) return true;
  const head = bytes.subarray(0, 512);
  if (head.length < 8 || head.length % 2 !== 0) return false;
  const isText = (at: number): boolean => {
    const byte = head[at] ?? 0;
    return byte === 9 || byte === 10 || byte === 13 || (byte >= 32 && byte < 127);
  };
  const pairs = [...Array(head.length / 2).keys()].map((pair) => pair * 2);
  return [0, 1].some((zero) => pairs.every((at) => head[at + zero] === 0 && isText(at + 1 - zero)));
}

/** Parses YAML text; `file` is for positions. */
export function parseYaml(text: string, file: string, problems: Problems): YNode | undefined {
  const lines = new LineCounter();
  const start: Place = { file, line: 1, column: 1 };
  const deep = tooDeep(text);
  if (deep !== undefined) {
    problems.add({ file, line: deep, column: 1 }, 'The file nests too deep.', `at most ${MAX_DEPTH} levels`);
    return undefined;
  }
  try {
    const { document, read } = parseLeniently(text, lines);
    const { errors } = document;
    for (const error of errors.slice(0, MAX_ERRORS)) {
      if (error.code === 'MULTILINE_IMPLICIT_KEY' && errors.some(({ code }) => code === 'BLOCK_AS_IMPLICIT_KEY')) continue;
      const { line, col } = lines.linePos(openingOf(error, document) ?? error.pos[0]);
      problems.add({ file, line, column: col }, wordsOf(error));
    }
    if (errors.length > 0) return undefined;
    const tab = strayTab(read);
    if (tab !== undefined) {
      const { line, col } = lines.linePos(tab);
      problems.add({ file, line, column: col }, 'A tab stands here; YAML takes it only within quotes and comments.', 'spaces');
      return undefined;
    }
    if (document.contents === null) {
      problems.add(start, 'The file is empty.', 'a job, e.g. `type: command`');
      return undefined;
    }
    return new Converter(document, file, lines, problems).root();
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    problems.add(start, 'The file nests too deep.', 'at most some hundred levels');
    return undefined;
  }
}

class Converter {
  private readonly made = new Map<ParsedNode, YNode>();
  private readonly busy = new Set<ParsedNode>();
  private readonly weights = new Map<YNode, number>();

  constructor(
    private readonly document: Document.Parsed,
    private readonly file: string,
    private readonly lines: LineCounter,
    private readonly problems: Problems,
  ) {}

  root(): YNode | undefined {
    const contents = this.document.contents;
    const node = contents ? this.convert(contents) : undefined;
    if (node && (this.weights.get(node) ?? 0) > MAX_NODES) {
      this.problems.add(node.place, 'Aliases in this file expand to more than a million nodes.', 'fewer aliases of aliases');
      return undefined;
    }
    return node;
  }

  private place(node: { range?: [number, number, number] | null | undefined }): Place {
    const { line, col } = this.lines.linePos(node.range?.[0] ?? 0);
    return { file: this.file, line, column: col };
  }

  private convert(node: ParsedNode): YNode {
    if (isAlias(node)) {
      const target = node.resolve(this.document) as ParsedNode | undefined;
      if (target === undefined || this.busy.has(target)) {
        const why =
          target === undefined ? `The anchor of *${node.source} is not defined above it.` : `*${node.source} contains itself.`;
        this.problems.add(this.place(node), why);
        return { kind: 'scalar', type: 'null', value: null, text: '', place: this.place(node) };
      }
      return this.convert(target);
    }
    const known = this.made.get(node);
    if (known) return known;
    this.busy.add(node);
    const made = this.make(node);
    this.busy.delete(node);
    this.made.set(node, made);
    return made;
  }

  private weigh(node: YNode, children: YNode[]): YNode {
    this.weights.set(
      node,
      children.reduce((sum, child) => sum + (this.weights.get(child) ?? 1), 1),
    );
    return node;
  }

  private make(node: ParsedNode): YNode {
    const place = this.place(node);
    if (isMap(node)) {
      this.checkTag(node, 'map', place);
      const entries: YMap['entries'] = new Map();
      const merged: YMap['entries'][] = [];
      for (const { key, value } of node.items) {
        const merge = isScalar(key) && key.type === 'PLAIN' && key.value === '<<';
        const name: YNode = key === null ? emptyScalar(place) : merge ? textNode('<<', this.place(key)) : this.convert(key);
        const item: YNode = value === null ? emptyScalar(name.place) : this.convert(value);
        if (name.kind !== 'scalar') {
          this.problems.add(name.place, 'A key must be text.');
          continue;
        }
        if (merge) {
          for (const source of item.kind === 'seq' ? item.items : [item]) {
            if (source.kind === 'map') merged.unshift(source.entries);
            else this.problems.add(source.place, 'Only a mapping can be merged with <<.');
          }
          continue;
        }
        if (entries.has(name.text)) this.problems.warn(name.place, `The key ${name.text} stands twice; the last one counts.`);
        entries.set(name.text, { key: name, value: item });
      }
      const all: YMap['entries'] = new Map();
      for (const source of [...merged, entries]) for (const [key, entry] of source) all.set(key, entry);
      return this.weigh(
        { kind: 'map', entries: all, place },
        [...all.values()].map((entry) => entry.value),
      );
    }
    if (isSeq(node)) {
      this.checkTag(node, 'seq', place);
      const items = node.items.map((item) => this.convert(item));
      return this.weigh({ kind: 'seq', items, place }, items);
    }
    if (!isScalar(node)) return emptyScalar(place);
    const text = typeof node.value === 'string' ? node.value : (node.source ?? '');
    if (node.tag === undefined || node.tag === '!') {
      if (node.tag === '!' || node.type !== 'PLAIN') return { kind: 'scalar', type: 'str', value: text, text, place };
      // YAML 1.1 has types for these two that nothing can be made of.
      if (text === '=' || text === '<<')
        this.problems.add(place, `YAML gives ${text} a meaning of its own.`, `"${text}", in quotes`);
      return { kind: 'scalar', ...resolveScalar(text), text, place };
    }
    const tagged = resolveTagged(node.tag, text);
    if (tagged) return { kind: 'scalar', ...tagged, place };
    const known = /^tag:yaml\.org,2002:(str|int|float|bool|null|timestamp|binary)$/.test(node.tag);
    this.problems.add(
      place,
      known ? `${JSON.stringify(text)} is not what its tag ${node.tag} says.` : `The tag ${node.tag} is not known.`,
      'plain YAML without tags',
    );
    return { kind: 'scalar', ...resolveScalar(text), text, place };
  }

  /** Tags on lists and mappings say what these are anyway; any other makes an object that no job file has. */
  private checkTag(node: ParsedNode, kind: 'map' | 'seq', place: Place): void {
    if (node.tag === undefined || node.tag === '!' || node.tag === `tag:yaml.org,2002:${kind}`) return;
    this.problems.add(place, `The tag ${node.tag} is not known.`, 'plain YAML without tags');
  }
}

function emptyScalar(place: Place): YScalar {
  return { kind: 'scalar', type: 'null', value: null, text: '', place };
}

/** A string scalar made up by us (overrides). */
export function textNode(text: string, place: Place): YScalar {
  return { kind: 'scalar', type: 'str', value: text, text, place };
}

/** JSON text as a node, all of it at one place; numbers stay what they are written as. Undefined when it is no JSON. */
export function jsonNode(text: string, place: Place): YNode | undefined {
  // A fraction or a power is a float to Python, be it whole or not.
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?/g, (token) =>
    token.startsWith('"') ? token : `{"\\u0000":"${token}"}`,
  );
  try {
    JSON.parse(text);
    return nodeOf(JSON.parse(marked), place);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function nodeOf(value: unknown, place: Place): YNode {
  if (Array.isArray(value)) return { kind: 'seq', items: value.map((item) => nodeOf(item, place)), place };
  if (typeof value === 'string') return textNode(value, place);
  if (typeof value === 'boolean') return { kind: 'scalar', type: 'bool', value, text: String(value), place };
  if (typeof value !== 'object' || value === null) return emptyScalar(place);
  const number = (value as Record<string, unknown>)['\u0000'];
  if (typeof number === 'string') {
    if (/^-?\d+$/.test(number)) return { kind: 'scalar', ...resolveScalar(number), text: number, place };
    return { kind: 'scalar', type: 'float', value: new PyFloat(Number(number)), text: number, place };
  }
  const entries = Object.entries(value).map(
    ([key, item]) => [key, { key: textNode(key, place), value: nodeOf(item, place) }] as const,
  );
  return { kind: 'map', entries: new Map(entries), place };
}

export function child(node: YNode | undefined, key: string): YNode | undefined {
  return node?.kind === 'map' ? node.entries.get(key)?.value : undefined;
}

/** Text of a string-valued member, undefined when it is something else. */
export function textOf(node: YNode | undefined): string | undefined {
  return node?.kind === 'scalar' && node.type === 'str' ? node.text : undefined;
}

/** Dates without quotes stay dates in a conda file. */
export function withDates(node: YNode): Tree {
  if (node.kind === 'seq') return node.items.map(withDates);
  if (node.kind === 'map') return Object.fromEntries([...node.entries].map(([key, { value }]) => [key, withDates(value)]));
  return node.type === 'timestamp' ? new PyDate(node.text) : node.value;
}
