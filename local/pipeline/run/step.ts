/** One step of an agent job: condition, task or script or built-in, its record, log, outputs. */
import { existsSync, readFileSync } from 'node:fs';
import { Failure } from '../../../src/azure/errors.js';
import { runScriptIn, runTaskIn, type AgentJob } from '../../agent/run-task.js';
import type { CommandRestrictions, StepIssue, StepResult, TaskRunResult } from '../../agent/types.js';
import { isoNow } from '../devops/files.js';
import type { TimelineRecord } from '../devops/types.js';
import { builtInTasks, type ExpandedStep } from '../expand/types.js';
import { evaluateCondition } from '../expressions/runtime.js';
import { builtInSteps, isScript, runInProcess, scriptProcess } from './builtin.js';
import { recordResults, type StageContext } from './context.js';
import type { TreeNode } from './types.js';

interface StepRun {
  context: StageContext;
  job: AgentJob;
  step: ExpandedStep;
  /** Its name in the job: its own, or the one that the service gives it. */
  refName: string;
  parent: TimelineRecord;
  severalCheckouts: boolean;
  attempt: number;
  /** The job so far. */
  jobStatus: 'Succeeded' | 'SucceededWithIssues' | 'Failed' | 'Canceled';
  signal: AbortSignal;
}

export interface StepEnd {
  result: StepResult;
  record: TimelineRecord;
  node: TreeNode;
  /** Of tasks and scripts; kept files are there when the job has finished. */
  process?: TaskRunResult;
}

const names: Record<string, string> = {
  [builtInTasks.checkout]: 'Checkout',
  [builtInTasks.download]: 'Download artifacts',
  [builtInTasks.publish]: 'Publish artifact',
};

function stepTitle(step: ExpandedStep): string {
  const checkout = step.task === builtInTasks.checkout ? `Checkout ${step.inputs?.['repository'] ?? 'self'}` : undefined;
  return (
    step.displayName ||
    checkout ||
    names[step.task] ||
    (step.name ? `${step.task.split('@')[0]} ${step.name}` : (step.task.split('@')[0] ?? step.task))
  );
}

/**
 * Names of a job's steps. The service names a step without one after its task, and counts from the second on: `CmdLine`, `CmdLine1`. They are
 * `System.TaskInstanceName`, the record's `refName`, and the prefix of output variables.
 */
export function stepNames(steps: ExpandedStep[]): string[] {
  const taken = new Set(steps.flatMap(({ name }) => (name ? [name.toLowerCase()] : [])));
  return steps.map((step) => {
    if (step.name) return step.name;
    const [task = ''] = step.task.split('@');
    const base = (builtInNames[step.task] ?? task.slice(task.lastIndexOf('.') + 1)).replace(/\W/g, '_') || 'Step';
    let name = base;
    for (let index = 1; taken.has(name.toLowerCase()); index += 1) name = `${base}${index}`;
    taken.add(name.toLowerCase());
    return name;
  });
}

const builtInNames: Record<string, string> = {
  [builtInTasks.checkout]: 'Checkout',
  [builtInTasks.download]: 'DownloadPipelineArtifact',
  [builtInTasks.publish]: 'PublishPipelineArtifact',
};

/** `checkout: none`, `download: none` and steps that are switched off leave no trace. */
export function leavesTrace(step: ExpandedStep): boolean {
  const off = step.enabled?.toLowerCase() === 'false';
  return !off && !(step.condition?.trim().toLowerCase() === 'false' && builtInSteps.has(step.task.toLowerCase()));
}

/** Never rejects for what the step does. */
export async function runStep(run: StepRun): Promise<StepEnd> {
  const { context, job, step, refName, parent } = run;
  const { run: state } = context;
  const { observer } = context.options;
  const title = job.variables.expand(stepTitle(step));
  const record = state.record('Task', `${parent.identifier}.${refName}`, title, parent, run.attempt);
  const node: TreeNode = { kind: 'step', id: record.id, parent: parent.id, title };
  const [reference = '', version = ''] = step.task.split('@');
  state.update(record, { task: { id: reference, name: reference, version: `${version}.0.0` }, name: title });
  const wanted = condition(run);
  if (typeof wanted === 'string' || !wanted) {
    const result: StepResult = typeof wanted === 'string' ? 'Failed' : 'Skipped';
    if (typeof wanted === 'string') observer.issue(node, 'error', wanted);
    state.update(record, {
      state: 'completed',
      result: recordResults[result],
      startTime: isoNow(),
      finishTime: isoNow(),
      ...issuesOf(wanted === false ? [] : [{ type: 'error', message: wanted }]),
    });
    if (result === 'Failed') observer.ended(node, result, wanted as string);
    return { result, record, node };
  }
  const log = state.log();
  state.update(record, { state: 'inProgress', startTime: isoNow(), log: { id: log.id, type: 'Container', url: '' } });
  observer.started(node);
  let writing: Promise<void> = Promise.resolve();
  let buffer: string[] = [];
  const flush = (): void => {
    const lines = buffer;
    buffer = [];
    if (lines.length > 0) writing = writing.then(() => state.writeLog(log.id, lines));
  };
  const print = (line: string): void => {
    if (buffer.length === 0) setTimeout(flush, 200);
    buffer.push(`${new Date().toISOString()} ${line}`);
    observer.line(node, line);
  };
  const issues: StepIssue[] = [];
  const end = await body(run, record, print, issues);
  flush();
  await writing;
  const all = [...issues, ...(end.process?.issues ?? [])];
  for (const issue of all) observer.issue(node, issue.type, issue.message);
  state.update(record, { state: 'completed', finishTime: isoNow(), result: recordResults[end.result], ...issuesOf(all) });
  observer.ended(node, end.result, end.process?.message);
  await state.flush();
  return { ...end, record, node };
}

