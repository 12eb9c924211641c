/** The runs below a job: its steps, nested pipelines and sweep trials included (reference azure-ml-rest §2.3, azure-ml-observed §2). */
import type { Workspace } from '../workspace.js';
import { Names, phaseOf, type Phase } from './job.js';

export interface StepState {
  runId: string;
  /** Step name; below a nested pipeline or a sweep with the parent's before it: `train/trial_3`. */
  name: string;
  status: string;
  phase: Phase;
  /** A pipeline or sweep with runs of its own below. */
  group: boolean;
  reused: boolean;
  /** Milliseconds since 1970. */
  started?: number;
  ended?: number;
  error?: RunError;
  /** Container of its logs: a reused step's is that of the run it took over. */
  logsOf: string;
  studioUrl?: string;
  /** Run id of a sweep's best trial, when it is known. */
  best?: string;
}

/** Property of a sweep that names its best trial. */
export const bestTrial = 'best_child_run_id';

export interface RunError {
  code: string;
  message: string;
  /** All codes from the outermost to the innermost. */
  codes: string[];
}

interface RunBody {
  runId?: string;
  status?: string;
  displayName?: string | null;
  name?: string | null;
  runType?: string | null;
  runTypeV2?: { orchestrator?: string | null; traits?: string[] | null } | null;
  startTimeUtc?: string | null;
  endTimeUtc?: string | null;
  createdUtc?: string | null;
  properties?: Record<string, string | null> | null;
  error?: unknown;
}

/** Base of run history, after discovery. */
export async function historyBase(workspace: Workspace, signal?: AbortSignal): Promise<string> {
  const { api } = await workspace.facts(signal);
  return `${api}/history/v1.0${workspace.id}`;
}

/** Ends whose children cannot change any more are not asked again. */
export class StepReader {
  readonly #workspace: Workspace;
  readonly #job: string;
  readonly #settled = new Map<string, StepState[]>();
  readonly #names = new Names();
  /** Requests of the last `read`, without further pages. */
  requests = 0;

  constructor(workspace: Workspace, job: string) {
    this.#workspace = workspace;
    this.#job = job;
  }

  /** All steps, in the order in which they were made; groups before what is in them. One request, and one for each group that goes on. */
  async read(signal?: AbortSignal): Promise<StepState[]> {
    this.requests = 0;
    return this.#below(await historyBase(this.#workspace, signal), this.#job, '', 0, signal);
  }

  async #below(base: string, runId: string, prefix: string, depth: number, signal?: AbortSignal): Promise<StepState[]> {
    const settled = this.#settled.get(runId);
    if (settled) return settled;
    this.requests += 1;
    const runs: RunBody[] = [];
    const request = {
      method: 'GET' as const,
      url: `${base}/runs/${encodeURIComponent(runId)}/children`,
      operation: `read the steps of job ${this.#job}`,
      retries: 2,
      timeoutSeconds: 30,
      ...(signal ? { signal } : {}),
    };
    for await (const run of this.#workspace.azure.list<RunBody>(request)) runs.push(run);
    // The service gives the later first; what was made in one moment keeps that order, turned round.
    runs.reverse().sort((a, b) => (a.createdUtc ?? '').localeCompare(b.createdUtc ?? ''));
    const steps: StepState[] = [];
    for (const run of runs) {
      if (!run.runId) continue;
      const step = stepState(run, prefix, runId);
      step.name = this.#names.of(step.name, run.runId);
      steps.push(step);
      if (!step.group || depth >= 8) continue;
      const below = await this.#below(base, run.runId, `${step.name}/`, depth + 1, signal);
      steps.push(...below);
      const over = (one: StepState) => one.phase === 'completed' || one.phase === 'failed' || one.phase === 'canceled';
      if (over(step) && below.every(over)) this.#settled.set(run.runId, below);
    }
    return steps;
  }
}

