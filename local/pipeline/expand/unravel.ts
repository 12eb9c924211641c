/** Directives and interpolation: what a node really holds in its frame (sheet azure-pipelines-yaml 2.4 "Directives", "Interpolation"). */
import { checkSyntax, evaluateParsed } from '../expressions/evaluate.js';
import { ExpressionError, kindOf, ObjectValue, toBoolean, toText, type Value } from '../expressions/values.js';
import { literalNode, type MappingNode, type Node, type ScalarNode, type SequenceNode } from '../yaml/nodes.js';
import { type Directive, directive, formatExpression, hasExpression, loneExpression, segments } from '../yaml/templates.js';
import { type Context, type Frame, nameIsTaken, scopeOf, type Slot } from './context.js';
import type { Position } from './types.js';

export interface Entry {
  key: string;
  place: Position;
  /** Where a repeated key is reported: `each` and `insert` answer for what they bring (last section, 4). */
  blame: Position;
  value: Slot;
}

/** Evaluates; a mistake is reported at `place`. @returns undefined after a mistake */
function evaluateAt(context: Context, text: string, frame: Frame, place: Position): Value | undefined {
  try {
    let parsed = context.expressions.get(text);
    if (!parsed) context.expressions.set(text, (parsed = checkSyntax(text)));
    const value = evaluateParsed(parsed, scopeOf(frame));
    context.spend(typeof value === 'string' ? value.length : 1);
    return value;
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    context.error(place, error.message);
    return undefined;
  }
}

/**
 * The node without its own expression: a scalar becomes what it evaluates to; mappings and sequences are returned as they are
 * (their content is unravelled by `entries` and `items`).
 * @returns undefined after a mistake that has been reported
 */
export function settle(context: Context, { node, frame }: Slot): Node | undefined {
  context.at = node.place;
  context.spend(node.kind === 'scalar' ? node.text.length : 1);
  if (node.kind !== 'scalar' || node.value !== undefined || !hasExpression(node.text)) return node;
  const value = scalarValue(context, node, frame);
  return value === undefined ? undefined : literalNode(value, node.place);
}

function scalarValue(context: Context, node: ScalarNode, frame: Frame): Value | undefined {
  const parts = segments(node.text);
  return evaluateAt(context, loneExpression(parts) ?? formatExpression(parts), frame, node.place);
}

interface Chain {
  taken: boolean;
  /** An `else` has been seen. */
  closed: boolean;
}

/** The state of if/elseif/else among the members of one mapping or sequence. Ordinary members do not end a chain; each and insert do. */
class Chains {
  private chain: Chain | undefined;

  constructor(
    private readonly context: Context,
    private readonly frame: Frame,
  ) {}

  /** Is the body of this `if`, `elseif` or `else` wanted? undefined: it has no `if`, which has been reported. */
  wanted(found: Directive & { kind: 'if' | 'elseif' | 'else' | 'insert' }, place: Position): boolean | undefined {
    if (found.kind === 'if') {
      const taken = toBoolean(evaluateAt(this.context, (found as { condition: string }).condition, this.frame, place) ?? false);
      this.chain = { taken, closed: false };
      return taken;
    }
    const chain = this.chain;
    if (!chain || chain.closed) {
      this.context.error(place, `The expression directive '${found.kind}' is not supported in this context`);
      return undefined;
    }
    if (found.kind === 'else') {
      chain.closed = true;
      return !chain.taken;
    }
    if (chain.taken) return false;
    const condition = (found as { condition: string }).condition;
    chain.taken = toBoolean(evaluateAt(this.context, condition, this.frame, place) ?? false);
    return chain.taken;
  }

  end(): void {
    this.chain = undefined;
  }
}

function directiveOf(key: ScalarNode): Directive | undefined {
  if (key.value !== undefined || !hasExpression(key.text)) return undefined;
  const lone = loneExpression(segments(key.text));
  return lone === undefined ? undefined : directive(lone);
}

/** Frames of the iterations of an `each`. */
function* iterations(context: Context, found: Directive & { kind: 'each' }, frame: Frame, place: Position): Generator<Frame> {
  if (nameIsTaken(found.name, frame)) {
    context.error(place, `The idenfifier '${found.name}' has already been defined within the current scope`);
    return;
  }
  const collection = evaluateAt(context, found.collection, frame, place);
  let values: Value[];
  if (collection === undefined || collection === null) return;
  else if (Array.isArray(collection)) values = collection;
  else if (collection instanceof ObjectValue) {
    values = [...collection.entries].map(
      ([key, value]) =>
        new ObjectValue([
          ['key', key],
          ['value', value],
        ] as const),
    );
  } else {
    context.error(place, `Expected a sequence or mapping. Actual value '${toText(collection)}'`);
    return;
  }
  for (const value of values) {
    context.spend(1);
    yield { ...frame, locals: new Map([...frame.locals, [found.name.toLowerCase(), value]]) };
  }
}

