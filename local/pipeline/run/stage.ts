/** One stage: condition, checks of its resources, locks, jobs. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isoNow } from '../devops/files.js';
import type { ResourceRef, TimelineRecord } from '../devops/types.js';
import { stageEdges } from '../expand/graph.js';
import { evaluateCondition } from '../expressions/runtime.js';
import type { NodeResult } from '../expressions/types.js';
import { runChecks } from './checks.js';
import { recordResults, stageFacts, stageStateOf, type RunContext, type StageContext } from './context.js';
import { runJobs } from './job.js';
import { acquire, type Lock } from './locks.js';
import { stageKey, stageTitle } from './names.js';
import type { StageState, TreeNode } from './types.js';
import { layer, merge, values } from './variables.js';
import { whySkipped } from './why.js';

/** Runs a stage once what it waits for has ended. Never rejects for what the stage does. */
export async function runStage(context: RunContext, index: number): Promise<NodeResult> {
  const { run, document, options } = context;
  const { observer, signal } = options;
  const key = stageKey(document, index);
  const stage = document.stages[index] ?? { stage: key };
  const stageState = stageStateOf(context.state, key);
  const record = run.record('Stage', key, stageTitle(document, index), null, stageState.attempt);
  const node: TreeNode = { kind: 'stage', id: record.id, title: record.name };
  if (stageState.result !== undefined) return stageState.result;
  const waitsFor = stageEdges(document.stages)[index] ?? [];
  const stageContext: StageContext = { ...context, stage, stageIndex: index, stageState, record, waitsFor };
  const end = async (result: NodeResult, reason?: string): Promise<NodeResult> => {
    Object.assign(stageState, { result, ...(reason ? { reason } : {}) });
    closeOpen(context, record, result);
    run.update(record, {
      state: 'completed',
      result: recordResults[result],
      finishTime: isoNow(),
      ...(reason && (stageState.started || result === 'Abandoned') && result !== 'Skipped'
        ? { issues: [{ type: 'error' as const, message: reason }], errorCount: 1 }
        : {}),
    });
    observer.ended(node, result, reason);
    await run.flush();
    return result;
  };
  const variables = values(merge(context.variables, layer(stage.variables, context.project, options.secrets)));
  try {
    const dependencies = stageFacts(context, waitsFor);
    const runtime = { variables, dependencies, canceled: signal.aborted, pipeline: { startTime: run.run.startTime } };
    if (!evaluateCondition(stage.condition, 'stageCondition', runtime))
      return signal.aborted
        ? await end('Canceled', 'The run was cancelled before this stage started.')
        : await end('Skipped', whySkipped(stage.condition, dependencies));
  } catch (error) {
    return await end('Abandoned', `Stage ${key}: ${(error as Error).message}`);
  }
  if (stage.trigger?.toLowerCase() === 'manual')
    return await end('Skipped', 'The stage is started by hand (trigger: manual); nobody can do that here.');
  stageState.started = true;
  run.update(record, { state: 'inProgress', startTime: isoNow() });
  observer.started(node);
  await run.flush();
  const locks: Lock[] = [];
  try {
    const checked = await runChecks({
      project: context.project,
      run,
      stage: record,
      resources: context.prepared.resources[index] ?? [],
      files: context.state.files,
      repositories: repositoriesOf(context),
      approver: options.approver,
      observer,
      node,
      signal,
      summaries: () => summariesOf(context, waitsFor),
      lock: (resources) =>
        takeLocks(stageContext, resources, locks, ({ type, name }, holder) =>
          observer.waiting(node, `exclusive lock of ${type} ${name}, which run ${holder} holds`),
        ),
    });
    if (checked.verdict === 'rejected') return await end('Failed', checked.reason);
    if (checked.verdict === 'skipped') return await end('Skipped', checked.reason);
    if (checked.verdict !== 'approved') return await end('Canceled', checked.reason);
    observer.started(node);
    return await end(await runJobs(stageContext, signal));
  } catch (error) {
    return await end('Failed', error instanceof Error ? error.message : String(error));
  } finally {
    for (const lock of locks) await lock.release();
  }
}

