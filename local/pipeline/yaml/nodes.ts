/** The YAML of pipelines as a tree with places. Every scalar is text; types are a matter of the position that reads it. */
import type { Position } from '../expand/types.js';
import { formatNumber, ObjectValue, toText, type Value, Version } from '../expressions/values.js';

export interface ScalarNode {
  kind: 'scalar';
  text: string;
  place: Position;
  /** Written without quotes or block indicator: `true` and `3` may be more than text. */
  plain: boolean;
  /** Nothing was written (`key:`) or `~`/`null`. */
  empty: boolean;
  /** The result of an expression: never scanned again; keeps its type. */
  value?: Value;
}

export interface SequenceNode {
  kind: 'sequence';
  items: Node[];
  place: Position;
  /** The result of an expression. */
  value?: Value;
}

export interface MappingNode {
  kind: 'mapping';
  entries: { key: ScalarNode; value: Node }[];
  place: Position;
  value?: Value;
}

export type Node = ScalarNode | SequenceNode | MappingNode;

/** The result of an expression as a tree; everything in it stands where the expression stood. */
export function literalNode(value: Value, place: Position): Node {
  if (Array.isArray(value)) return { kind: 'sequence', items: value.map((item) => literalNode(item, place)), place, value };
  if (value instanceof ObjectValue) {
    const entries = [...value.entries].map(([key, item]) => ({
      key: literalScalar(key, place),
      value: literalNode(item, place),
    }));
    return { kind: 'mapping', entries, place, value };
  }
  return literalScalar(value, place);
}

function literalScalar(value: Value, place: Position): ScalarNode {
  return { kind: 'scalar', text: toText(value), place, plain: false, empty: value === null, value };
}

/** The type that a scalar of a typed `object` has: YAML's core schema; nothing is the empty string (sheet 1.2). */
export function typedLeaf(node: ScalarNode): Value {
  if (node.value !== undefined) return node.value ?? '';
  if (node.empty) return '';
  if (!node.plain) return node.text;
  if (/^(true|True|TRUE)$/.test(node.text)) return true;
  if (/^(false|False|FALSE)$/.test(node.text)) return false;
  if (/^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?$/.test(node.text)) return Number(node.text);
  if (/^0o[0-7]+$/.test(node.text) || /^0x[0-9a-fA-F]+$/.test(node.text)) return Number(node.text);
  return node.text;
}

/** Text of a leaf in the normal form. */
export function leafText(value: Value): string {
  if (typeof value === 'number') return formatNumber(value);
  return value instanceof Version ? value.toString() : toText(value);
}
