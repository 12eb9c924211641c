/** Judging a candidate by a gate: every condition gets a row that says why (design §5; docs/release.md, "Gates"). */
import { eachInTime } from './bounded.js';
import { parseConditions } from './conditions.js';
import { compileCondition, type Expression, type Scope } from './expression.js';
import { Refusal } from './refusal.js';

/** Metrics as they travel: doubles, and the words that JSON has no number for. */
type MetricValue = number | string;
export type Metrics = Record<string, MetricValue>;

interface GateOptions {
  onNoChampion: 'pass' | 'reject';
}

/** What is judged, recorded whole so that the arithmetic can be done again (`judge` reads nothing else). */
export interface GateFacts {
  metrics: Metrics;
  /** Where they were read: `metricsFile`, `properties of m:3`, `job j`. */
  metricsFrom: string;
  /** null: there is no champion. */
  champion: { label: string; metrics: Metrics; metricsFrom: string } | null;
  /** Fingerprints of the evaluation data, where known. */
  evaluationData?: { candidate?: string; champion?: string };
  model: Record<string, unknown>;
  job: Record<string, unknown>;
  build: Record<string, unknown>;
}

export interface VerdictRow {
  name: string;
  condition: string;
  /** Values that the condition reads, name to number. */
  candidate: Metrics;
  champion: Metrics;
  /** Distance to the limit: positive holds, negative misses by so much; null where the condition is no single comparison of numbers. */
  margin: number | null;
  verdict: 'passed' | 'rejected';
  /** Why, when it is not plain arithmetic. */
  note?: string;
}

export interface Verdict {
  verdict: 'passed' | 'rejected' | 'not judged';
  rows: VerdictRow[];
  /** Champion it was compared with; null when there was none or nothing asked for it. */
  champion: string | null;
  notComparable: boolean;
}

/** A gate that parses: `conditions` in order. An empty text gives a gate without judgement. */
export interface Gate {
  text: string;
  conditions: Expression[];
}

/** Parses a gate; throws `Refusal` (`GateInvalid`) naming the condition, its line and column. */
export function compileGate(text: string | undefined): Gate {
  const source = text ?? '';
  const conditions = parseConditions(source).map(compileCondition);
  if (source.trim() !== '' && conditions.length === 0)
    throw new Refusal('The gate has no condition in it.', { code: 'GateInvalid', input: 'gate', line: 1, column: 1 });
  return { text: source, conditions };
}

/** Names of candidate metrics a gate cannot do without and that are not there: worth reading again, for they may only be late. */
export function missingMetrics(gate: Gate, metrics: Metrics): string[] {
  return [...new Set(gate.conditions.flatMap((condition) => condition.metrics))].filter((name) => !Object.hasOwn(metrics, name));
}

/** All conditions must hold. Never throws for values: whatever cannot be judged rejects, and its row says why. */
export function judge(gate: Gate, facts: GateFacts, options: GateOptions): Verdict {
  const { candidate, champion } = facts.evaluationData ?? {};
  const notComparable = facts.champion !== null && candidate !== undefined && champion !== undefined && candidate !== champion;
  const rows = eachInTime(
    gate.conditions,
    ({ mayLoop }) => mayLoop,
    (condition) => judgeCondition(condition, facts, options, notComparable),
    (condition) => ({ ...emptyRow(condition, facts), note: 'it takes too long to evaluate' }),
  );
  const verdict = rows.length === 0 ? 'not judged' : rows.every((row) => row.verdict === 'passed') ? 'passed' : 'rejected';
  const asked = gate.conditions.some((condition) => condition.usesChampion);
  return { verdict, rows, champion: asked ? (facts.champion?.label ?? null) : null, notComparable: notComparable && asked };
}

function emptyRow(condition: Expression, facts: GateFacts): VerdictRow {
  return {
    name: condition.name,
    condition: condition.expression,
    candidate: pick(facts.metrics, [...condition.metrics, ...condition.guardedMetrics]),
    champion: pick(facts.champion?.metrics ?? {}, [...condition.champion, ...condition.guardedChampion]),
    margin: null,
    verdict: 'rejected',
  };
}

