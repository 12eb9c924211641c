/** A run that becomes another's child after it was made (`set_tag("mlflow.parentRunId", …)`, as many scripts do). */
import { getRun, putRun, removeRun, tree, updateRun } from '../runs/access.js';
import type { RunRecord } from '../runs/record.js';
import type { Tx } from '../store.js';

/**
 * Hangs a root run that a client began below `parentId`. A run of the engine, one that has a parent, and a parent that is not there or
 * below the run itself are left to the check of the tag.
 */
export function linkParent(tx: Tx, run: RunRecord, parentId: string, time: Date): void {
  const parent = getRun(tx, run.workspace, parentId);
  if (!parent || run.kind !== 'Mlflow' || run.parentRunId !== undefined) return;
  const below = tree(tx, run.workspace, run.runId);
  if (below.some(({ runId }) => runId === parent.runId)) return;
  removeRun(tx, run);
  putRun(tx, { ...run, parentRunId: parent.runId, rootRunId: parent.rootRunId });
  for (const { runId } of below.slice(1))
    updateRun(tx, run.workspace, runId, (child) => (child.rootRunId = parent.rootRunId), time);
}
