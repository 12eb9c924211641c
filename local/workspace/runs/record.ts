/**
 * The run: the one truth that ARM jobs, run history and MLflow all show. A run's id is the job's name. A document that only ARM shows
 * (the job as it was submitted and completed) is kept beside it, see `jobs.ts`.
 * Reading and writing: `access.ts` (runs, experiments), `metrics.ts`.
 */

/** azure-ml-rest.md §2.1 */
export type RunStatus =
  | 'NotStarted'
  | 'Starting'
  | 'Provisioning'
  | 'Preparing'
  | 'Queued'
  | 'Running'
  | 'Finalizing'
  | 'CancelRequested'
  | 'Completed'
  | 'Failed'
  | 'Canceled';

const terminalStatuses: readonly RunStatus[] = ['Completed', 'Failed', 'Canceled'];

export function isTerminal(status: RunStatus): boolean {
  return terminalStatuses.includes(status);
}

/** Data-plane form of an error (azure-ml-observed.md §2, "Error of a failed run"). */
export interface RunError {
  code: string;
  message: string;
  messageFormat?: string;
  messageParameters?: Record<string, string>;
  /** Innermost code, e.g. `BadArgument`. */
  innerCode?: string;
}

/** One output (or input) as run history lists it. `type` is run history's word: `UriFolder`, `UriFile`, `MLTable`; literals do not appear. */
interface RunAsset {
  assetId: string;
  type: string;
  /** Where the bytes are, in the long datastore form. */
  uri: string;
}

/** A dataset logged through MLflow `log-inputs`. */
export interface RunDataset {
  name: string;
  digest: string;
  sourceType: string;
  source: string;
  schema?: string;
  profile?: string;
  tags: Record<string, string>;
}

/** What a run executes, as run history's definition tells it. */
export interface RunDefinition {
  /** With literals filled in; data stands as `DatasetConsumptionConfig:name` and `DatasetOutputConfig:name`. */
  command: string;
  environment: string;
  environmentVariables: Record<string, string>;
  inputs: Record<string, { uri: string; type: string; mode?: string }>;
  outputs: Record<string, { uri?: string; type: string; mode?: string; assetName?: string }>;
  /** Seconds. */
  timeout?: number;
}

export interface Principal {
  objectId: string;
  tenantId: string;
  /** Display name. */
  name: string;
  type: 'User' | 'Application';
}

export interface RunRecord {
  runId: string;
  /** Key of the workspace: its `workspaceId` GUID. */
  workspace: string;
  rootRunId: string;
  parentRunId?: string;
  experimentId: string;
  experimentName: string;
  /** GUID that stays when nothing else does (`runUuid`). */
  runUuid: string;
  /** Counts every change (`revision`). */
  revision: number;
  /** Strictly rising per workspace: the order of creation. Set by `putRun`. */
  sequence: number;

  displayName: string;
  /** Component name of a step (`azureml_anonymous`), else absent. */
  componentName?: string;
  description?: string;
  /** ARM job type; `Step` = a child of a pipeline, `Trial` = a child of a sweep, `Mlflow` = started by an MLflow client without a job. */
  kind: 'Command' | 'Pipeline' | 'Sweep' | 'Step' | 'Trial' | 'Mlflow';
  /** Name of the node in its pipeline (children only). */
  nodeName?: string;
  status: RunStatus;
  /** ISO 8601, UTC. */
  createdAt: string;
  startedAt?: string;
  endedAt?: string;
  lastModifiedAt: string;
  createdBy: Principal;
  cancelRequested?: boolean;
  /** Why it was cancelled, when the service itself did it (run history's `cancelationReason`). */
  cancelReason?: string;
  /** ARM `isArchived`, run history `hidden`. */
  hidden: boolean;
  /** MLflow `lifecycle_stage: deleted`. */
  deleted?: boolean;

  tags: Record<string, string>;
  /** Immutable once set, by the service's rule. */
  properties: Record<string, string>;
  /** MLflow params; a key is written once. */
  params: Record<string, string>;
  inputs: Record<string, RunAsset>;
  outputs: Record<string, RunAsset>;
  datasets: RunDataset[];
  error?: RunError;
  warnings: string[];
  /** Files of the run's log, relative to its artifact container: `user_logs/std_log.txt`. */
  logFiles: string[];
  /** `dcid.{runId}`; of a reused step the container of the run that was reused. The bytes: workspaceartifactstore, `ExperimentRun/{dataContainerId}/…`. */
  dataContainerId: string;
  /** Name of the compute. */
  target?: string;
  /** Metric the run is judged by (sweeps). */
  primaryMetric?: string;
  /** Runs that are a process: known once it starts. */
  definition?: RunDefinition;
}

/** One logged value. */
export interface MetricPoint {
  value: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  step: number;
}

export interface LatestMetric extends MetricPoint {
  key: string;
  /** Number of values logged. */
  count: number;
}

/** A new record with everything that has a neutral value filled in. */
export function newRun(
  known: Pick<RunRecord, 'runId' | 'workspace' | 'experimentId' | 'experimentName' | 'kind' | 'runUuid' | 'createdBy'> &
    Partial<RunRecord>,
  now = new Date(),
): RunRecord {
  return {
    rootRunId: known.parentRunId ?? known.runId,
    revision: 0,
    sequence: 0,
    displayName: known.runId,
    status: 'NotStarted',
    createdAt: now.toISOString(),
    lastModifiedAt: now.toISOString(),
    hidden: false,
    tags: {},
    properties: {},
    params: {},
    inputs: {},
    outputs: {},
    datasets: [],
    warnings: [],
    logFiles: [],
    dataContainerId: `dcid.${known.runId}`,
    ...known,
  };
}
