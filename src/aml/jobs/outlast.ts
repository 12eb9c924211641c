/** Reading what a job has left behind over an outage, so that a job which has completed is not a failed step. */
import { passesByItself } from '../../azure/line.js';
import type { Clock } from '../../azure/types.js';
import type { Workspace } from '../workspace.js';
import { readJob } from './job.js';

/** How long Azure may be away, and how long is waited between two tries. */
const patience = 600_000;
const pause = 10_000;

/**
 * Tries `body`, which changes nothing in Azure, again after what passes by itself: for ten minutes while the resource manager does not answer
 * either, once more where it does, for then only this part of Azure is closed to the agent. Errors: those of `body`; the signal's reason.
 */
export async function outlast<T>(
  workspace: Workspace,
  job: string,
  { clock, signal }: { clock: Clock; signal: AbortSignal },
  body: () => Promise<T>,
): Promise<T> {
  const started = clock.now();
  for (let alone = false; ;) {
    try {
      return await body();
    } catch (error) {
      signal.throwIfAborted();
      if (!passesByItself(error) || alone || clock.now() - started > patience) throw error;
      await clock.sleep(pause, signal);
      alone = await readJob(workspace, job, { signal, retries: 0, timeoutSeconds: 30 }).then(
        () => true,
        (other: unknown) => {
          signal.throwIfAborted();
          return !passesByItself(other);
        },
      );
    }
  }
}
