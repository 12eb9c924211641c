/** One agent job: a plain job, a leg of a matrix, or a hook of a deployment. Makes the agent, runs the steps, keeps what they leave. */
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { jobResult } from '../../agent/result.js';
import { createJob } from '../../agent/run-task.js';
import { setWritable } from '../../agent/task-folder.js';
import type { StepResult } from '../../agent/types.js';
import { fileName, isoNow } from '../devops/files.js';
import type { TimelineRecord } from '../devops/types.js';
import { builtInTasks, type ExpandedStep } from '../expand/types.js';
import type { NodeResult } from '../expressions/types.js';
import { recordResults, rememberSecret, type StageContext } from './context.js';
import { leavesTrace, runStep, stepNames, type StepEnd } from './step.js';
import type { OutputFact, TreeNode } from './types.js';
import { jobVariables, merge, type JobPlace, type Variables } from './variables.js';

interface AgentJobPlan {
  context: StageContext;
  phase: TimelineRecord;
  /** Last part of the record's identifier: `__default`, the leg, the hook. */
  name: string;
  title: string;
  place: Omit<JobPlace, 'jobId'>;
  steps: ExpandedStep[];
  variables: Variables;
  hook?: string;
  leg?: string;
  attempt: number;
  timeoutMinutes: number;
  cancelMinutes: number;
  signal: AbortSignal;
}

export interface AgentJobEnd {
  result: NodeResult;
  outputs: OutputFact[];
}

/** Adds the checkout and download that Azure Pipelines adds by itself (sheet 1.6, 2.6). */
function withImplicitSteps(steps: ExpandedStep[], hook: string | undefined): ExpandedStep[] {
  const has = (task: string): boolean => steps.some((step) => step.task.toLowerCase() === task);
  if (hook === undefined)
    return has(builtInTasks.checkout) ? steps : [{ task: builtInTasks.checkout, inputs: { repository: 'self' } }, ...steps];
  return hook === 'deploy' && !has(builtInTasks.download)
    ? [{ task: builtInTasks.download, inputs: { alias: 'current' } }, ...steps]
    : steps;
}

