/** Metrics of the job that trained a model, for judging: late ones are read again for a bounded time (reference azure-ml-rest §8). */
import type { Clock } from '../azure/types.js';
import { readJob } from './jobs/job.js';
import { metricSources, readMetrics, type Metrics } from './jobs/metrics.js';
import { StepReader } from './jobs/steps.js';
import type { Workspace } from './workspace.js';

/** Longest wait for a metric that is not there yet. */
const patienceMs = 60_000;

/**
 * Numbers by name, and the words `NaN`, `Infinity`, `-Infinity` where that is what was logged. Read until every name in `wanted` is there,
 * at most for a minute. A job that this workspace does not know gives an empty object.
 */
export async function trainingMetrics(
  workspace: Workspace,
  job: string,
  wanted: readonly string[],
  options: { clock: Clock; signal?: AbortSignal; say?: (line: string) => void },
): Promise<Record<string, number | string>> {
  const { clock, signal, say } = options;
  const steps = await new StepReader(workspace, job).read(signal).catch((error: unknown) => {
    signal?.throwIfAborted();
    say?.(`The steps of job ${job} could not be read: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  });
  // Only a sweep's own properties say which of its trials speaks for it.
  const trials = steps.some(({ runId }) => runId.startsWith(`${job}_`));
  const known = trials ? await readJob(workspace, job, signal ? { signal } : {}) : undefined;
  const sources = metricSources(known ?? { name: job }, steps);
  const started = clock.now();
  const missing = (metrics: Metrics) => wanted.filter((name) => !(name in metrics.values) && !(name in (metrics.unfit ?? {})));
  let metrics = await readMetrics(workspace, sources, signal);
  let said = false;
  for (
    let wait = 1000;
    missing(metrics).length > 0 && clock.now() - started + wait <= patienceMs;
    wait = Math.min(wait * 2, 10_000)
  ) {
    if (!said) say?.(`Metrics may be late; waiting for ${missing(metrics).join(', ')} (at most ${patienceMs / 1000} s).`);
    said = true;
    await clock.sleep(wait, signal);
    metrics = await readMetrics(workspace, sources, signal);
  }
  for (const remark of metrics.remarks) say?.(`Metric ${remark}`);
  return { ...metrics.values, ...metrics.unfit };
}