function judgeCondition(condition: Expression, facts: GateFacts, options: GateOptions, notComparable: boolean): VerdictRow {
  const row = emptyRow(condition, facts);
  const reject = (note: string): VerdictRow => ({ ...row, note });
  const bad =
    firstBad(condition, condition.metrics, condition.guardedMetrics, facts.metrics, 'the candidate', facts.metricsFrom) ??
    (condition.usesChampion && facts.champion && !notComparable
      ? firstBad(
          condition,
          condition.champion,
          condition.guardedChampion,
          facts.champion.metrics,
          facts.champion.label,
          facts.champion.metricsFrom,
        )
      : undefined);
  if (bad) return reject(bad);
  if (condition.usesChampion && notComparable)
    return reject('candidate and champion were evaluated on different data and are not comparable');
  const scope = scopeOf(facts);
  if (!scope.champion && condition.usesChampion) return withoutChampion(condition, row, scope, options);
  let value: unknown;
  try {
    value = condition.evaluate(scope);
  } catch (error) {
    return reject(`it cannot be evaluated: ${(error as { summary?: string }).summary ?? String(error)}`);
  }
  const sides = condition.comparisons(scope);
  const wild = sides.find(({ left, right }) => !Number.isFinite(left) || !Number.isFinite(right));
  if (wild)
    return reject(`its arithmetic gives ${Number.isFinite(wild.left) ? wild.right : wild.left}, which is no number to judge by`);
  row.margin = sides.length === 1 ? margin(sides[0]!) : null;
  if (typeof value !== 'boolean')
    return reject(`it gives ${typeof value === 'bigint' ? 'a number' : `a ${typeof value}`}, not true or false`);
  return { ...row, verdict: value ? 'passed' : 'rejected' };
}

/** CEL's `||` and `&&` may settle a condition that also names the champion; only one that is left open needs it. */
function withoutChampion(condition: Expression, row: VerdictRow, scope: Scope, options: GateOptions): VerdictRow {
  try {
    const value = condition.evaluate(scope);
    if (typeof value === 'boolean' && !condition.dynamic)
      return { ...row, verdict: value ? 'passed' : 'rejected', note: 'no champion yet' };
  } catch {
    // it reads a champion that is not there: `onNoChampion` decides
  }
  const passed = options.onNoChampion === 'pass';
  return {
    ...row,
    verdict: passed ? 'passed' : 'rejected',
    note: passed ? 'no champion yet' : 'no champion yet, and onNoChampion is reject',
  };
}

/** Positive when the comparison holds with room to spare; for `==` minus the distance, for `!=` the distance. */
function margin({ operator, left, right }: { operator: string; left: number; right: number }): number {
  const difference = operator.startsWith('<') ? right - left : left - right;
  const value = operator === '==' ? -Math.abs(difference) : operator === '!=' ? Math.abs(difference) : difference;
  return value === 0 ? 0 : value;
}

function firstBad(
  { expression }: Expression,
  needed: string[],
  guarded: string[],
  metrics: Metrics,
  whose: string,
  from: string,
): string | undefined {
  for (const name of [...needed, ...guarded]) {
    if (!Object.hasOwn(metrics, name)) {
      if (guarded.includes(name)) continue;
      const keys = Object.keys(metrics);
      const near = keys.find((key) => key.toLowerCase() === name.toLowerCase());
      // `val-loss` and `val/loss` are arithmetic in CEL.
      const odd = keys.find((key) => !/^\w+$/.test(key) && key.includes(name) && expression.includes(key));
      const hint =
        near !== undefined
          ? `; it has "${near}"`
          : odd !== undefined
            ? `; write metrics[${JSON.stringify(odd)}]`
            : keys.length > 0
              ? `; it has ${listed(keys)}`
              : '';
      return `${whose} has no metric "${name}" (read from ${from})${hint}`;
    }
    const value = toNumber(metrics[name]!);
    if (value === undefined) return `the metric "${name}" of ${whose} is not a number: ${JSON.stringify(metrics[name])}`;
    if (!Number.isFinite(value))
      return `the metric "${name}" of ${whose} is ${value === value ? 'infinite' : 'NaN (not a number)'}`;
  }
  return undefined;
}

