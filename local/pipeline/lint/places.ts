/** Where in the caller's file a place stands that a template refused (templates/stages/check-place.yml names key and place, not the line). */
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { PipelineMessage, Position } from '../expand/index.js';
import type { MappingNode, Node, ScalarNode } from '../yaml/nodes.js';
import { readYaml } from '../yaml/read.js';

const sentence =
  /Unexpected value '(\w+) (.*?) (?:has the unknown key ([^;]+);.*|has a (?:list|text|wrong value) as ([^;]+);.*|has the character "." in its (name);.*|is there twice;.*|lacks the key .+)'$/;

/** Rewrites the messages about places: our words, at the caller's line. Others are returned as they are. */
export function placeMessages(messages: readonly PipelineMessage[], entryFile: string, entryName: string): PipelineMessage[] {
  const root = rootOf(entryFile, entryName);
  return messages.map((message) => {
    if (!root) return message;
    const model = /^Unexpected value '(modelName (.*) has the character ".";.*)'$/.exec(message.text);
    if (model) {
      const position = valueOf(root, 'modelName', model[2]!) ?? message.position;
      return position ? { text: model[1]!.trim(), position } : { text: model[1]!.trim() };
    }
    const match = sentence.exec(message.text);
    if (!match) return message;
    const [, what = '', name = '', unknown, list, named] = match;
    const place = find(root, what, name);
    const text = message.text.slice("Unexpected value '".length, -1).trim();
    const wanted = unknown ?? list ?? named;
    const key = wanted === undefined ? undefined : place?.entries.find((entry) => entry.key.text === wanted);
    const position: Position | undefined = key?.key.place ?? place?.place ?? message.position;
    return position ? { text, position } : { text };
  });
}

function rootOf(file: string, name: string): Node | undefined {
  return existsSync(file) && statSync(file).isFile() ? readYaml(readFileSync(file, 'utf8'), name).root : undefined;
}

/** The mapping under `what:` (or one of its items) whose `name` is the given one. */
function find(node: Node, what: string, name: string): MappingNode | undefined {
  if (node.kind === 'scalar') return undefined;
  if (node.kind === 'sequence') {
    for (const item of node.items) {
      const found = find(item, what, name);
      if (found) return found;
    }
    return undefined;
  }
  for (const { key, value } of node.entries) {
    const candidates = key.text !== what ? [] : value.kind === 'sequence' ? value.items : [value];
    for (const candidate of candidates) if (candidate.kind === 'mapping' && nameOf(candidate) === name) return candidate;
    const found = find(value, what, name);
    if (found) return found;
  }
  return undefined;
}

/** The place of a value that stands at a key. */
function valueOf(node: Node, key: string, text: string): Position | undefined {
  if (node.kind === 'scalar') return undefined;
  const entries = node.kind === 'mapping' ? node.entries : [];
  const own = entries.find((entry) => entry.key.text === key && entry.value.kind === 'scalar' && entry.value.text === text);
  if (own) return own.value.place;
  const inner = node.kind === 'sequence' ? node.items : entries.map(({ value }) => value);
  return inner.map((item) => valueOf(item, key, text)).find((place) => place !== undefined);
}

function nameOf(node: MappingNode): string {
  const value = node.entries.find(({ key }) => key.text === 'name')?.value;
  return value?.kind === 'scalar' ? value.text : '';
}

/**
 * Finds what a template was given in the file that gave it: a finding in a template of somebody else helps nobody.
 * @returns for a text (and, for gates, the name of a condition) its place in the entry file, when it is there once
 */
export function callerPlaces(entryFile: string, entryName: string): (text: string, key?: string) => Position | undefined {
  const root = rootOf(entryFile, entryName);
  const values = new Map<string, Position[]>();
  const keys = new Map<string, Position[]>();
  const add = (map: Map<string, Position[]>, { text, place }: ScalarNode): void => {
    map.set(text, [...(map.get(text) ?? []), place]);
  };
  const visit = (node: Node): void => {
    if (node.kind === 'scalar') add(values, node);
    else if (node.kind === 'sequence') node.items.forEach(visit);
    else
      for (const { key, value } of node.entries) {
        add(keys, key);
        visit(value);
      }
  };
  if (root) visit(root);
  return (text, key) => {
    const found = key === undefined ? values.get(text) : keys.get(key);
    return found?.length === 1 ? found[0] : undefined;
  };
}
