/** Where in the caller's file a place stands that a template refused (templates/stages/check-place.yml names key and place, not the line). */
import { existsSync, readFileSync } from 'node:fs';
import type { PipelineMessage, Position } from '../expand/index.js';
import type { MappingNode, Node } from '../yaml/nodes.js';
import { readYaml } from '../yaml/read.js';

const sentence =
  /Unexpected value '(\w+) (.*?) (?:has the unknown key ([^;]+);.*|has a (?:list|wrong value) as ([^;]+);.*|is there twice;.*|lacks the key .+)'$/;

/** Rewrites the messages about places: our words, at the caller's line. Others are returned as they are. */
export function placeMessages(messages: readonly PipelineMessage[], entryFile: string, entryName: string): PipelineMessage[] {
  const root = existsSync(entryFile) ? readYaml(readFileSync(entryFile, 'utf8'), entryName).root : undefined;
  return messages.map((message) => {
    const match = sentence.exec(message.text);
    if (!match || !root) return message;
    const [, what = '', name = '', unknown, list] = match;
    const place = find(root, what, name);
    const text = message.text.slice("Unexpected value '".length, -1).trim();
    const wanted = unknown ?? list;
    const key = wanted === undefined ? undefined : place?.entries.find((entry) => entry.key.text === wanted);
    const position: Position | undefined = key?.key.place ?? place?.place ?? message.position;
    return position ? { text, position } : { text };
  });
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

function nameOf(node: MappingNode): string {
  const value = node.entries.find(({ key }) => key.text === 'name')?.value;
  return value?.kind === 'scalar' ? value.text : '';
}
