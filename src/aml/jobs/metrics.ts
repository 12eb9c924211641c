/** Metrics of a job and its steps through MLflow REST (reference azure-ml-rest §2.5). They are eventually consistent (§8): read again for a while. */
import type { Clock } from '../../azure/types.js';
import type { Workspace } from '../workspace.js';
import { bestTrial, type StepState } from './steps.js';

export interface Metrics {
  /** Finite numbers by name. The job's own win; a step's are there by their name, or as `step.name` where two steps log the same name differently. */
  values: Record<string, number>;
  /** Names whose last value is NaN or infinite, or that several steps log: said to the user, never judged. */
  remarks: string[];
  /** `NaN`, `Infinity` or `-Infinity` by name, where no other run has a number of that name: a gate must be able to say so. */
  unfit?: Record<string, string>;
}

interface RunReply {
  run?: {
    data?: { metrics?: { key?: string; value?: number | string | null; timestamp?: number | string; step?: number | string }[] };
  };
}

async function mlflowBase(workspace: Workspace, signal?: AbortSignal): Promise<string> {
  const { api } = await workspace.facts(signal);
  return `${api}/mlflow/v2.0${workspace.id}/api/2.0/mlflow`;
}

/** Last values of one run; empty when it has logged nothing or has no MLflow run. */
async function runMetrics(workspace: Workspace, runId: string, signal?: AbortSignal): Promise<Record<string, number>> {
  const { status, body } = await workspace.azure.request<RunReply>({
    method: 'GET',
    url: `${await mlflowBase(workspace, signal)}/runs/get`,
    query: { run_id: runId },
    accept: [404],
    operation: `read the metrics of run ${runId}`,
    ...(signal ? { signal } : {}),
  });
  const found: Record<string, number> = {};
  if (status === 404) return found;
  for (const { key, value } of body?.run?.data?.metrics ?? [])
    if (key) found[key] = value === null || value === '' ? Number.NaN : Number(value);
  return found;
}

interface MetricSource {
  runId: string;
  /** Step name, for names that collide. Empty for the job itself. */
  name: string;
  /** A trial that was not the best: what it logs is never the job's, only `trial.name`. */
  aside?: boolean;
}

/**
 * Where a job's metrics are: its own run, and the leaves below. Of the trials of a sweep the best speaks for the sweep, where the service
 * says which that is (property `best_child_run_id` of the sweep).
 */
export function metricSources(
  job: { name: string; properties?: Readonly<Record<string, string>> },
  steps: readonly StepState[],
): MetricSource[] {
  const sweeps = steps.flatMap(({ name, best }) => (best ? [{ below: `${name}/`, best }] : []));
  const own = job.properties?.[bestTrial];
  if (own) sweeps.push({ below: '', best: own });
  const leaves = steps.filter(({ group, runId }) => !group && runId !== job.name);
  const aside = ({ name, runId }: StepState) => sweeps.some(({ below, best }) => name.startsWith(below) && runId !== best);
  return [
    { runId: job.name, name: '' },
    ...leaves.map((step) => ({ runId: step.logsOf, name: step.name, ...(aside(step) ? { aside: true } : {}) })),
  ];
}

/** Names of the best trials of the job's sweeps, where the service says which these are. */
export function bestTrials(
  job: { properties?: Readonly<Record<string, string>> },
  steps: readonly Pick<StepState, 'name' | 'runId' | 'best'>[],
): string[] {
  const best = new Set([job.properties?.[bestTrial], ...steps.map((step) => step.best)]);
  return steps.filter(({ runId }) => best.has(runId)).map(({ name }) => name);
}

/** One look at everything. */
export async function readMetrics(
  workspace: Workspace,
  sources: readonly MetricSource[],
  signal?: AbortSignal,
): Promise<Metrics> {
  const all: Logged[] = [];
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < sources.length; at = next++) {
      const source = sources[at] as MetricSource;
      all[at] = { name: source.name, aside: source.aside === true, values: await runMetrics(workspace, source.runId, signal) };
    }
  };
  await Promise.all(Array.from({ length: Math.min(8, sources.length) }, worker));
  return merge(all);
}

interface Logged {
  name: string;
  aside: boolean;
  values: Record<string, number>;
}

function merge(all: readonly Logged[]): Metrics {
  const values: Record<string, number> = {};
  const remarks: string[] = [];
  const unfit: Record<string, string> = {};
  const by = new Map<string, { name: string; aside: boolean; value: number }[]>();
  for (const { name, aside, values: own } of all) {
    for (const [key, value] of Object.entries(own)) {
      if (Number.isFinite(value)) by.set(key, [...(by.get(key) ?? []), { name, aside, value }]);
      else {
        remarks.push(`${name ? `${name}.` : ''}${key} is ${value}: left out`);
        if (!aside) unfit[key] = String(value);
      }
    }
  }
  for (const [key, found] of by) {
    // The job itself comes first. What only trials aside have logged, were it the same of all, is nobody's but theirs.
    const [first, ...others] = found.filter(({ aside }) => !aside);
    const agreed = first !== undefined && (first.name === '' || others.every(({ value }) => value === first.value));
    if (agreed) values[key] = first.value;
    else remarks.push(`${key} is logged by ${found.map(({ name }) => name).join(', ')}: given as <step>.${key}`);
    if (agreed && found.every(({ value }) => value === first.value)) continue;
    for (const { name, value } of found) if (name) values[`${name}.${key}`] = value;
  }
  for (const key of Object.keys(values)) delete unfit[key];
  return { values, remarks, unfit };
}

/**
 * Reads until two looks agree, at most for `patienceMs` (default 6 s): the last values of a job that has just completed may be late.
 * A job without metrics costs the whole patience once.
 */
export async function settledMetrics(
  workspace: Workspace,
  sources: readonly MetricSource[],
  options: { clock: Clock; signal?: AbortSignal; patienceMs?: number },
): Promise<Metrics> {
  const { clock, signal, patienceMs = 6_000 } = options;
  const started = clock.now();
  let last = await readMetrics(workspace, sources, signal);
  for (let wait = 500; clock.now() - started + wait <= patienceMs; wait = Math.min(wait * 2, 4_000)) {
    await clock.sleep(wait, signal);
    const again = await readMetrics(workspace, sources, signal);
    const agrees = JSON.stringify(again.values) === JSON.stringify(last.values);
    last = again;
    if (agrees && Object.keys(again.values).length > 0) break;
  }
  return last;
}
