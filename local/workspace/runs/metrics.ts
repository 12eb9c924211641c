/**
 * Metrics of runs: tables `metrics` ws/run/key/seq → value and `metrics.latest` ws/run/key → last value. A record never holds them, so that
 * logging the millionth value costs what the first did.
 */
import type { Tx } from '../store.js';
import type { Reader } from './access.js';
import type { LatestMetric, MetricPoint } from './record.js';

/** JSON has no NaN and no infinities. */
type Wire = number | 'NaN' | 'Infinity' | '-Infinity';
type Stored = [value: Wire, timestamp: number, step: number];
interface StoredLatest {
  point: Stored;
  count: number;
}

const toWire = (value: number): Wire => (Number.isFinite(value) ? value : (String(value) as Wire));
const toPoint = ([value, timestamp, step]: Stored): MetricPoint => ({ value: Number(value), timestamp, step });

function prefixOf(workspace: string, runId: string): string {
  return `${workspace}/${runId.toLowerCase()}/`;
}

/** MLflow's rule for "the" value of a metric: highest step, then latest time, then highest value. */
function isLater(a: MetricPoint, b: MetricPoint): boolean {
  return a.step !== b.step ? a.step > b.step : a.timestamp !== b.timestamp ? a.timestamp > b.timestamp : !(a.value < b.value);
}

/** Newer than everything up to `b`: no earlier value can be the same as this one. */
const isNewer = (a: MetricPoint, b: MetricPoint): boolean => a.step > b.step || (a.step === b.step && a.timestamp > b.timestamp);

/** How far back a value is looked for that may have been logged already. */
const lookBack = 250;

/**
 * Appends values of any number of metrics of one run. A value with the step, time and number of one that is there is not written again
 * (in MLflow's own store they are one row): a client that lost the answer sends all of it a second time. Only what is not newer than the
 * newest can be a repetition, and it is looked for among the last values, so that a long history costs no more than a short one.
 */
export function appendMetrics(tx: Tx, workspace: string, runId: string, points: ({ key: string } & MetricPoint)[]): void {
  const prefix = prefixOf(workspace, runId);
  const latest = new Map<string, StoredLatest>();
  const recent = new Map<string, Set<string>>();
  for (const { key, ...point } of points) {
    const name = prefix + encodeURIComponent(key);
    const last = latest.get(name) ?? tx.get<StoredLatest>('metrics.latest', name);
    const count = last?.count ?? 0;
    const stored: Stored = [toWire(point.value), point.timestamp, point.step];
    if (last && !isNewer(point, toPoint(last.point))) {
      if (String(stored) === String(last.point)) continue;
      let known = recent.get(name);
      if (!known) {
        const range = { prefix: `${name}/`, reverse: true, limit: lookBack + 8 * points.length };
        recent.set(name, (known = new Set(tx.entries<Stored>('metrics', range).map(({ value }) => String(value)))));
      }
      if (known.has(String(stored))) continue;
    }
    recent.get(name)?.add(String(stored));
    tx.put('metrics', `${name}/${String(count).padStart(10, '0')}`, stored);
    latest.set(name, { point: last && !isLater(point, toPoint(last.point)) ? last.point : stored, count: count + 1 });
  }
  for (const [name, value] of latest) tx.put('metrics.latest', name, value);
}

/** The current value of each metric of a run, by name. */
export function latestMetrics(reader: Reader, workspace: string, runId: string): LatestMetric[] {
  const prefix = prefixOf(workspace, runId);
  return reader.entries<StoredLatest>('metrics.latest', { prefix }).map(({ key, value }) => ({
    key: decodeURIComponent(key.slice(prefix.length)),
    count: value.count,
    ...toPoint(value.point),
  }));
}

export function latestMetric(reader: Reader, workspace: string, runId: string, key: string): LatestMetric | undefined {
  const found = reader.get<StoredLatest>('metrics.latest', prefixOf(workspace, runId) + encodeURIComponent(key));
  return found && { key, count: found.count, ...toPoint(found.point) };
}

/**
 * Values of one metric in the order they were logged.
 * @param page `from` = number of values to skip
 */
export function metricHistory(
  reader: Reader,
  workspace: string,
  runId: string,
  key: string,
  page: { from?: number; limit?: number } = {},
): MetricPoint[] {
  const prefix = `${prefixOf(workspace, runId)}${encodeURIComponent(key)}/`;
  const { from = 0, limit } = page;
  return reader
    .entries<Stored>('metrics', {
      prefix,
      ...(from > 0 && { after: prefix + String(from - 1).padStart(10, '0') }),
      ...(limit !== undefined && { limit }),
    })
    .map(({ value }) => toPoint(value));
}

/** Forgets all metrics of a run. */
export function removeMetrics(tx: Tx, workspace: string, runId: string): void {
  const prefix = prefixOf(workspace, runId);
  for (const table of ['metrics', 'metrics.latest']) for (const { key } of tx.entries(table, { prefix })) tx.remove(table, key);
}
