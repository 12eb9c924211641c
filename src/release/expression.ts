/** One condition as a checked CEL expression: which metrics it needs, its value, and the two sides of its comparison (design §5). */
import { Environment, serialize, type ASTNode } from '@marcbachmann/cel-js';
import type { Condition } from './conditions.js';
import { Refusal } from './refusal.js';

/** What an expression is judged against. Metrics may be any double; `champion` undefined: there is none. */
export interface Scope {
  metrics: ReadonlyMap<string, number>;
  champion?: ReadonlyMap<string, number>;
  model: Record<string, unknown>;
  job: Record<string, unknown>;
  build: Record<string, unknown>;
}

export interface Expression extends Condition {
  /** Names of metrics that must be there; `guarded` ones the condition itself asks about (`has(…)`, `… in metrics`). */
  metrics: string[];
  champion: string[];
  guardedMetrics: string[];
  guardedChampion: string[];
  usesChampion: boolean;
  /** Reads metrics under a computed name, so all of them belong to the record. */
  dynamic: boolean;
  objects: ('model' | 'job' | 'build')[];
  /** Has a loop or a regular expression in it: its time has no bound of its own. */
  mayLoop: boolean;
  /** Value of the condition. Throws what CEL throws. */
  evaluate(scope: Scope): unknown;
  /** Both sides of every comparison of numbers, outermost first; sides that cannot be evaluated are left out. */
  comparisons(scope: Scope): { operator: string; left: number; right: number }[];
}

const RESERVED = new Set(['metrics', 'champion', 'model', 'job', 'build']);
const TYPE_WORDS = new Set(['string', 'bool', 'int', 'uint', 'double', 'map', 'list', 'bytes', 'null_type', 'type']);
const NAMESPACES = new Set(['optional', 'cel', 'google', 'math']);
const COMPARISONS = new Set(['<', '<=', '>', '>=', '==', '!=']);
const MACROS = new Set(['exists', 'all', 'exists_one', 'map', 'filter', 'bind']);
/** Calls that count and so give an int; numbers of a gate are doubles. */
const COUNTS = new Set(['size', 'indexOf', 'lastIndexOf']);

let shared: Environment | undefined;

/** Made when first asked, one for all: it holds no state. */
function environment(): Environment {
  return (shared ??= new Environment({ homogeneousAggregateLiterals: false, limits: { maxAstNodes: 2000, maxDepth: 60 } })
    .registerVariable('metrics', 'map<string, double>')
    .registerVariable('champion', 'map<string, double>')
    .registerVariable('model', 'map')
    .registerVariable('job', 'map')
    .registerVariable('build', 'map')
    .registerFunction('abs(double): double', (x: number) => Math.abs(x))
    .registerFunction('min(double, double): double', (a: number, b: number) => Math.min(a, b))
    .registerFunction('max(double, double): double', (a: number, b: number) => Math.max(a, b)));
}

/** A condition without a name is its own name, and may be long. */
const brief = (name: string) => (name.length <= 100 ? name : `${name.slice(0, 97)}…`);

interface Edit {
  start: number;
  end: number;
  text: string;
}

interface Found {
  edits: Edit[];
  metrics: Set<string>;
  champion: Set<string>;
  guardedMetrics: Set<string>;
  guardedChampion: Set<string>;
  objects: Set<'model' | 'job' | 'build'>;
  usesChampion: boolean;
  dynamic: boolean;
  mayLoop: boolean;
  typeWord?: string;
}

/**
 * Parses and type-checks a condition. Bare identifiers are metrics, integer literals are doubles, reserved names win.
 * Throws `Refusal` (`GateInvalid`) with the condition's name, line and column.
 */
