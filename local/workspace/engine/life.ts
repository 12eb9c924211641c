/** How a run moves through its states. A run that has ended never changes its state again. */
import { setMaxListeners } from 'node:events';
import type { Tx } from '../store.js';
import { putRun, tree as runsOf, updateRun } from '../runs/access.js';
import { isTerminal, type RunError, type RunRecord, type RunStatus } from '../runs/record.js';
import { Canceled, type Task, type Tree } from './types.js';

/** Enters a state, and stays in it as long as `--latency` says. Ended runs stay as they are. */
export async function enter(task: Task, status: RunStatus, change?: (run: RunRecord) => void): Promise<void> {
  const { ctx, ws } = task.tree;
  const now = ctx.clock.now();
  await ctx.store.write((tx) =>
    updateRun(
      tx,
      ws.guid,
      task.run.runId,
      (run) => {
        if (isTerminal(run.status)) return;
        // A run that is to be cancelled shows that until it has ended.
        if (run.status !== 'CancelRequested') run.status = status;
        if (status === 'Running') run.startedAt ??= now.toISOString();
        change?.(run);
      },
      now,
    ),
  );
  await ctx.latency.wait(status, task.signal);
}

/** Changes a run without touching its state. */
export async function amend(tree: Tree, runId: string, change: (run: RunRecord) => void): Promise<void> {
  await tree.ctx.store.write((tx) => updateRun(tx, tree.ws.guid, runId, change, tree.ctx.clock.now()));
}

interface End {
  status: 'Completed' | 'Failed' | 'Canceled';
  error?: RunError;
  change?: (run: RunRecord) => void;
}

/**
 * Ends a run; `also` runs in the same transaction when the run ends as asked. Gives the record as it now is. A cancel that was
 * acknowledged before this write wins: the run ends as Canceled, whatever it had come to.
 */
export async function finish(tree: Tree, runId: string, end: End, also?: (tx: Tx) => void): Promise<RunRecord | undefined> {
  const now = tree.ctx.clock.now();
  return tree.ctx.store.write((tx) => {
    const run = updateRun(
      tx,
      tree.ws.guid,
      runId,
      (record) => {
        if (isTerminal(record.status)) return;
        record.status = record.cancelRequested === true ? 'Canceled' : end.status;
        record.endedAt = now.toISOString();
        if (end.error && record.status === 'Failed') record.error = end.error;
        end.change?.(record);
      },
      now,
    );
    if (run?.status === end.status) also?.(tx);
    return run;
  });
}

/** Adds a child run. */
export async function addChild(tree: Tree, run: RunRecord): Promise<RunRecord> {
  return tree.ctx.store.write((tx) => putRun(tx, run));
}

/** A signal for one run below the root: it follows `signal`, and a cancel of that run alone raises it, too. Call `forget` when the run has ended. */
export function stoppable(tree: Tree, runId: string, signal: AbortSignal): { signal: AbortSignal; forget: () => void } {
  const own = new AbortController();
  setMaxListeners(0, own.signal);
  const follow = (): void => {
    own.abort();
  };
  if (signal.aborted) follow();
  signal.addEventListener('abort', follow, { once: true });
  tree.stops.set(runId, own);
  return {
    signal: own.signal,
    forget: () => {
      signal.removeEventListener('abort', follow);
      tree.stops.delete(runId);
    },
  };
}

/** Cancels one run below the root for a reason of the service's own. False when it had ended. */
export async function stopRun(tree: Tree, runId: string, reason: string): Promise<boolean> {
  const run = await tree.ctx.store.write((tx) =>
    updateRun(
      tx,
      tree.ws.guid,
      runId,
      (record) => {
        if (isTerminal(record.status)) return;
        record.cancelRequested = true;
        record.cancelReason ??= reason;
        record.status = 'CancelRequested';
      },
      tree.ctx.clock.now(),
    ),
  );
  if (!run || isTerminal(run.status)) return false;
  tree.stops.get(runId)?.abort();
  return true;
}

/** The promise's outcome, or (what it waits for goes on, others may want it) Canceled as soon as the signal says so. @throws Canceled */
export async function unlessCanceled<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) throw new Canceled();
  let leave: (() => void) | undefined;
  const canceled = new Promise<never>((_, reject) => {
    leave = () => {
      reject(new Canceled());
    };
    signal.addEventListener('abort', leave, { once: true });
  });
  try {
    return await Promise.race([promise, canceled]);
  } finally {
    if (leave) signal.removeEventListener('abort', leave);
  }
}

/** Ends every run of the tree that is still open: after a cancel or a crash nothing may stay "Running". */
export async function endOpenRuns(tree: Tree, end: End): Promise<void> {
  for (const run of runsOf(tree.ctx.store, tree.ws.guid, tree.rootRunId))
    if (!isTerminal(run.status) && run.runId !== tree.rootRunId) await finish(tree, run.runId, end);
}