function issuesOf(issues: StepIssue[]): Partial<TimelineRecord> {
  const count = (type: string): number => issues.filter((issue) => issue.type === type).length;
  return {
    issues: issues.map(({ type, message, sourcepath, linenumber, columnnumber, code }) => ({
      type,
      category: 'General',
      message,
      data: Object.fromEntries(
        Object.entries({ sourcepath, linenumber, columnnumber, code }).flatMap(([key, value]) =>
          value === undefined ? [] : [[key, String(value)]],
        ),
      ),
    })),
    errorCount: count('error'),
    warningCount: count('warning'),
  };
}

/** Whether the step runs, or why its condition cannot be evaluated. */
function condition({ step, job, jobStatus }: StepRun): boolean | string {
  try {
    // Its warnings are the step's own to tell.
    job.variables.expandAll();
    const variables = Object.fromEntries(job.variables.all().map(({ name, value }) => [name, value]));
    return evaluateCondition(step.condition, 'stepCondition', { variables, jobStatus, canceled: jobStatus === 'Canceled' });
  } catch (error) {
    return (error as Error).message;
  }
}

async function body(
  run: StepRun,
  record: TimelineRecord,
  print: (line: string) => void,
  issues: StepIssue[],
): Promise<{ result: StepResult; process?: TaskRunResult }> {
  const { context, job, step, signal } = run;
  const minutes = Number(job.variables.expand(step.timeoutInMinutes ?? '0'));
  const proceed =
    job.variables
      .expand(step.continueOnError ?? 'false')
      .trim()
      .toLowerCase() === 'true';
  const restrictions = restrictionsOf(step);
  const common = {
    displayName: job.variables.expand(stepTitle(step)),
    step: run.refName,
    ...(step.env ? { env: step.env } : {}),
    ...(minutes > 0 ? { timeoutMs: minutes * 60_000 } : {}),
    ...(proceed ? { continueOnError: true } : {}),
    ...(step.retryCountOnTaskFailure
      ? { retryCountOnTaskFailure: Number(job.variables.expand(step.retryCountOnTaskFailure)) }
      : {}),
    ...(restrictions ? { target: restrictions } : {}),
    signal,
    onLine: print,
  };
  try {
    const own = await runInProcess({
      job,
      run: context.run,
      record,
      step,
      root: context.options.root,
      repositories: context.options.repositories,
      source: context.source,
      severalCheckouts: run.severalCheckouts,
      print: (line) => print(job.masker.mask(line)),
      issue: (issue) => issues.push(issue),
    });
    if (own) return { result: own.result === 'Failed' && proceed ? 'SucceededWithIssues' : own.result };
    if (isScript(step)) {
      const { errors, ...script } = await scriptProcess(job, step);
      const process = await runScriptIn(job, { ...common, ...script, maskOnly: true });
      if (errors && existsSync(errors) && readFileSync(errors, 'utf8').trim() && process.result === 'Succeeded') {
        issues.push({ type: 'error', message: 'The script wrote to standard error (failOnStderr).' });
        process.result = proceed ? 'SucceededWithIssues' : 'Failed';
      }
      return { result: process.result, process };
    }
    const process = await runTaskIn(job, {
      ...common,
      from: context.options.tasks,
      name: step.task,
      inputs: step.inputs ?? {},
      node: context.options.node,
    });
    return { result: process.result, process };
  } catch (error) {
    if (signal.aborted) return { result: 'Canceled' };
    const message = error instanceof Failure || error instanceof Error ? error.message : String(error);
    print(job.masker.mask(`##[error]${message}`));
    issues.push({ type: 'error', message: job.masker.mask(message) });
    return { result: proceed ? 'SucceededWithIssues' : 'Failed' };
  }
}

/** Step `target:`: what the step's commands may do. */
function restrictionsOf(step: ExpandedStep): CommandRestrictions | undefined {
  const { commands, settableVariables } = step.target ?? {};
  if (commands === undefined && settableVariables === undefined) return undefined;
  const list = Array.isArray(settableVariables) ? settableVariables.map(String) : settableVariables === 'none' ? [] : undefined;
  return { ...(commands === 'restricted' ? { commands: 'restricted' } : {}), ...(list ? { settableVariables: list } : {}) };
}
