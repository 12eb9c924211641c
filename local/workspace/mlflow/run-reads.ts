/** What MLflow clients read of runs: one, many by a filter, the history of a metric. */
import { getExperimentByName, listRuns } from '../runs/access.js';
import { latestMetric, metricHistory } from '../runs/metrics.js';
import type { RunRecord } from '../runs/record.js';
import { attributesOf, findRun, isDeleted, showRun, tagsOf } from './run-view.js';
import { parseFilter, parseOrder, satisfies, sortBy, type Condition, type Order } from './search-filter.js';
import { fromDouble, invalid, need, own, page, text, texts, viewType, whole, type Handler, type MlflowCall } from './wire.js';

const get: Handler = (call) => {
  const id = text(call.fields, 'run_id') ?? need(call.fields, 'run_uuid');
  return { run: showRun(call, findRun(call, id)) };
};

/** What a condition or an order clause looks at. A metric that an order asks for is read once a run, and only that one. */
function valueReader(call: MlflowCall): (run: RunRecord, of: Pick<Order, 'entity' | 'key'>) => string | number | undefined {
  const metrics = new Map<string, Map<string, number | undefined>>();
  return (run, { entity, key }) => {
    switch (entity) {
      case 'metric': {
        const known = metrics.get(key) ?? new Map<string, number | undefined>();
        metrics.set(key, known);
        if (!known.has(run.runId)) known.set(run.runId, latestMetric(call.ctx.store, call.ws.guid, run.runId, key)?.value);
        return known.get(run.runId);
      }
      case 'param':
        return own(run.params, key);
      case 'tag':
        return own(tagsOf(run), key);
      case 'dataset':
        throw invalid("Invalid identifier type 'dataset': runs are not ordered by their datasets.");
      default: {
        const attributes = attributesOf(call, run);
        if (!Object.hasOwn(attributes, key.toLowerCase())) {
          throw invalid(`Invalid attribute key '${key}' specified. Valid keys are ${Object.keys(attributes).join(', ')}.`);
        }
        return attributes[key.toLowerCase()];
      }
    }
  };
}

/** A condition on datasets holds when one dataset of the run satisfies it. */
function datasetHolds(run: RunRecord, condition: Condition): boolean {
  return run.datasets.some((dataset) => {
    if (condition.key === 'name') return satisfies(dataset.name, condition);
    if (condition.key === 'digest') return satisfies(dataset.digest, condition);
    if (condition.key === 'context') return satisfies(dataset.tags['mlflow.data.context'], condition);
    throw invalid(`Invalid dataset key '${condition.key}' specified. Valid keys are name, digest, context.`);
  });
}

const search: Handler = (call) => {
  const { fields, ctx, ws } = call;
  const view = viewType(fields, 'run_view_type');
  const conditions = parseFilter(text(fields, 'filter'));
  const orders: Order[] = [
    ...parseOrder(texts(fields, 'order_by')),
    { entity: 'attribute', key: 'start_time', ascending: false },
    { entity: 'attribute', key: 'run_id', ascending: true },
  ];
  const ids = texts(fields, 'experiment_ids').map((id) =>
    id === '0' ? (getExperimentByName(ctx.store, ws.guid, 'Default')?.id ?? id) : id,
  );
  const valueOf = valueReader(call);
  const runs = [...new Set(ids)]
    .flatMap((experimentId) => listRuns(ctx.store, ws.guid, { experimentId }))
    .filter((run) => view === 'ALL' || isDeleted(ctx.store, run) === (view === 'DELETED_ONLY'))
    .filter((run) =>
      conditions.every((condition) =>
        condition.entity === 'dataset' ? datasetHolds(run, condition) : satisfies(valueOf(run, condition), condition),
      ),
    );
  const { items, next } = page(sortBy(runs, orders, valueOf), fields, 1000, 50_000);
  return { runs: items.map((run) => showRun(call, run)), ...(next ? { next_page_token: next } : {}) };
};

