/** Runs as run history shows them (azure-ml-observed.md §2). */
import { offset } from '../clock.js';
import type { Ctx, WorkspaceRecord } from '../context.js';
import { artifactPlace } from '../engine/locate.js';
import { type Json } from '../engine/json.js';
import { children, getRun } from './access.js';
import { isTerminal, type Principal, type RunError, type RunRecord } from './record.js';

/** The status to show: `--faults not-responding` hides a running job for a while. */
export function shownStatus(ctx: Ctx, run: RunRecord): string {
  const seconds = ctx.faults.notResponding();
  if (seconds <= 0 || run.status !== 'Running' || run.startedAt === undefined) return run.status;
  return ctx.clock.now().getTime() - Date.parse(run.startedAt) < seconds * 1000 ? 'NotResponding' : run.status;
}

const stamp = (iso: string | undefined): string | null => (iso === undefined ? null : offset(iso));

/** `hh:mm:ss.fffffff`, null while it has not begun. */
function duration(run: RunRecord, now: Date): string | null {
  if (run.startedAt === undefined) return null;
  const end = run.endedAt === undefined ? now.getTime() : Date.parse(run.endedAt);
  const ms = Math.max(0, end - Date.parse(run.startedAt));
  const two = (value: number): string => String(Math.floor(value)).padStart(2, '0');
  return `${two(ms / 3_600_000)}:${two((ms / 60_000) % 60)}:${two((ms / 1000) % 60)}.${String((ms % 1000) * 10_000).padStart(7, '0')}`;
}

/** The service's own principal, which changes the run of a step that is executed. */
function service(principal: Principal): Json {
  return {
    userObjectId: principal.objectId,
    userPuId: null,
    userIdp: null,
    userAltSecId: null,
    userIss: null,
    userTenantId: principal.tenantId,
    userName: principal.objectId,
    upn: null,
  };
}

function person(principal: Principal): Json {
  return {
    userObjectId: principal.objectId,
    userPuId: '0000000000000000',
    userIdp: null,
    userAltSecId: null,
    userIss: `https://sts.windows.net/${principal.tenantId}/`,
    userTenantId: principal.tenantId,
    userName: principal.name,
    upn: null,
  };
}

/** The data plane's error of a run. */
function errorBody(error: RunError | undefined, ws: WorkspaceRecord, run: RunRecord): Json | null {
  if (!error) return null;
  return {
    error: {
      code: error.code,
      severity: null,
      message: error.message,
      messageFormat: error.messageFormat ?? error.message,
      messageParameters: error.messageParameters ?? {},
      referenceCode: null,
      detailsUri: null,
      target: null,
      details: [],
      innerError: error.innerCode === undefined ? null : { code: error.innerCode, innerError: null },
      debugInfo: null,
      additionalInfo: null,
    },
    correlation: { operation: run.runUuid.replaceAll('-', ''), request: run.runUuid.replaceAll('-', '').slice(0, 16) },
    environment: ws.location,
    location: ws.location,
    time: stamp(run.endedAt ?? run.lastModifiedAt),
    componentName: 'execution-worker',
  };
}

interface Shape {
  runType: string | null;
  orchestrator: string | null;
  traits: string[];
  attribution: string | null;
  computeType: string | null;
}

function shapeOf(run: RunRecord): Shape {
  const reused = run.properties['azureml.isreused'] === 'true';
  const pipeline =
    run.kind === 'Pipeline' || (run.kind === 'Step' && run.properties['azureml.runsource'] === 'azureml.PipelineRun');
  if (pipeline)
    return {
      runType: 'azureml.PipelineRun',
      orchestrator: 'Pipeline',
      traits: ['azureml.PipelineRun', 'MFE', 'HTTP', 'DevPlatv2'],
      attribution: null,
      computeType: null,
    };
  if (run.kind === 'Step') {
    if (reused)
      return {
        runType: 'azureml.StepRun',
        orchestrator: null,
        traits: ['azureml.StepRun'],
        attribution: null,
        computeType: null,
      };
    return {
      runType: 'azureml.StepRun',
      orchestrator: 'Execution',
      traits: ['azureml.StepRun', 'scriptRun', 'remote', 'AlmostCommonRuntime', 'OsType:Linux', 'CommonRuntime'],
      attribution: 'Aether',
      computeType: 'AmlcTrain',
    };
  }
  if (run.kind === 'Sweep')
    return {
      runType: 'azureml.sweep',
      orchestrator: 'HyperDrive',
      traits: ['azureml.sweep'],
      attribution: null,
      computeType: null,
    };
  if (run.kind === 'Mlflow')
    return { runType: null, orchestrator: null, traits: ['mlflow'], attribution: null, computeType: null };
  return {
    runType: 'azureml.scriptrun',
    orchestrator: 'Execution',
    traits: ['azureml.scriptrun', 'scriptRun', 'remote', 'CommonRuntime'],
    attribution: null,
    computeType: 'AmlcTrain',
  };
}

function cancelUri(ctx: Ctx, ws: WorkspaceRecord, run: RunRecord): string {
  const scope = `subscriptions/${ws.subscriptionId}/resourceGroups/${ws.resourceGroup}/workspaces/${ws.name}`;
  return run.kind === 'Pipeline'
    ? `${ctx.urls.base}/studioservice/api/${scope}/PipelineRuns/${run.runId}/cancel`
    : `${ctx.urls.base}/studioservice/apiv2/${scope}/runs/${run.runId}/Cancel`;
}