export function compileCondition(condition: Condition): Expression {
  const cel = environment();
  const source = condition.expression;
  const refuse = (message: string, offset: number, cause?: unknown): never => {
    const before = source.slice(0, offset).split('\n');
    const place = {
      line: condition.line + before.length - 1,
      column: before.at(-1)!.length + (before.length === 1 ? condition.column : 1),
    };
    throw new Refusal(`The condition "${brief(condition.name)}" (line ${place.line}, column ${place.column}): ${message}`, {
      code: 'GateInvalid',
      input: 'gate',
      ...place,
      cause,
      advice:
        'Conditions are CEL, for example `accuracy >= champion.accuracy - 0.005`; metrics with other characters are `metrics["val/loss"]`.',
    });
  };
  const parse = (text: string) => {
    try {
      return cel.parse(text);
    } catch (error) {
      const { summary, node } = error as { summary?: string; node?: { pos?: number } };
      return refuse(
        `it does not parse: ${(summary ?? String(error))
          .replace('Unexpected token: EOF', 'it ends too early')
          .replace('Invalid number: Infinity', 'a number is too large')
          .replace(/^Exceeded max\w+ \((\d+)\)/, 'it is too large or too deep (limit $1): make several conditions of it')}.`,
        node?.pos ?? 0,
        error,
      );
    }
  };
  const found: Found = {
    edits: [],
    metrics: new Set(),
    champion: new Set(),
    guardedMetrics: new Set(),
    guardedChampion: new Set(),
    objects: new Set(),
    usesChampion: false,
    dynamic: false,
    mayLoop: false,
  };
  walk(parse(source).ast, found, { bound: new Set(), guard: false, parent: undefined, refuse });
  const program = parse(rewrite(source, found.edits));
  const checked = program.check();
  if (!checked.valid) {
    const { summary } = checked.error as { summary?: string };
    const hint = found.typeWord
      ? ` \`${found.typeWord}\` is a word of CEL; a metric of that name is written metrics["${found.typeWord}"].`
      : /no_matching_overload|matching overload/.test(summary ?? '')
        ? ' A metric is not called: write its name without brackets.'
        : '';
    refuse(`${summary ?? 'it does not type-check'}.${hint}`, 0, checked.error);
  }
  if (checked.type !== 'bool' && checked.type !== 'dyn') refuse(`it gives a ${checked.type}, not true or false.`, 0);
  return {
    ...condition,
    metrics: [...found.metrics].filter((name) => !found.guardedMetrics.has(name)),
    champion: [...found.champion].filter((name) => !found.guardedChampion.has(name)),
    guardedMetrics: [...found.guardedMetrics],
    guardedChampion: [...found.guardedChampion],
    usesChampion: found.usesChampion,
    dynamic: found.dynamic,
    objects: [...found.objects],
    mayLoop: found.mayLoop,
    evaluate: (scope) => program(context(scope)) as unknown,
    comparisons: (scope) =>
      comparisonsOf(program.ast).flatMap(({ operator, sides }) => {
        const [left, right] = sides.map((side) => {
          try {
            return cel.evaluate(serialize(side), context(scope)) as unknown;
          } catch {
            return undefined; // a side that has no value on its own has no margin; the condition as a whole is judged elsewhere
          }
        });
        return typeof left === 'number' && typeof right === 'number' ? [{ operator, left, right }] : [];
      }),
  };
}

/** Without a champion its map is absent as a whole, so that reading it is an error that CEL's `||` and `&&` may still absorb. */
function context(scope: Scope): Record<string, unknown> {
  return { ...scope, champion: scope.champion ?? new Map<string, number>() };
}

/** Comparisons outside of macros (whose variables have no value of their own). */
function comparisonsOf(node: ASTNode): { operator: string; sides: [ASTNode, ASTNode] }[] {
  if (node.op === '!_' || node.op === '-_') return comparisonsOf(node.args);
  if (node.op === '?:' || node.op === '||' || node.op === '&&') return (node.args as ASTNode[]).flatMap(comparisonsOf);
  return COMPARISONS.has(node.op) ? [{ operator: node.op, sides: node.args as [ASTNode, ASTNode] }] : [];
}

function rewrite(source: string, edits: Edit[]): string {
  let text = '';
  let at = 0;
  for (const edit of edits.sort((a, b) => a.start - b.start || a.end - b.end)) {
    text += source.slice(at, edit.start) + edit.text;
    at = edit.end;
  }
  return text + source.slice(at);
}

interface Place {
  bound: ReadonlySet<string>;
  guard: boolean;
  parent: ASTNode | undefined;
  refuse(message: string, offset: number): never;
}

/** The name that `metrics.x`, `metrics["x"]`, `champion.x`, … reads; undefined when it is computed. */
function member(node: ASTNode): { of: string; name?: string; key?: ASTNode } | undefined {
  if (node.op === '.' || node.op === '.?') {
    const [object, name] = node.args;
    return object.op === 'id' && typeof name === 'string' ? { of: object.args, name } : undefined;
  }
  if (node.op === '[]' || node.op === '[?]') {
    const [object, key] = node.args;
    if (object.op !== 'id') return undefined;
    return key.op === 'value' && typeof key.args === 'string'
      ? { of: object.args, name: key.args, key }
      : { of: object.args, key };
  }
  return undefined;
}

/** `a.b` and `metrics.a.b`, where `a` can only be a metric. */
function metricWithDots(node: ASTNode, bound: ReadonlySet<string>): { of: string; name: string } | undefined {
  const parts: string[] = [];
  let at: ASTNode = node;
  while (at.op === '.' && typeof at.args[1] === 'string') {
    parts.unshift(at.args[1]);
    at = at.args[0];
  }
  if (at.op !== 'id' || bound.has(at.args) || NAMESPACES.has(at.args) || TYPE_WORDS.has(at.args)) return undefined;
  const of = at.args;
  if (of === 'metrics' || of === 'champion') return parts.length > 1 ? { of, name: parts.join('.') } : undefined;
  return RESERVED.has(of) || parts.length === 0 ? undefined : { of: 'metrics', name: [of, ...parts].join('.') };
}

