/** MLflow 3's logged models as records: what they are, which runs made or used them. */
import type { Tx } from '../store.js';
import { fromDouble, missing, need, pairs, whole, type Fields, type MlflowCall } from './wire.js';

export interface ModelMetric {
  key: string;
  value: number;
  timestamp: number;
  step: number;
  model: string;
  dataset?: string;
  digest?: string;
}

export interface LoggedModel {
  id: string;
  experimentId: string;
  name: string;
  createdAt: number;
  updatedAt: number;
  status: string;
  modelType: string;
  sourceRunId: string;
  tags: Record<string, string>;
  params: Record<string, string>;
  /** Last value of each metric and dataset, with the run that logged it. Values as JSON writes them: NaN and the infinities as text. */
  metrics: (Omit<ModelMetric, 'value'> & { value: number | string; run: string })[];
  /** Below the artifact store. */
  path: string;
  deleted: boolean;
}

const table = 'mlflow.models';
const links = 'mlflow.model-links';
const keyOf = (call: Pick<MlflowCall, 'ws'>, id: string): string => `${call.ws.guid}/${id}`;

export function getModel(reader: Pick<Tx, 'get'>, call: Pick<MlflowCall, 'ws'>, id: string): LoggedModel {
  const found = reader.get<LoggedModel>(table, keyOf(call, id));
  if (!found || found.deleted) throw missing(`Logged model with ID '${id}' not found.`);
  return found;
}

export const putModel = (tx: Tx, call: Pick<MlflowCall, 'ws'>, model: LoggedModel): void =>
  tx.put(table, keyOf(call, model.id), model);

export function listModels(call: MlflowCall): LoggedModel[] {
  return call.ctx.store
    .entries<LoggedModel>(table, { prefix: `${call.ws.guid}/` })
    .map(({ value }) => value)
    .filter(({ deleted }) => !deleted);
}

/** Models that a run read (`inputs`) or made (`outputs`). */
export function loggedModelsOf(
  call: MlflowCall,
  runId: string,
  side: 'inputs' | 'outputs',
): { model_id: string; step: number }[] {
  return call.ctx.store
    .entries<{ model_id: string; step: number }>(links, { prefix: `${call.ws.guid}/${runId}/${side}/` })
    .map(({ value }) => value);
}

export function linkModels(tx: Tx, call: MlflowCall, runId: string, side: 'inputs' | 'outputs', models: Fields[]): void {
  for (const entry of models) {
    const id = need(entry, 'model_id');
    getModel(tx, call, id);
    tx.put(links, `${call.ws.guid}/${runId}/${side}/${id}`, { model_id: id, step: whole(entry, 'step') ?? 0 });
  }
}

/** Metrics that name a model count for it, too. */
export function logModelMetrics(tx: Tx, call: MlflowCall, runId: string, metrics: ModelMetric[]): void {
  for (const metric of metrics) {
    const model = getModel(tx, call, metric.model);
    const others = model.metrics.filter(
      (known) => known.key !== metric.key || known.dataset !== metric.dataset || known.digest !== metric.digest,
    );
    putModel(tx, call, {
      ...model,
      updatedAt: call.time.getTime(),
      metrics: [...others, { ...metric, value: fromDouble(metric.value), run: runId }],
    });
  }
}

/** A logged model in MLflow's words; `base`: where artifact addresses begin. */
export function showModel(model: LoggedModel, base: string): unknown {
  return {
    info: {
      model_id: model.id,
      experiment_id: model.experimentId,
      name: model.name,
      creation_timestamp_ms: model.createdAt,
      last_updated_timestamp_ms: model.updatedAt,
      artifact_uri: `${base}/${model.path}`,
      status: model.status,
      model_type: model.modelType,
      source_run_id: model.sourceRunId,
      tags: pairs(model.tags),
    },
    data: {
      params: pairs(model.params),
      metrics: model.metrics.map(({ key, value, timestamp, step, model: model_id, dataset, digest, run }) => ({
        key,
        value,
        timestamp,
        step,
        model_id,
        run_id: run,
        ...(dataset ? { dataset_name: dataset } : {}),
        ...(digest ? { dataset_digest: digest } : {}),
      })),
    },
  };
}