/** A run as `runs/{id}` answers it, members in the service's order. */
export function runBody(ctx: Ctx, ws: WorkspaceRecord, run: RunRecord, withOutputs = false): Json {
  const now = ctx.clock.now();
  const parent = run.parentRunId === undefined ? undefined : getRun(ctx.store, ws.guid, run.parentRunId);
  const root = run.rootRunId === run.runId ? run : getRun(ctx.store, ws.guid, run.rootRunId);
  const { runType, ...runTypeV2 } = shapeOf(run);
  const reused = run.properties['azureml.isreused'] === 'true';
  const pipeline = runType === 'azureml.PipelineRun';
  const cancel = cancelUri(ctx, ws, run);
  const took = duration(run, now);
  return {
    runNumber: Math.floor(Date.parse(run.createdAt) / 1000),
    rootRunId: run.rootRunId,
    createdUtc: stamp(run.createdAt),
    createdBy: person(run.createdBy),
    userId: run.createdBy.objectId,
    token: null,
    tokenExpiryTimeUtc: null,
    error: errorBody(run.error, ws, run),
    warnings: run.warnings.length === 0 ? null : run.warnings.map((message) => ({ source: null, message })),
    revision: run.revision,
    statusRevision: run.revision,
    runUuid: run.runUuid,
    parentRunUuid: parent?.runUuid ?? null,
    rootRunUuid: root?.runUuid ?? run.runUuid,
    lastStartTimeUtc: null,
    currentComputeTime: isTerminal(run.status) ? null : took,
    computeDuration: isTerminal(run.status) ? took : null,
    effectiveStartTimeUtc: null,
    lastModifiedBy: run.kind === 'Step' && !reused ? service(run.createdBy) : person(run.createdBy),
    lastModifiedUtc: stamp(run.lastModifiedAt),
    duration: took,
    cancelationReason: run.cancelReason ?? null,
    currentAttemptId: null,
    runId: run.runId,
    parentRunId: run.parentRunId ?? null,
    experimentId: run.experimentId,
    status: shownStatus(ctx, run),
    startTimeUtc: stamp(run.startedAt),
    endTimeUtc: stamp(run.endedAt),
    scheduleId: null,
    displayName: run.displayName,
    name: run.componentName ?? null,
    dataContainerId: run.dataContainerId,
    description: run.description ?? null,
    hidden: run.hidden,
    runType,
    runTypeV2,
    properties: run.properties,
    parameters: run.params,
    actionUris: { Cancel: cancel, ...(reused || pipeline ? {} : { Diagnose: '' }) },
    scriptName: null,
    target: pipeline ? null : (run.target ?? null),
    uniqueChildRunComputeTargets: pipeline ? targets(ctx, ws, run) : [],
    tags: run.tags,
    settings: {},
    services: {},
    inputDatasets: [],
    outputDatasets: [],
    runDefinition: null,
    jobSpecification: null,
    primaryMetricName: run.primaryMetric ?? null,
    createdFrom: null,
    cancelUri: cancel,
    completeUri: null,
    diagnosticsUri: reused || pipeline ? null : '',
    computeRequest: reused || pipeline ? null : { nodeCount: 1, gpuCount: 0 },
    compute: reused || pipeline || run.target === undefined ? null : computeBody(run.target),
    retainForLifetimeOfWorkspace: null,
    queueingInfo: null,
    inputs: null,
    // runs/{id} answers null; only rundata and details list them.
    outputs: withOutputs ? outputsOf(run) : null,
  };
}

function targets(ctx: Ctx, ws: WorkspaceRecord, run: RunRecord): string[] {
  return [...new Set(children(ctx.store, ws.guid, run.runId).flatMap(({ target }) => (target === undefined ? [] : [target])))];
}

function computeBody(target: string): Json {
  return {
    target,
    targetType: 'amlcompute',
    vmSize: null,
    instanceType: null,
    instanceCount: 1,
    gpuCount: 0,
    priority: null,
    region: null,
    armId: null,
    properties: null,
  };
}

/** Outputs as rundata lists them; parents and commands have `default`, their artifacts, besides. */
export function outputsOf(run: RunRecord): Json {
  return Object.fromEntries(Object.entries(run.outputs).map(([name, { assetId, type }]) => [name, { assetId, type }]));
}

/** `runs/{id}/details`. Log URLs carry their own SAS. */
export function detailsBody(ctx: Ctx, ws: WorkspaceRecord, run: RunRecord): Json {
  const body = runBody(ctx, ws, run, true);
  const { createdUtc, ...rest } = body;
  return {
    ...rest,
    createdTimeUtc: createdUtc,
    warnings: run.warnings.map((message) => ({ source: null, message })),
    runDefinition: null,
    logFiles: logFiles(ctx, ws, run),
    jobCost: null,
    hasVirtualParent: false,
  };
}

/** Name of each log file and a URL that reads it without a token. */
function logFiles(ctx: Ctx, ws: WorkspaceRecord, run: RunRecord): Record<string, string> {
  return Object.fromEntries(
    run.logFiles.map((name) => {
      const place = artifactPlace(ws, run.dataContainerId, name);
      return [name, ctx.storage.sasUrl(place.account, place.container, { permissions: 'r', blob: place.path })];
    }),
  );
}