function stepState(run: RunBody, prefix: string, parent: string): StepState {
  const properties = run.properties ?? {};
  const reused = properties['azureml.isreused']?.toLowerCase() === 'true';
  const runId = run.runId ?? '';
  const time = (text: string | null | undefined) => (text ? Date.parse(text) : Number.NaN);
  const [started, ended] = [time(run.startTimeUtc), time(run.endTimeUtc)];
  const error = runError(run.error);
  // The trials of a sweep are called `{job}_{n}` unless somebody named them: the job's name is in the log already.
  const called = run.displayName || run.name || runId;
  const trial = called.startsWith(`${parent}_`) ? /^\d+$/.exec(called.slice(parent.length + 1))?.[0] : undefined;
  const anonymous = !run.displayName && (!run.name || run.name === 'azureml_anonymous');
  return {
    runId,
    name: prefix + (trial !== undefined ? `trial_${trial}` : anonymous ? runId.slice(-8) : run.displayName || run.name || ''),
    status: run.status ?? '',
    phase: phaseOf(run.status ?? ''),
    group: isGroup(run),
    reused,
    ...(Number.isFinite(started) ? { started } : {}),
    ...(Number.isFinite(ended) ? { ended } : {}),
    ...(error ? { error } : {}),
    ...(properties[bestTrial] ? { best: properties[bestTrial] } : {}),
    logsOf: (reused ? properties['azureml.reusedrunid'] : undefined) ?? runId,
  };
}

/** A reused pipeline node has no runs below it, so it stands for itself. */
function isGroup(run: RunBody): boolean {
  const traits = run.runTypeV2?.traits ?? [];
  const words = [run.runType ?? '', run.runTypeV2?.orchestrator ?? '', ...traits].join(' ').toLowerCase();
  return (
    /azureml\.pipelinerun|hyperdrive|sweep|\bautoml\b/.test(words) &&
    run.properties?.['azureml.isreused']?.toLowerCase() !== 'true'
  );
}

/** Run history's RootError, with or without its `error` wrapper. */
export function runError(value: unknown): RunError | undefined {
  const record = (one: unknown) => (typeof one === 'object' && one !== null ? (one as Record<string, unknown>) : undefined);
  const root = record(record(value)?.['error']) ?? record(value);
  if (!root) return undefined;
  const codes: string[] = [];
  for (let layer: Record<string, unknown> | undefined = root, depth = 0; layer && depth < 10; depth++) {
    if (typeof layer['code'] === 'string') codes.push(layer['code']);
    layer = record(layer['innerError'] ?? layer['innererror']);
  }
  const message = typeof root['message'] === 'string' ? root['message'] : '';
  if (!message && codes.length === 0) return undefined;
  return { code: codes[0] ?? '', message, codes };
}

interface RunDetails {
  status: string;
  logFiles: Record<string, string>;
  error?: RunError;
  warnings: string[];
}

/** Details of one run: addresses of its logs (each with its own signature) and its error. Undefined when there is none. */
export async function readDetails(workspace: Workspace, runId: string, signal?: AbortSignal): Promise<RunDetails | undefined> {
  const { status, body } = await workspace.azure.request<{
    status?: string;
    logFiles?: Record<string, string> | null;
    error?: unknown;
    warnings?: { message?: string }[] | null;
  }>({
    method: 'GET',
    url: `${await historyBase(workspace, signal)}/runs/${encodeURIComponent(runId)}/details`,
    accept: [404],
    retries: 2,
    timeoutSeconds: 30,
    operation: `read the details of run ${runId}`,
    ...(signal ? { signal } : {}),
  });
  if (status === 404) return undefined;
  const error = runError(body?.error);
  return {
    status: body?.status ?? '',
    logFiles: body?.logFiles ?? {},
    warnings: (body?.warnings ?? []).flatMap(({ message }) => (message ? [message] : [])),
    ...(error ? { error } : {}),
  };
}