/** What happens to directives: carried out, refused, or left as they were written (then no shape knows them). */
export interface Directives {
  directives: boolean | 'asWritten';
}

/** The members of a mapping with directives carried out. A mistake is reported and left out. */
export function* entries(context: Context, node: MappingNode, frame: Frame, options: Directives): Generator<Entry> {
  const chains = new Chains(context, frame);
  for (const { key, value } of node.entries) {
    context.spend(key.text.length);
    const found = directiveOf(key);
    const asWritten: Entry = { key: key.text, place: key.place, blame: key.place, value: { node: value, frame } };
    if (found && options.directives === 'asWritten') {
      yield asWritten;
      continue;
    }
    if (!found) {
      const text = keyText(context, key, frame);
      if (text !== undefined) yield { key: text, place: key.place, blame: key.place, value: { node: value, frame } };
      continue;
    }
    if (!options.directives) {
      context.error(key.place, 'A template expression is not allowed in this context');
      continue;
    }
    if (found.kind === 'each') {
      chains.end();
      for (const inner of iterations(context, found, frame, key.place))
        yield* merged(context, { node: value, frame: inner }, key.place);
    } else if (found.kind === 'insert') {
      chains.end();
      yield* merged(context, { node: value, frame }, value.place);
    } else {
      const wanted = chains.wanted(found, key.place);
      if (wanted) yield* merged(context, { node: value, frame });
      else if (wanted === undefined) yield asWritten;
    }
  }
}

/** The body of a directive in a mapping: its members. */
function* merged(context: Context, slot: Slot, blame?: Position): Generator<Entry> {
  const body = settle(context, slot);
  if (!body) return;
  if (body.kind !== 'mapping') {
    context.error(slot.node.place, 'Expected a mapping');
    return;
  }
  for (const entry of entries(context, body, slot.frame, { directives: true })) yield blame ? { ...entry, blame } : entry;
}

function keyText(context: Context, key: ScalarNode, frame: Frame): string | undefined {
  if (key.value !== undefined || !hasExpression(key.text)) return key.text;
  const value = scalarValue(context, key, frame);
  if (value === undefined) return undefined;
  if (kindOf(value) !== 'Object' && kindOf(value) !== 'Array') return toText(value);
  context.error(key.place, 'Expected a scalar value');
  return undefined;
}

/** The members of a sequence with directives carried out and lists of lone expressions spliced in; each is settled. */
export function* items(context: Context, node: SequenceNode, frame: Frame, options: Directives): Generator<Slot> {
  const chains = new Chains(context, frame);
  for (const item of node.items) {
    const only = item.kind === 'mapping' && item.entries.length === 1 ? item.entries[0] : undefined;
    const found = only && directiveOf(only.key);
    if (found && options.directives === 'asWritten') {
      yield { node: written(item as MappingNode), frame };
      continue;
    }
    if (!found || found.kind === 'insert') {
      if (found) chains.end();
      yield* spliced(context, { node: item, frame }, item.kind === 'scalar');
      continue;
    }
    if (!options.directives) {
      context.error(only.key.place, 'A template expression is not allowed in this context');
      continue;
    }
    if (found.kind === 'each') {
      chains.end();
      for (const inner of iterations(context, found, frame, only.key.place))
        yield* spliced(context, { node: only.value, frame: inner }, true);
    } else {
      const wanted = chains.wanted(found, only.key.place);
      if (wanted) yield* spliced(context, { node: only.value, frame }, true);
      else if (wanted === undefined) yield { node: written(item as MappingNode), frame };
    }
  }
}

/** The mapping with its keys as the text that was written: no shape knows them, so the service's second message follows. */
function written(node: MappingNode): MappingNode {
  return { ...node, entries: node.entries.map(({ key, value }) => ({ key: { ...key, value: key.text }, value })) };
}

/** A list is spliced where a directive or a lone expression brought it; anything else is one item. */
function* spliced(context: Context, slot: Slot, splice: boolean): Generator<Slot> {
  const settled = settle(context, slot);
  if (!settled) return;
  if (splice && settled.kind === 'sequence') yield* items(context, settled, slot.frame, { directives: true });
  else yield { node: settled, frame: slot.frame };
}