const history: Handler = (call) => {
  const { fields, ctx, ws } = call;
  const run = findRun(call, text(fields, 'run_id') ?? need(fields, 'run_uuid'));
  const key = need(fields, 'metric_key');
  const size = whole(fields, 'max_results') ?? 25_000;
  if (size < 1) throw invalid(`Invalid value ${size} for parameter 'max_results' supplied. It must be a positive integer`);
  const token = text(fields, 'page_token');
  const from = token === undefined ? 0 : Number(token);
  if (!Number.isSafeInteger(from) || from < 0) throw invalid(`Invalid page token: ${token}`);
  if (ctx.faults.metricsLate(run.runId)) return { metrics: [] };
  const points = metricHistory(ctx.store, ws.guid, run.runId, key, { from, limit: size + 1 });
  return {
    metrics: points.slice(0, size).map(({ value, timestamp, step }) => ({ key, value: fromDouble(value), timestamp, step })),
    ...(points.length > size ? { next_page_token: String(from + size) } : {}),
  };
};

/** `GET metrics/get-history-bulk`: histories of several runs, for comparisons. */
const historyBulk: Handler = (call) => {
  const key = need(call.fields, 'metric_key');
  const limit = whole(call.fields, 'max_results') ?? 25_000;
  const metrics = texts(call.fields, 'run_id').flatMap((id) =>
    metricHistory(call.ctx.store, call.ws.guid, findRun(call, id).runId, key, { limit }).map(({ value, timestamp, step }) => ({
      key,
      value: fromDouble(value),
      timestamp,
      step,
      run_id: id,
    })),
  );
  return { metrics: metrics.slice(0, limit) };
};

/** Most points a run and most runs of one `get-history-bulk-interval` (mlflow `server/handlers.py`). */
const interval = { points: 2500, runs: 100 };

/** Evenly thinned out: the first of each of `most` parts of equal length, in place of the last one's the very last point. */
function thinned<T>(all: T[], most: number): T[] {
  if (all.length <= most) return all;
  const [length, longer] = [Math.floor(all.length / most), all.length % most];
  return Array.from({ length: most }, (_part, at) => {
    const first = at * length + Math.min(at, longer);
    return all[at === most - 1 ? all.length - 1 : first] as T;
  });
}

/** `GET metrics/get-history-bulk-interval`: the same by step and thinned out evenly, first and last points kept. */
const historyInterval: Handler = (call) => {
  const key = need(call.fields, 'metric_key');
  const most = whole(call.fields, 'max_results') ?? interval.points;
  if (most < 1 || most > interval.points) throw invalid(`max_results must be between 1 and ${interval.points}.`);
  const [from, to] = [whole(call.fields, 'start_step'), whole(call.fields, 'end_step')];
  if ((from === undefined) !== (to === undefined))
    throw invalid('If either start step or end step are specified, both must be specified.');
  if (from !== undefined && to !== undefined && from > to)
    throw invalid(`end_step must be greater than start_step. Found start_step=${from} and end_step=${to}.`);
  const ids = texts(call.fields, 'run_ids');
  if (ids.length === 0) need(call.fields, 'run_ids');
  if (ids.length > interval.runs)
    throw invalid(
      `GetMetricHistoryBulkInterval request must specify at most ${interval.runs} run_ids. Received ${ids.length} run_ids.`,
    );
  const metrics = ids.flatMap((id) => {
    const all = metricHistory(call.ctx.store, call.ws.guid, findRun(call, id).runId, key)
      .filter(({ step }) => step >= (from ?? -Infinity) && step <= (to ?? Infinity))
      .sort((a, b) => a.step - b.step || a.timestamp - b.timestamp);
    return thinned(all, most).map(({ value, timestamp, step }) => ({
      key,
      value: fromDouble(value),
      timestamp,
      step,
      run_id: id,
    }));
  });
  return { metrics };
};

export const runReadHandlers: Record<string, [methods: string, Handler]> = { get: ['GET', get], search: ['POST', search] };
export const metricHandlers: Record<string, [methods: string, Handler]> = {
  'get-history': ['GET', history],
  'get-history-bulk': ['GET', historyBulk],
  'get-history-bulk-interval': ['GET', historyInterval],
};
