/** Runs one task in the agent: signals, the one `task.complete`, the end of the process (reference task-contract B.7, B.8). */
import { setMaxListeners } from 'node:events';
import { agentPlatform, type AgentPlatform } from './agent-platform.js';
import { Cancelled, outcomeOf, report, text, type Task } from './outcome.js';
import type { Outcome } from './platform.js';

export type { Task } from './outcome.js';

/** The agent kills 7.5 s after SIGINT; what is not done by then was not going to be. */
const lastMoment = 6_500;
/** What the agent has not read by then, it will not. */
const lastWords = 400;

/**
 * What index.ts calls. Exactly one `task.complete`, none when the agent cancelled (it says Canceled itself), exit code 0 always:
 * another code would override the result.
 */
export async function main<Inputs>(task: Task<Inputs>): Promise<void> {
  const cancel = new AbortController();
  // Parallel requests all listen to it; Node would warn of a leak, in the user's log.
  setMaxListeners(0, cancel.signal);
  const platform = await agentPlatform(cancel.signal);
  let over = false;
  const stop = () => {
    if (cancel.signal.aborted) return;
    cancel.abort(new Cancelled());
    setTimeout(() => {
      if (!over) platform.info('The clean-up was not finished in the time that the agent gives; leaving.');
      setTimeout(() => process.exit(0), lastWords);
      void leave(platform);
    }, lastMoment).unref();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGBREAK'] as const) {
    if (signal !== 'SIGBREAK' || process.platform === 'win32') process.on(signal, stop);
  }
  const finish = async (outcome: Outcome | undefined) => {
    if (over) return;
    over = true;
    if (outcome && !cancel.signal.aborted) platform.complete(outcome.result, outcome.message ?? '');
    await leave(platform);
  };
  // The agent is gone when nobody reads what is written: every further line would be another error of the same kind, without an end.
  // What Azure was asked to do goes on; a rerun finds it.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => process.exit(1));
  const broken = (error: unknown) => {
    if (over) return;
    report(platform, error);
    // A cancelled run has its job to cancel yet: the last moment ends it, nothing else.
    if (cancel.signal.aborted) return;
    void finish({ result: 'Failed', message: `${task.name} had a fault of its own: ${text(error)}` });
  };
  process.on('uncaughtException', broken);
  process.on('unhandledRejection', broken);
  await finish(await outcomeOf(task, platform));
}

async function leave(platform: AgentPlatform): Promise<void> {
  await platform.flush();
  process.exit(0);
}
