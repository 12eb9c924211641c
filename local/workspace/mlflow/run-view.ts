/** A run as MLflow shows it: info, data, inputs, outputs. */
import { getExperiment, getRun, type Reader } from '../runs/access.js';
import { latestMetrics } from '../runs/metrics.js';
import type { RunRecord, RunStatus } from '../runs/record.js';
import { artifactBase } from './experiments.js';
import { loggedModelsOf } from './logged-models-store.js';
import { fromDouble, missing, pairs, type MlflowCall } from './wire.js';

const statuses: Record<RunStatus, string> = {
  NotStarted: 'SCHEDULED',
  Starting: 'SCHEDULED',
  Provisioning: 'SCHEDULED',
  Preparing: 'SCHEDULED',
  Queued: 'SCHEDULED',
  Running: 'RUNNING',
  Finalizing: 'RUNNING',
  CancelRequested: 'RUNNING',
  Completed: 'FINISHED',
  Failed: 'FAILED',
  Canceled: 'KILLED',
};

/** MLflow's word for a run's status. */
const mlflowStatus = (run: RunRecord): string => statuses[run.status];

/** The run, or MLflow's own 404. */
export function findRun(call: MlflowCall, id: string): RunRecord {
  const run = getRun(call.ctx.store, call.ws.guid, id);
  if (!run) throw missing(`Run '${id}' not found`);
  return run;
}

/** A run is deleted itself, or with its experiment. */
export const isDeleted = (reader: Reader, run: RunRecord): boolean =>
  run.deleted === true || getExperiment(reader, run.workspace, run.experimentId)?.deleted === true;

/** Where a run's artifacts are for MLflow clients: an https address that takes the same token as everything else. */
export const artifactUri = (call: Pick<MlflowCall, 'base'>, run: RunRecord): string =>
  `${artifactBase(call)}/ExperimentRun/${run.dataContainerId}`;

/** Who a run is by: the name that a client gave, else the principal's. */
const userOf = (run: RunRecord): string => run.tags['mlflow.user'] ?? run.createdBy.name;

/** Tags, with those that the service keeps as members of the run. */
export function tagsOf(run: RunRecord): Record<string, string> {
  return {
    ...run.tags,
    'mlflow.runName': run.displayName,
    'mlflow.rootRunId': run.rootRunId,
    'mlflow.user': userOf(run),
    ...(run.parentRunId === undefined ? {} : { 'mlflow.parentRunId': run.parentRunId }),
  };
}

const startTime = (run: RunRecord): number => Date.parse(run.startedAt ?? run.createdAt);
const endTime = (run: RunRecord): number | undefined => (run.endedAt === undefined ? undefined : Date.parse(run.endedAt));

/** Attribute of a run for search and order; undefined when it has none; throws nothing. */
export function attributesOf(call: MlflowCall, run: RunRecord): Record<string, string | number | undefined> {
  return {
    run_id: run.runId,
    run_name: run.displayName,
    'run name': run.displayName,
    status: mlflowStatus(run),
    start_time: startTime(run),
    created: startTime(run),
    end_time: endTime(run),
    artifact_uri: artifactUri(call, run),
    user_id: userOf(run),
    experiment_id: run.experimentId,
  };
}

/** Metrics as a reader sees them now: with the fault `metrics-late`, the newest are not there yet. */
function visibleMetrics(call: MlflowCall, run: RunRecord): ReturnType<typeof latestMetrics> {
  return call.ctx.faults.metricsLate(run.runId) ? [] : latestMetrics(call.ctx.store, call.ws.guid, run.runId);
}

export function runInfo(call: MlflowCall, run: RunRecord): unknown {
  const end = endTime(run);
  return {
    run_id: run.runId,
    run_uuid: run.runId,
    run_name: run.displayName,
    experiment_id: run.experimentId,
    user_id: userOf(run),
    status: mlflowStatus(run),
    start_time: startTime(run),
    ...(end === undefined ? {} : { end_time: end }),
    artifact_uri: artifactUri(call, run),
    lifecycle_stage: isDeleted(call.ctx.store, run) ? 'deleted' : 'active',
  };
}

export function showRun(call: MlflowCall, run: RunRecord): unknown {
  return {
    info: runInfo(call, run),
    data: {
      metrics: visibleMetrics(call, run).map(({ key, value, timestamp, step }) => ({
        key,
        value: fromDouble(value),
        timestamp,
        step,
      })),
      params: pairs(run.params),
      tags: pairs(tagsOf(run)),
    },
    inputs: {
      dataset_inputs: run.datasets.map(({ name, digest, sourceType, source, schema, profile, tags }) => ({
        tags: pairs(tags),
        dataset: {
          name,
          digest,
          source_type: sourceType,
          source,
          ...(schema === undefined ? {} : { schema }),
          ...(profile === undefined ? {} : { profile }),
        },
      })),
      model_inputs: loggedModelsOf(call, run.runId, 'inputs').map(({ model_id }) => ({ model_id })),
    },
    outputs: { model_outputs: loggedModelsOf(call, run.runId, 'outputs') },
  };
}