/** Records below a stage that were never ended: a job that was not started because the stage ended. */
function closeOpen({ run }: RunContext, stage: TimelineRecord, result: NodeResult): void {
  for (const record of run.familyOf(stage))
    if (record !== stage && record.state !== 'completed')
      run.update(record, { state: 'completed', result: result === 'Canceled' ? 'canceled' : 'skipped', finishTime: isoNow() });
}

async function takeLocks(
  context: StageContext,
  resources: ResourceRef[],
  locks: Lock[],
  held: (resource: ResourceRef, run: number) => void,
): Promise<boolean> {
  const { stage, document, run, project, options } = context;
  const behavior =
    (stage.lockBehavior ?? document.lockBehavior ?? 'runLatest').toLowerCase() === 'sequential' ? 'sequential' : 'runLatest';
  for (const resource of [...resources].sort((a, b) => `${a.type}/${a.id}`.localeCompare(`${b.type}/${b.id}`))) {
    try {
      const folder = join(project.folder, 'locks');
      const lock = await acquire(folder, resource, run.id, behavior, options.signal, (holder) => held(resource, holder));
      if (!lock) return false;
      locks.push(lock);
    } catch (error) {
      if (options.signal.aborted) return false;
      throw error;
    }
  }
  return true;
}

/** Repositories by alias, for required-template checks. */
function repositoriesOf(context: RunContext): Record<string, { type: string; name: string; ref: string }> {
  const found: Record<string, { type: string; name: string; ref: string }> = {
    self: { type: 'git', name: context.source.repository, ref: context.source.branch },
  };
  const list = context.document.resources?.['repositories'];
  for (const entry of Array.isArray(list) ? list : []) {
    if (typeof entry !== 'object' || Array.isArray(entry)) continue;
    const text = (key: string): string => (typeof entry[key] === 'string' ? entry[key] : '');
    found[text('repository').toLowerCase()] = { type: text('type'), name: text('name'), ref: text('ref') || 'refs/heads/main' };
  }
  return found;
}

/** What the stages before wrote for people: the plan that an approver reads. */
async function summariesOf(context: RunContext, stages: readonly number[]): Promise<{ stage: string; text: string }[]> {
  const { run, document } = context;
  const found: { stage: string; text: string }[] = [];
  for (const index of stages) {
    const record = run.run.records.find(({ type, identifier }) => type === 'Stage' && identifier === stageKey(document, index));
    if (!record) continue;
    const family = new Set(run.familyOf(record).map(({ id }) => id));
    for (const attachment of run.run.attachments)
      if (attachment.type === 'Distributedtask.Core.Summary' && family.has(attachment.recordId))
        found.push({ stage: record.name, text: await readFile(join(run.folder, attachment.path), 'utf8') });
  }
  return found;
}

/** A stage of an earlier attempt that is run again: what ended well stays. */
export function resetForRerun(context: Pick<RunContext, 'run' | 'document' | 'state'>): string[] {
  const again: string[] = [];
  for (const [index] of context.document.stages.entries()) {
    const key = stageKey(context.document, index);
    const state = stageStateOf(context.state, key);
    const good = state.result === 'Succeeded' || state.result === 'SucceededWithIssues';
    if (good) continue;
    if (state.started) restart(context, key, state);
    if (state.started) again.push(key);
    delete state.result;
    delete state.reason;
    state.started = false;
  }
  return again;
}

function restart({ run }: Pick<RunContext, 'run'>, key: string, state: StageState): void {
  const stage = run.run.records.find(({ type, identifier }) => type === 'Stage' && identifier === key);
  state.attempt += 1;
  const kept: TimelineRecord[] = [];
  for (const [name, job] of Object.entries(state.jobs)) {
    if (job.result === 'Succeeded' || job.result === 'SucceededWithIssues') {
      const phase = run.run.records.find(({ type, identifier }) => type === 'Phase' && identifier === `${key}.${name}`);
      if (phase) kept.push(...run.familyOf(phase));
      continue;
    }
    job.attempt += 1;
    job.outputs = [];
    delete job.result;
    delete job.reason;
  }
  if (!stage) return;
  const fresh = run.nextAttempt(stage);
  // Jobs that are kept are shown under the new attempt too, as the service does.
  for (const record of kept) run.run.records.push({ ...record, ...(record.parentId === stage.id ? { parentId: fresh.id } : {}) });
}