function note(found: Found, of: string, name: string | undefined, guard: boolean): void {
  if (of === 'champion') found.usesChampion = true;
  if (name === undefined) found.dynamic = true;
  else if (of === 'champion') (guard ? found.guardedChampion : found.champion).add(name);
  else (guard ? found.guardedMetrics : found.metrics).add(name);
}

function walk(node: ASTNode, found: Found, place: Place): void {
  const down = (child: ASTNode, change: Partial<Place> = {}) => walk(child, found, { ...place, parent: node, ...change });
  const read = member(node);
  if (read && (read.of === 'metrics' || read.of === 'champion') && !place.bound.has(read.of)) {
    note(found, read.of, read.name, place.guard);
    if (read.key && read.name === undefined) down(read.key);
    return;
  }
  switch (node.op) {
    case 'value':
      if (typeof node.args === 'bigint' && !keepsInt(node, place.parent))
        found.edits.push({ start: node.start, end: node.end, text: `${node.args}.0` });
      return;
    case 'id': {
      const name = node.args;
      if (place.bound.has(name)) return;
      if (name === 'metrics' || name === 'champion') return note(found, name, undefined, place.guard);
      if (RESERVED.has(name)) return void found.objects.add(name as 'model' | 'job' | 'build');
      if (TYPE_WORDS.has(name)) return void (found.typeWord ??= name);
      if (NAMESPACES.has(name) && (place.parent?.op === 'rcall' || place.parent?.op === '.')) return;
      note(found, 'metrics', name, place.guard);
      found.edits.push({ start: node.start, end: node.end, text: place.guard ? `metrics.${name}` : `metrics["${name}"]` });
      return;
    }
    case '.':
    case '.?': {
      const dotted = metricWithDots(node, place.bound);
      if (dotted) {
        const { of, name } = dotted;
        const [first = '', ...rest] = name.split('.');
        const near =
          of === 'metrics' &&
          [...RESERVED].find((word) => word.startsWith(first.slice(0, 2)) && Math.abs(word.length - first.length) < 2);
        place.refuse(
          `a metric has no members; one whose name holds a dot is written ${of}[${JSON.stringify(name)}].${near ? ` Did you mean ${[near, ...rest].join('.')}?` : ''}`,
          node.start,
        );
      }
      return down(node.args[0]);
    }
    case 'call':
      if (node.args[0] === 'matches') found.mayLoop = true;
      if (node.args[0] === 'has') return node.args[1].forEach((child) => down(child, { guard: true }));
      wrapCount(node.args[0], node, found, place);
      return node.args[1].forEach((child) => down(child));
    case 'rcall': {
      const [name, receiver, args] = node.args;
      if (MACROS.has(name) || name === 'matches') found.mayLoop = true;
      wrapCount(name, node, found, place);
      down(receiver);
      const own = MACROS.has(name) && args[0]?.op === 'id' ? new Set([...place.bound, args[0].args]) : place.bound;
      return args.forEach((child) => down(child, { bound: own }));
    }
    case 'in': {
      const [left, right] = node.args;
      if (
        left.op === 'value' &&
        typeof left.args === 'string' &&
        right.op === 'id' &&
        (right.args === 'metrics' || right.args === 'champion')
      )
        return note(found, right.args, left.args, true);
      down(left);
      return down(right);
    }
    case 'list':
      return node.args.forEach((child) => down(child));
    case 'map':
      return node.args.forEach(([key, value]) => (down(key), down(value)));
    case '!_':
    case '-_':
      return down(node.args);
    default:
      return (node.args as ASTNode[]).forEach((child) => down(child));
  }
}

/** Indexes and arguments of functions are counted in CEL's ints; every other number of a gate is a double. */
function keepsInt(node: ASTNode, parent: ASTNode | undefined): boolean {
  if (parent?.op === '[]' || parent?.op === '[?]') return parent.args[1] === node;
  return parent?.op === 'rcall' && parent.args[2].includes(node);
}

function wrapCount(name: string, node: ASTNode, found: Found, place: Place): void {
  if (!COUNTS.has(name) || place.parent?.op === 'call' || place.parent?.op === 'rcall' || place.parent?.op === '[]') return;
  found.edits.push({ start: node.start, end: node.start, text: 'double(' }, { start: node.end, end: node.end, text: ')' });
}