export async function runAgentJob(plan: AgentJobPlan): Promise<AgentJobEnd> {
  const { context, phase, attempt } = plan;
  const { run, server, options } = context;
  const { observer } = options;
  const record = run.record('Job', `${phase.identifier}.${plan.name}`, plan.title, phase, attempt);
  const node: TreeNode = { kind: 'job', id: record.id, parent: context.record.id, title: plan.title };
  const access = server.jobAccess(run, record.id);
  run.update(record, { state: 'inProgress', startTime: isoNow(), workerName: 'amlops' });
  observer.started(node);
  // Ours to cancel: the run's cancel, and the job's own limit.
  const cancel = new AbortController();
  let timedOut = false;
  const onAbort = (): void => cancel.abort();
  plan.signal.addEventListener('abort', onAbort, { once: true });
  if (plan.signal.aborted) cancel.abort();
  const timer =
    plan.timeoutMinutes > 0
      ? setTimeout(
          () => {
            timedOut = true;
            cancel.abort();
          },
          Math.min(plan.timeoutMinutes * 60_000, 2 ** 31 - 1),
        )
      : undefined;
  const agentFolder = join(run.folder, 'agents', fileName(`${record.identifier}.${attempt}`));
  const ends: StepEnd[] = [];
  let failure: string | undefined;
  try {
    const job = await createJob({
      workFolder: join(agentFolder, '_work'),
      variables: merge(context.variables, plan.variables, jobVariables({ ...plan.place, jobId: record.id })),
      endpoints: context.connected.endpoints,
      collection: access,
      ca: context.connected.ca,
      ...(context.connected.federation ? { federation: context.connected.federation } : {}),
      ...(options.waits ? { waits: options.waits } : {}),
    });
    try {
      const steps = withImplicitSteps(plan.steps, plan.hook).filter(leavesTrace);
      const refNames = stepNames(steps);
      const severalCheckouts = steps.filter(({ task }) => task === builtInTasks.checkout).length > 1;
      const clean = new AbortController();
      let cleanTimer: NodeJS.Timeout | undefined;
      const onHurry = (): void => clean.abort();
      options.hurry?.addEventListener('abort', onHurry, { once: true });
      if (options.hurry?.aborted) onHurry();
      for (const [index, step] of steps.entries()) {
        const canceled = cancel.signal.aborted;
        // After a cancel, `always()` steps still run, for as long as the job's cancel time-out allows.
        if (canceled) cleanTimer ??= setTimeout(() => clean.abort(), plan.cancelMinutes * 60_000);
        if (clean.signal.aborted) break;
        const jobStatus = status(ends, canceled);
        job.variables.set('Agent.JobStatus', { value: jobStatus });
        const signal = canceled ? clean.signal : cancel.signal;
        const refName = refNames[index] ?? '';
        const end = await runStep({ context, job, step, refName, parent: record, severalCheckouts, attempt, jobStatus, signal });
        ends.push(end);
        await keepNow(context, end);
      }
      clearTimeout(cleanTimer);
      options.hurry?.removeEventListener('abort', onHurry);
    } finally {
      await job.finish();
    }
    for (const end of ends) await keepAtEnd(context, end);
  } catch (error) {
    failure = error instanceof Error ? error.message : String(error);
    observer.issue(node, 'error', failure);
  } finally {
    clearTimeout(timer);
    plan.signal.removeEventListener('abort', onAbort);
    server.revoke(access.accessToken);
    setWritable(join(agentFolder, '_work', '_tasks'), true);
    await rm(agentFolder, { recursive: true, force: true, maxRetries: 3 });
  }
  if (timedOut)
    failure ??= `The job running on agent amlops ran longer than the maximum time of ${plan.timeoutMinutes} minutes. For more information, see https://go.microsoft.com/fwlink/?linkid=2077134`;
  const canceled = cancel.signal.aborted && !timedOut;
  const results = ends.map((end): StepResult =>
    end.process?.result === 'Failed' && end.result === 'Succeeded' ? 'Failed' : end.result,
  );
  const result: NodeResult = failure !== undefined ? 'Failed' : jobResult(results, canceled);
  run.update(record, {
    state: 'completed',
    finishTime: isoNow(),
    result: timedOut ? 'canceled' : recordResults[result],
    ...(failure !== undefined ? { issues: [{ type: 'error', message: failure }], errorCount: 1 } : {}),
  });
  observer.ended(node, result, failure);
  return { result, outputs: ends.flatMap((end) => outputsOf(plan, end, context)) };
}

function status(ends: StepEnd[], canceled: boolean): 'Succeeded' | 'SucceededWithIssues' | 'Failed' | 'Canceled' {
  return jobResult(
    ends.map(({ result }) => result),
    canceled,
  ) as 'Succeeded';
}

function outputsOf(plan: AgentJobPlan, end: StepEnd, context: StageContext): OutputFact[] {
  const step = end.record.identifier.split('.').at(-1) ?? '';
  return Object.entries(end.process?.outputVariables ?? {}).map(([variable, { value, isSecret }]) => {
    const fact: OutputFact = {
      step,
      variable,
      value: isSecret ? '' : value,
      isSecret,
      ...(plan.hook ? { hook: plan.hook } : {}),
      ...(plan.leg ? { leg: plan.leg } : {}),
    };
    if (isSecret && value !== '') {
      context.secretOutputs.add(value);
      rememberSecret(fact, value);
    }
    return fact;
  });
}

/** What others may see while the job goes on: artifacts, tags, the build's number. */
async function keepNow({ run }: StageContext, { process, record }: StepEnd): Promise<void> {
  if (!process) return;
  for (const artifact of process.artifacts)
    if (artifact.type === 'container') await run.publish(artifact.name, artifact.path, record.id);
  for (const tag of process.buildTags) run.addTag(tag);
  if (process.buildNumber) run.run.buildNumber = process.buildNumber;
  run.changed();
}

/** Attachments and summaries are read when the job has ended (task-contract B.6.2). */
async function keepAtEnd({ run }: StageContext, { process, record }: StepEnd): Promise<void> {
  if (!process) return;
  for (const { type, name, path } of process.attachments) await run.attach(record, type, name, path);
  for (const path of process.summaries) await run.attach(record, 'Distributedtask.Core.Summary', basename(path), path);
  for (const { files, title } of process.testResults)
    for (const [index, file] of files.entries())
      await run.attach(record, 'amlops.testResults', `${index + 1}-${title || basename(file)}.xml`, file);
  await run.flush();
}
