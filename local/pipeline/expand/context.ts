/** What one expansion shares: messages, limits, places, frames. */
import { type FunctionDefinition } from '../expressions/functions.js';
import type { Parsed } from '../expressions/parser.js';
import { ObjectValue, type Value } from '../expressions/values.js';
import type { Node } from '../yaml/nodes.js';
import { type ExpandOptions, type Normal, type PipelineMessage, PipelineError, type Position, type UsedFile } from './types.js';

/** Limits of the service (sheet 1.1), and a ceiling for the work, so that every expansion ends. */
export const limits = { files: 100, depth: 100, events: 200_000, characters: 20_000_000 };

/** Variables that are known at this level of the document; inner levels see outer ones. */
export class VariableScope {
  private readonly own = new Map<string, { name: string; value: Value }>();
  private cached: ObjectValue | undefined;

  constructor(private readonly parent?: VariableScope) {}

  set(name: string, value: Value): void {
    this.own.set(name.toLowerCase(), { name, value });
    this.cached = undefined;
  }

  /** A scope is only filled while nothing inside it has been read; outer scopes are complete by then. */
  object(): ObjectValue {
    this.cached ??= new ObjectValue(
      [...this.layers().values()].map(({ name, value }) => [name, value] as const),
      { foldCase: true },
    );
    return this.cached;
  }

  private layers(): Map<string, { name: string; value: Value }> {
    return new Map([...(this.parent?.layers() ?? []), ...this.own]);
  }
}

/** A file of a repository, by the name that messages use. */
export interface SourceFile {
  /** Lower-case alias, `self` for the pipeline's own repository. */
  repository: string;
  /** `/folder/file.yml`. */
  path: string;
  /** `/folder/file.yml` or `/folder/file.yml@alias`. */
  name: string;
  root: Node | undefined;
}

/** What expressions of one place see. */
export interface Frame {
  file: SourceFile;
  parameters: ObjectValue;
  variables: VariableScope;
  /** Loop variables by lower-case name. */
  locals: ReadonlyMap<string, Value>;
}

/** An unexpanded value with what its expressions see. */
export interface Slot {
  node: Node;
  frame: Frame;
}

/** Ends the expansion at once: a limit was reached. */
export class LimitReached extends Error {}

export class Context {
  readonly messages: PipelineMessage[] = [];
  readonly warnings: { message: string; position?: Position }[] = [];
  /** Files by repository and path; null when a file could not be read. */
  readonly files = new Map<string, SourceFile | null>();
  readonly used: UsedFile[] = [];
  /** Declared repositories by lower-case alias. */
  readonly repositories = new Map<string, { alias: string; name: string; ref: string }>();
  readonly packages = new Set<string>();
  /** Expressions that have been parsed: a loop evaluates the same text many times. */
  readonly expressions = new Map<string, Parsed>();
  depth = 0;
  /** Where the work is: limits are reported there. */
  at: Position | undefined;
  private events = 0;
  private characters = 0;
  private readonly places = new WeakMap<object, { place: Position; properties: Map<string, Position> }>();

  constructor(readonly options: ExpandOptions) {}

  error(position: Position | undefined, text: string): void {
    this.messages.push(position ? { text, position } : { text });
    if (this.messages.length > 200) throw new LimitReached('too many messages');
  }

  /** Counts work; generous for real pipelines, an end for those that grow without bound. */
  spend(characters: number): void {
    this.characters += characters;
    if (this.characters > limits.characters) this.limit('Maximum object size exceeded');
    if (++this.events > limits.events)
      this.limit(
        'Maximum events exceeded while evaluating the template. This may indicate an infinite loop or too many nested loops.',
      );
  }

  /** Ends the expansion with a sentence of the service. */
  limit(text: string, place = this.at): never {
    this.error(place, text);
    throw new LimitReached(text);
  }

  check(): void {
    if (this.messages.length > 0) throw new PipelineError(this.messages);
  }

  /** Remembers where a part of the document came from. */
  mark<T extends object>(part: T, place: Position): T {
    if (!this.places.has(part)) this.places.set(part, { place, properties: new Map() });
    return part;
  }

  markProperty(part: object, property: string, place: Position): void {
    this.places.get(part)?.properties.set(property, place);
  }

  placeOf(part: object, property?: string): Position | undefined {
    const known = this.places.get(part);
    return property === undefined ? known?.place : (known?.properties.get(property) ?? known?.place);
  }
}

const contexts = ['parameters', 'variables'];

/** Is the name of a loop variable taken? Names of functions are free: such a variable cannot be read, and that is told where it is. */
export function nameIsTaken(name: string, frame: Frame): boolean {
  const folded = name.toLowerCase();
  return contexts.includes(folded) || frame.locals.has(folded);
}

/** Names of a compile-time expression. */
export function scopeOf(frame: Frame): {
  names: ReadonlyMap<string, Value>;
  functions?: ReadonlyMap<string, FunctionDefinition>;
} {
  return {
    names: new Map<string, Value>([['parameters', frame.parameters], ['variables', frame.variables.object()], ...frame.locals]),
  };
}

/** Plain data of the normal form as a value of expressions. */
export function valueOf(data: Normal): Value {
  if (typeof data === 'string') return data;
  if (Array.isArray(data)) return data.map(valueOf);
  return new ObjectValue(Object.entries(data).map(([key, item]) => [key, valueOf(item)]));
}
