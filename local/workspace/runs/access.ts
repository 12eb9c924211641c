/**
 * Reading and writing runs. Every function takes a `Tx` or the `Store` (reads only). Tables:
 * `runs` ws/run → record · `runs.created` ws/seq → run (roots) · `runs.children` ws/parent/seq → run · `runs.experiment` ws/exp/seq → run ·
 * `runs.sequence` ws → last sequence · `experiments` ws/id → experiment · `experiments.name` ws/name → id
 */
import type { Range, Store, Tx } from '../store.js';
import { isTerminal, type RunRecord } from './record.js';

/** What only reads: the store itself or a transaction. */
export type Reader = Pick<Tx, 'get' | 'entries'> | Store;

export interface Experiment {
  /** GUID. */
  id: string;
  workspace: string;
  name: string;
  tags: Record<string, string>;
  createdAt: string;
  lastModifiedAt: string;
  /** MLflow `lifecycle_stage: deleted`. */
  deleted: boolean;
}

const order = (sequence: number): string => String(sequence).padStart(12, '0');
const runKey = (workspace: string, runId: string): string => `${workspace}/${runId.toLowerCase()}`;

export function getRun(reader: Reader, workspace: string, runId: string): RunRecord | undefined {
  return reader.get<RunRecord>('runs', runKey(workspace, runId));
}

/** Writes a new run with its place in the order of creation. The id must be free (ask `getRun` in the same transaction). */
export function putRun(tx: Tx, run: RunRecord): RunRecord {
  const { workspace, runId, parentRunId } = run;
  const sequence = (tx.get<number>('runs.sequence', workspace) ?? 0) + 1;
  tx.put('runs.sequence', workspace, sequence);
  const stored = { ...run, sequence };
  tx.put('runs', runKey(workspace, runId), stored);
  if (parentRunId === undefined) tx.put('runs.created', `${workspace}/${order(sequence)}`, runId);
  else tx.put('runs.children', `${runKey(workspace, parentRunId)}/${order(sequence)}`, runId);
  tx.put('runs.experiment', `${workspace}/${run.experimentId}/${order(sequence)}`, runId);
  if (!isTerminal(run.status)) tx.put('runs.active', runKey(workspace, runId), runId);
  return stored;
}

/**
 * Changes a run in place; counts its revision and times.
 * @returns the changed record, undefined when there is no such run
 */
export function updateRun(
  tx: Tx,
  workspace: string,
  runId: string,
  change: (run: RunRecord) => void,
  now = new Date(),
): RunRecord | undefined {
  const run = getRun(tx, workspace, runId);
  if (!run) return undefined;
  change(run);
  run.revision += 1;
  run.lastModifiedAt = now.toISOString();
  const key = runKey(workspace, runId);
  tx.put('runs', key, run);
  if (isTerminal(run.status)) tx.remove('runs.active', key);
  else tx.put('runs.active', key, run.runId);
  return run;
}

/** Removes a run and its index entries; not its children, metrics or files. */
export function removeRun(tx: Tx, run: RunRecord): void {
  const { workspace, runId, parentRunId, sequence } = run;
  const key = runKey(workspace, runId);
  tx.remove('runs', key);
  tx.remove('runs.active', key);
  if (parentRunId === undefined) tx.remove('runs.created', `${workspace}/${order(sequence)}`);
  else tx.remove('runs.children', `${runKey(workspace, parentRunId)}/${order(sequence)}`);
  tx.remove('runs.experiment', `${workspace}/${run.experimentId}/${order(sequence)}`);
}

function resolve(reader: Reader, workspace: string, table: string, range: Range): RunRecord[] {
  return reader
    .entries<string>(table, range)
    .map(({ value }) => getRun(reader, workspace, value))
    .filter((run): run is RunRecord => run !== undefined);
}

/** Children of a run, in the order of their creation. */
export function children(reader: Reader, workspace: string, parentRunId: string): RunRecord[] {
  return resolve(reader, workspace, 'runs.children', { prefix: `${runKey(workspace, parentRunId)}/` });
}

/** A run and everything below it, parents first. */
export function tree(reader: Reader, workspace: string, runId: string): RunRecord[] {
  const run = getRun(reader, workspace, runId);
  return run ? [run, ...children(reader, workspace, runId).flatMap((child) => tree(reader, workspace, child.runId))] : [];
}

interface RunPage {
  /** Only this experiment (then children are listed, too); else the roots of the workspace. */
  experimentId?: string;
  /** Continue below this sequence (newest first). */
  before?: number;
  limit?: number;
}

/** Runs, newest first. */
export function listRuns(reader: Reader, workspace: string, page: RunPage = {}): RunRecord[] {
  const prefix = page.experimentId === undefined ? `${workspace}/` : `${workspace}/${page.experimentId}/`;
  return resolve(reader, workspace, page.experimentId === undefined ? 'runs.created' : 'runs.experiment', {
    prefix,
    reverse: true,
    ...(page.before !== undefined && { after: prefix + order(page.before) }),
    ...(page.limit !== undefined && { limit: page.limit }),
  });
}

/** Every run of every workspace that has not ended: what a restart has to end truthfully. */
export function activeRuns(reader: Reader): RunRecord[] {
  return reader
    .entries<string>('runs.active')
    .map(({ key }) => reader.get<RunRecord>('runs', key))
    .filter((run): run is RunRecord => run !== undefined);
}

export function getExperiment(reader: Reader, workspace: string, id: string): Experiment | undefined {
  return reader.get<Experiment>('experiments', `${workspace}/${id}`);
}

export function getExperimentByName(reader: Reader, workspace: string, name: string): Experiment | undefined {
  const id = reader.get<string>('experiments.name', `${workspace}/${encodeURIComponent(name)}`);
  return id === undefined ? undefined : getExperiment(reader, workspace, id);
}

export function listExperiments(reader: Reader, workspace: string): Experiment[] {
  return reader.entries<Experiment>('experiments', { prefix: `${workspace}/` }).map(({ value }) => value);
}

/** Writes an experiment; when its name changed, give the former one so that the index follows. */
export function putExperiment(tx: Tx, experiment: Experiment, formerName?: string): void {
  if (formerName !== undefined && formerName !== experiment.name)
    tx.remove('experiments.name', `${experiment.workspace}/${encodeURIComponent(formerName)}`);
  tx.put('experiments', `${experiment.workspace}/${experiment.id}`, experiment);
  tx.put('experiments.name', `${experiment.workspace}/${encodeURIComponent(experiment.name)}`, experiment.id);
}

/** The experiment of that name, made when it is not there. */
export function ensureExperiment(tx: Tx, workspace: string, name: string, id: string, now = new Date()): Experiment {
  const there = getExperimentByName(tx, workspace, name);
  if (there) return there;
  const at = now.toISOString();
  const experiment: Experiment = { id, workspace, name, tags: {}, createdAt: at, lastModifiedAt: at, deleted: false };
  putExperiment(tx, experiment);
  return experiment;
}