/** Names of metrics for a sentence: the first ones, and how many more there are. */
function listed(names: string[]): string {
  const shown = [...names].sort().slice(0, 12);
  const more = names.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** A metric's double; `NaN`, `Infinity` and `-Infinity` may come as words, other texts are no numbers. */
export function toNumber(value: MetricValue): number | undefined {
  if (typeof value === 'number') return value;
  const words: Record<string, number> = { NaN: NaN, Infinity: Infinity, '-Infinity': -Infinity };
  return words[value];
}

/** The other way: a double that JSON can hold. */
function fromNumber(value: number): MetricValue {
  return Number.isFinite(value) ? value : String(value);
}

function scopeOf(facts: GateFacts): Scope {
  const map = (metrics: Metrics) =>
    new Map(
      Object.entries(metrics).flatMap(([name, value]) =>
        toNumber(value) === undefined ? [] : [[name, toNumber(value)!] as const],
      ),
    );
  return {
    metrics: map(facts.metrics),
    ...(facts.champion ? { champion: map(facts.champion.metrics) } : {}),
    model: facts.model,
    job: facts.job,
    build: facts.build,
  };
}

function pick(metrics: Metrics, names: string[]): Metrics {
  return Object.fromEntries(
    [...new Set(names)].filter((name) => Object.hasOwn(metrics, name)).map((name) => [name, metrics[name]!]),
  );
}

/** Only what the gate reads: facts that are enough to judge again, small enough to keep. */
export function factsToKeep(gate: Gate, facts: GateFacts): GateFacts {
  const dynamic = gate.conditions.some((condition) => condition.dynamic);
  const names = (pickNames: (condition: Expression) => string[]) => gate.conditions.flatMap(pickNames);
  const keep = (metrics: Metrics, wanted: string[]) => (dynamic ? metrics : pick(metrics, wanted));
  const uses = (object: 'model' | 'job' | 'build') => gate.conditions.some((condition) => condition.objects.includes(object));
  return {
    ...facts,
    metrics: keep(
      facts.metrics,
      names((c) => [...c.metrics, ...c.guardedMetrics]),
    ),
    champion: facts.champion && {
      ...facts.champion,
      metrics: keep(
        facts.champion.metrics,
        names((c) => [...c.champion, ...c.guardedChampion]),
      ),
    },
    model: uses('model') ? facts.model : {},
    job: uses('job') ? facts.job : {},
    build: uses('build') ? facts.build : {},
  };
}

/**
 * A metrics file: JSON, name to number. Python's bare NaN and Infinity are read for what they are.
 * Throws `Refusal` (`MetricsInvalid`) when it is not such an object; a value that is no number is kept and rejects when a condition reads it.
 */
export function parseMetrics(text: string, where: string): Metrics {
  let value: unknown;
  try {
    value = JSON.parse(quoteWords(text.replace(/^\uFEFF/, '')));
  } catch (error) {
    throw new Refusal(`${where} is not JSON: ${(error as Error).message.replace(/\s+/g, ' ')}`, {
      code: 'MetricsInvalid',
      input: 'metricsFile',
      cause: error,
    });
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Refusal(`${where} must be an object, name to number.`, { code: 'MetricsInvalid', input: 'metricsFile' });
  const plain = (metric: unknown): MetricValue =>
    typeof metric === 'number' ? fromNumber(metric) : typeof metric === 'string' ? metric : JSON.stringify(metric);
  return Object.fromEntries(Object.entries(value).map(([name, metric]) => [name, plain(metric)]));
}

/** Python's bare NaN and Infinity as texts; what stands in quotes stays as it is. */
function quoteWords(text: string): string {
  const word = /"|-?\b(?:Infinity|NaN)\b/g;
  let out = '';
  let from = 0;
  for (let found = word.exec(text); found; found = word.exec(text)) {
    if (found[0] === '"') {
      let at = found.index + 1;
      while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1;
      word.lastIndex = Math.min(at + 1, text.length);
    } else {
      out += `${text.slice(from, found.index)}"${found[0]}"`;
      from = word.lastIndex;
    }
  }
  return out + text.slice(from);
}
