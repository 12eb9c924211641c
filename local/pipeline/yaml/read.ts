/** Reads one YAML file: the subset of YAML that pipelines may use, with places, and the syntax of every expression checked. */
import {
  Alias,
  Composer,
  type CST,
  type Document,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  Parser,
  Scalar,
} from 'yaml';
import type { PipelineMessage, Position } from '../expand/types.js';
import { checkSyntax } from '../expressions/evaluate.js';
import { ExpressionError } from '../expressions/values.js';
import type { MappingNode, Node, ScalarNode } from './nodes.js';
import { checkScalar, directive, hasExpression, loneExpression, segments } from './templates.js';

/** Longer files and deeper nesting than anything the service takes; below them nothing here runs out of time or stack. */
const limits = { characters: 10_000_000, depth: 200 };

/**
 * @param file the name that messages use
 * @returns the tree (absent for an empty file) and what is wrong with it; with messages the tree must not be used
 */
export function readYaml(source: string, file: string): { root?: Node; messages: PipelineMessage[] } {
  const text = source.replace(/^\uFEFF/, '');
  const lines = new LineCounter();
  const reader = new Reader(file, lines);
  if (text.length > limits.characters) {
    reader.refuse(0, 'Maximum object size exceeded');
    return { messages: reader.messages };
  }
  const tokens = [...new Parser(lines.addNewLine).parse(text)];
  const deep = tooDeep(tokens);
  const control = text.indexOf('\u0000');
  if (deep !== undefined) reader.refuse(deep, 'Maximum object depth exceeded');
  else if (control >= 0) reader.refuse(control, 'A character with the code 0 is not allowed');
  if (reader.messages.length > 0) return { messages: reader.messages };
  const composer = new Composer({ schema: 'failsafe', uniqueKeys: false, merge: false, lineCounter: lines, prettyErrors: false });
  const [first, second] = [...composer.compose(tokens)] as Document.Parsed[];
  // like the service, the first mistake of YAML itself ends the reading
  const error = first?.errors[0];
  if (error) reader.syntax(error.message, error.pos[0]);
  if (second && reader.messages.length === 0) reader.refuse(second.range[0], 'Expected stream end parse event');
  if (!first?.contents || reader.messages.length > 0) return { messages: reader.messages };
  const root = reader.node(first.contents);
  return { root, messages: reader.messages };
}

/** Where the nesting gets deeper than the limit; composing recurses, so this is asked before. */
function tooDeep(tokens: readonly CST.Token[]): number | undefined {
  const left: { token: CST.Token; depth: number }[] = tokens.map((token) => ({ token, depth: 0 }));
  for (let next = left.pop(); next; next = left.pop()) {
    const { token, depth } = next;
    if (depth > limits.depth) return token.offset;
    if (token.type === 'document') {
      if (token.value) left.push({ token: token.value, depth });
    } else if ('items' in token) {
      for (const { key, value } of token.items) {
        if (key) left.push({ token: key, depth: depth + 1 });
        if (value) left.push({ token: value, depth: depth + 1 });
      }
    }
  }
  return undefined;
}

const knownTags = /^tag:yaml\.org,2002:(str|bool|int|float|null)$/;

class Reader {
  readonly messages: PipelineMessage[] = [];

  constructor(
    private readonly file: string,
    private readonly lines: LineCounter,
  ) {}

  private place(offset: number): Position {
    const { line, col } = this.lines.linePos(offset);
    return { file: this.file, line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  private error(place: Position, text: string): void {
    this.messages.push({ position: place, text });
  }

  /** A mistake of YAML itself; the sentence is the parser's own. */
  syntax(message: string, offset: number): void {
    const position = this.place(offset);
    const { line, column } = position;
    this.messages.push({
      position,
      placed: true,
      text: `${this.file}: (Line: ${line}, Col: ${column}, Idx: ${offset}) - (Line: ${line}, Col: ${column}, Idx: ${offset}): ${message}`,
    });
  }

  /** What is refused before there is a tree. */
  refuse(offset: number, text: string): void {
    this.error(this.place(offset), text);
  }

  node(node: ParsedNode | null): Node {
    if (node === null) return this.scalar(null);
    const place = this.place(node.range[0]);
    if (node instanceof Alias) {
      this.error(place, `Anchors are not currently supported. Remove the anchor '${node.source}'`);
      return { kind: 'scalar', text: '', place, plain: true, empty: true };
    }
    if (node.anchor) this.error(place, `Anchors are not currently supported. Remove the anchor '${node.anchor}'`);
    if (isScalar(node)) {
      const scalar = this.scalar(node);
      if (node.tag !== undefined && !knownTags.test(node.tag)) this.error(place, `Unexpected tag '${node.tag}'`);
      this.value(scalar);
      return scalar;
    }
    if (isSeq(node)) return { kind: 'sequence', items: node.items.map((item) => this.node(item)), place };
    return isMap(node) ? this.mapping(node, place) : this.scalar(null);
  }

  private mapping(node: { items: { key: ParsedNode | null; value: ParsedNode | null }[] }, place: Position): MappingNode {
    const seen = new Set<string>();
    const entries = node.items.map((pair) => {
      let key: ScalarNode;
      if (pair.key !== null && !isScalar(pair.key)) {
        key = this.scalar(null);
        if (pair.key instanceof Alias) this.node(pair.key);
        else this.error(this.place(pair.key.range[0]), 'Expected a scalar value');
      } else {
        key = this.scalar(pair.key);
        if (pair.key?.anchor)
          this.error(key.place, `Anchors are not currently supported. Remove the anchor '${pair.key.anchor}'`);
        this.key(key, seen);
      }
      return { key, value: this.node(pair.value) };
    });
    return { kind: 'mapping', entries, place };
  }

  private scalar(node: ParsedNode | null): ScalarNode {
    if (!(node instanceof Scalar)) return { kind: 'scalar', text: '', place: this.place(0), plain: true, empty: true };
    const plain = node.type === Scalar.PLAIN;
    const text = typeof node.value === 'string' ? node.value : (node.source ?? '');
    const empty = plain && ['', '~', 'null', 'Null', 'NULL'].includes(text);
    return { kind: 'scalar', text: empty ? '' : text, place: this.place(node.range?.[0] ?? 0), plain, empty };
  }

  private value(scalar: ScalarNode): void {
    if (!hasExpression(scalar.text)) return;
    this.attempt(scalar, () => {
      const lone = loneExpression(segments(scalar.text));
      const found = lone === undefined ? undefined : directive(lone);
      if (found) this.error(scalar.place, `Unexpected value '${scalar.text}'`);
      else checkScalar(scalar.text);
    });
  }

  /** Literal keys may not repeat in any case; keys with expressions are compared once they have a value. */
  private key(key: ScalarNode, seen: Set<string>): void {
    if (!hasExpression(key.text)) {
      const folded = key.text.toLowerCase();
      if (seen.has(folded)) this.error(key.place, `'${key.text}' is already defined`);
      seen.add(folded);
      return;
    }
    const sound = this.attempt(key, () => {
      const lone = loneExpression(segments(key.text));
      const found = lone === undefined ? undefined : directive(lone);
      if (!found) checkScalar(key.text);
      else if ('condition' in found) checkSyntax(found.condition);
      else if ('collection' in found) checkSyntax(found.collection);
    });
    if (!sound) this.error(key.place, `Unexpected value '${key.text}'`);
  }

  private attempt(scalar: ScalarNode, action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      this.error(scalar.place, error.message);
      return false;
    }
  }
}
