/** The story of RunAmlPipeline: submit (once) or attach, show where to look, wait, explain the end, hand over the results. */
import { setMaxListeners } from 'node:events';
import { connectAzure } from '../../src/azure/azure.js';
import { Failure } from '../../src/azure/errors.js';
import { openWorkspace, type Workspace } from '../../src/aml/workspace.js';
import { cancelJob, readJob, type JobState } from '../../src/aml/jobs/job.js';
import type { CompiledJob, JobSource } from '../../src/aml/compile/types.js';
import { chooseAttempt, derivedName, submissionOf } from '../../src/aml/jobs/name.js';
import { outputNames } from '../../src/aml/jobs/outputs.js';
import { watchJob, type WatchEnd } from '../../src/aml/jobs/watch.js';
import { identityOf } from '../../src/task/identity.js';
import type { Outcome, Platform } from '../../src/task/platform.js';
import { repositoryPath } from '../../src/task/repository-path.js';
import { sanitizeInline } from '../../src/task/sanitize.js';
import { cancelled, type Flight } from './cancel.js';
import { checkDownloads, wantsAll } from './downloads.js';
import type { Inputs } from './inputs.js';
import type { Report } from './report.js';
import { JobView } from './view.js';
import { counted, duration, size } from './words.js';

/** A job that this step is responsible for. */
interface Taken {
  job: JobState;
  how: 'submitted' | 'attached';
  attempt: number;
}

export async function run(inputs: Inputs, platform: Platform): Promise<Outcome> {
  if (inputs.action === 'validate') return (await import('./validate.js')).validate(inputs, platform);
  const workspace = openIn(inputs, platform);
  const flight: Flight = {};
  try {
    const taken =
      inputs.action === 'attach'
        ? await attach(inputs, workspace, platform, flight)
        : await submit(inputs, workspace, platform, flight);
    flight.there = true;
    announce(taken, platform);
    if (inputs.action === 'submit') return submitted(taken, platform);
    const view = new JobView(platform, taken.job);
    const started = platform.clock.now();
    const end = await watchJob(workspace, taken.job, view, {
      clock: platform.clock,
      signal: platform.cancelled,
      logs: inputs.streamLogs === 'all',
      ...(inputs.limitMinutes === undefined ? {} : { limitMs: inputs.limitMinutes * 60_000 }),
    }).finally(() => view.end());
    if (end.end === 'completed' || end.end === 'failed' || end.end === 'canceled') flight.ended = end.job.status;
    platform.output('jobStatus', end.job.status);
    const report: Report = {
      ...taken,
      job: end.job,
      workspace: {
        subscriptionId: workspace.subscriptionId,
        resourceGroup: workspace.resourceGroup,
        workspace: workspace.workspace,
      },
      end: end.end,
      waitedMs: platform.clock.now() - started,
      steps: end.steps,
      outputs: [],
    };
    const told =
      end.end === 'completed' ? collect(inputs, workspace, platform, report) : explain(inputs, workspace, platform, report, end);
    // The report says what is known, also when an output could not be fetched.
    return await told.finally(async () => {
      if (!platform.cancelled.aborted) (await import('./report.js')).publish(platform, report);
    });
  } catch (error) {
    if (platform.cancelled.aborted) await cancelled(inputs, workspace, platform, flight);
    throw error;
  }
}

function openIn(inputs: Inputs, platform: Platform): Workspace {
  const { connection, resourceGroup, workspace } = inputs;
  const subscriptionId = connection?.azure.subscriptionId;
  if (!connection || !subscriptionId) {
    throw new Failure('The service connection names no subscription.', {
      code: 'ConnectionUnusable',
      input: 'azureSubscription',
      advice:
        'Use a service connection that is scoped to the subscription, resource group or workspace, not to a management group.',
    });
  }
  const azure = connectAzure(connection.azure, {
    clock: platform.clock,
    onSecret: (value) => platform.secret(value),
    onTrouble: (text) => platform.info(text),
    userAgent: 'azure-machine-learning-mlops RunAmlPipeline/1',
  });
  return openWorkspace(azure, { subscriptionId, resourceGroup, workspace });
}

async function attach(inputs: Inputs, workspace: Workspace, platform: Platform, flight: Flight): Promise<Taken> {
  const name = inputs.jobName ?? '';
  // It runs whether Azure has told of it or not.
  flight.name = name;
  const job = await readJob(workspace, name, { signal: platform.cancelled });
  if (!job) {
    throw new Failure(`There is no job named ${name} in workspace ${workspace.workspace}.`, {
      code: 'JobNotFound',
      input: 'jobName',
      advice: 'Give the name (not the display name) of a job of this workspace.',
    });
  }
  checkDownloads(inputs, job.type, outputNames(job));
  return { job, how: 'attached', attempt: 1 };
}

/** Everything that can be found wrong is found before anything is written; the job itself is sent once. */
async function submit(inputs: Inputs, workspace: Workspace, platform: Platform, flight: Flight): Promise<Taken> {
  const signal = platform.cancelled;
  const { file, jobInputs, overrides, experimentName, displayName } = inputs;
  const root = platform.variable('Build.SourcesDirectory');
  const asked = [repositoryPath(root, file), jobInputs, overrides, experimentName, displayName];
  const identity = identityOf(platform, JSON.stringify(asked));
  const submission = submissionOf(identity);
  const base = inputs.jobName ?? derivedName(identity);
  const stop = new AbortController();
  flight.before = async (deadline) =>
    (await chooseAttempt(workspace, base, submission, { clock: platform.clock, signal: deadline, atOnce: true })).existing;
  const choosing = chooseAttempt(workspace, base, submission, {
    clock: platform.clock,
    signal,
    ending: ({ name }) => platform.info(`Job ${name} of the attempt before is still being cancelled; waiting for its end.`),
  }).then(
    (chosen) => {
      if (chosen.existing) stop.abort();
      return chosen;
    },
    (error: unknown) => {
      stop.abort();
      throw error;
    },
  );
  const compiling = compileFor(inputs, workspace, choosing, AbortSignal.any([signal, stop.signal]));
  // What is wrong with the file counts only where there is no job yet, which is known first.
  compiling.catch(() => undefined);
  const chosen = await choosing;
  delete flight.before;
  if (chosen.existing) {
    flight.name = chosen.name;
    platform.info(
      `This run has already submitted its job (attempt ${chosen.attempt}, ${chosen.existing.status}); attaching to it.`,
    );
    return { job: chosen.existing, how: 'attached', attempt: chosen.attempt };
  }
  if (chosen.attempt > 1) platform.info(`Attempt ${chosen.attempt}: the job of the attempt before failed or was cancelled.`);
  const [compiled, { submitJob }] = await Promise.all([compiling, import('../../src/aml/jobs/submit.js')]);
  for (const { message, file, line, column } of compiled.warnings) {
    platform.issue({
      type: 'warning',
      message,
      ...(file ? { sourcePath: file } : {}),
      ...(line ? { line } : {}),
      ...(column ? { column } : {}),
    });
  }
  const { bytes, files, reused } = compiled.upload;
  if (files > 0) platform.info(`Uploaded ${counted(files, 'file')} (${size(bytes)}).`);
  else if (reused > 0) platform.info('Code and data are unchanged: nothing was uploaded.');
  flight.name = chosen.name;
  const { job, readBack } = await submitJob(workspace, compiled, submission, { clock: platform.clock, signal });
  if (readBack) platform.info('The reply to the submission was lost; the job was found and is not sent again.');
  return { job, how: 'submitted', attempt: chosen.attempt };
}

/** Reads and hashes while `choosing` signs in and looks for the job; nothing is looked up or written before that is done. */
async function compileFor(
  inputs: Inputs,
  workspace: Workspace,
  choosing: Promise<{ name: string }>,
  signal: AbortSignal,
): Promise<CompiledJob> {
  // Every request in flight listens.
  setMaxListeners(0, signal);
  // The sign-in is on its way before the compiler is read, which keeps this thread busy.
  await new Promise((resolve) => setImmediate(resolve));
  const [{ compileJob }, { onlineTarget }, { askAhead }] = await Promise.all([
    import('../../src/aml/compile/index.js'),
    import('../../src/aml/assets-online.js'),
    import('../../src/aml/jobs/submit.js'),
  ]);
  const { file, overrides, jobInputs, tags, experimentName, displayName, description } = inputs;
  const request: JobSource = {
    ...{ file, overrides, inputs: jobInputs, tags, signal },
    ...(experimentName ? { experimentName } : {}),
    ...(displayName ? { displayName } : {}),
    ...(description ? { description } : {}),
    onRead: async ({ type, outputs, needsAmlToken }) => {
      const { name } = await choosing;
      signal.throwIfAborted();
      // A download that the job does not have is said before hours of training, not after them.
      if (outputs) checkDownloads(inputs, type, outputs);
      if (needsAmlToken) askAhead(workspace, signal);
      return name;
    },
  };
  return compileJob(request, onlineTarget(workspace, { resumeKey: async () => (await choosing).name }));
}

function announce({ job, how }: Taken, platform: Platform): void {
  const known = job.displayName === job.name ? '' : ` (${sanitizeInline(job.displayName)})`;
  platform.info(`${how === 'submitted' ? 'Submitted' : 'Attached to'} job ${job.name}${known}`);
  if (job.studioUrl) platform.info(`Studio: ${job.studioUrl}`);
  platform.output('jobName', job.name);
  platform.output('jobId', job.armId);
  platform.output('studioUrl', job.studioUrl ?? '');
  platform.output('jobStatus', job.status);
  if (platform.variable('System.HostType')?.toLowerCase() === 'build') platform.buildTag(`aml:${job.name}`);
}

function submitted({ job }: Taken, platform: Platform): Outcome {
  if (job.phase !== 'active' && job.phase !== 'completed' && job.phase !== 'stalled') {
    return { result: 'Failed', message: `Job ${job.name} is already ${job.status}. ${job.studioUrl ?? ''}` };
  }
  platform.info('Not waiting for it: a later step with `action: attach` does.');
  return { result: 'Succeeded', message: `Job ${job.name} submitted.` };
}

/** The job has completed: its metrics and its outputs. */
async function collect(inputs: Inputs, workspace: Workspace, platform: Platform, report: Report): Promise<Outcome> {
  const results = await import('./results.js');
  report.steps = await results.stepsOf(workspace, report, platform);
  report.metrics = await results.giveMetrics(workspace, report, platform);
  if (inputs.downloadOutputs.length > 0) report.outputs = await results.fetchOutputs(inputs, workspace, report, platform);
  if (wantsAll(inputs) && outputNames(report.job).length === 0) platform.warn(nothingToFetch(report.job.name));
  const message = `Job ${report.job.name} ${report.how === 'attached' ? 'has completed; this step waited' : 'completed after'} ${duration(report.waitedMs)}.`;
  platform.info(message);
  return { result: 'Succeeded', message };
}

const nothingToFetch = (name: string): string =>
  `Job ${name} has no outputs, so nothing was downloaded (downloadOutputs: all). A pipeline gives out what stands under its own outputs; bind a step's output to one.`;

/** The job has not completed: why, and whether it still runs. Never green. */
async function explain(
  inputs: Inputs,
  workspace: Workspace,
  platform: Platform,
  report: Report,
  { end, job }: WatchEnd,
): Promise<Outcome> {
  const failed = (message: string): Outcome => {
    report.told = message;
    return { result: 'Failed', message: `${message} ${job.studioUrl ?? ''}`.trim() };
  };
  switch (end) {
    case 'failed': {
      const digest = await (await import('./failure.js')).digestFailure(inputs, workspace, platform, report);
      report.digest = digest;
      const where = digest.itself ? '' : ` in step ${digest.step}`;
      return failed(`Job ${job.name} failed${where} (${digest.cause}): ${digest.message}`);
    }
    case 'canceled':
      return failed(`Job ${job.name} was cancelled in Azure, not by this step. The workspace's activity log names who did it.`);
    case 'paused':
      return failed(`Job ${job.name} is paused and nobody resumed it. It was left as it is.`);
    case 'stalled':
      return failed(
        `Job ${job.name} has been ${job.status || 'without a state'} for too long. It may still run; this step cannot tell.`,
      );
    case 'lost':
      return failed(`Job ${job.name} is not in workspace ${workspace.workspace} any more: somebody deleted it.`);
    default: {
      const limit = `The time limit of ${counted(inputs.limitMinutes ?? 0, 'minute')} (jobTimeoutInMinutes) was reached.`;
      if (inputs.onTimeout === 'leave') return failed(`${limit} Job ${job.name} runs on.`);
      try {
        const answer = await cancelJob(workspace, job.name, platform.cancelled);
        return failed(
          `${limit} ${answer === 'requested' ? `Job ${job.name} is being cancelled.` : `Job ${job.name} has ended meanwhile.`}`,
        );
      } catch (error) {
        platform.cancelled.throwIfAborted();
        const what = error instanceof Error ? error.message : String(error);
        return failed(`${limit} Job ${job.name} could not be cancelled and may run on: ${what}`);
      }
    }
  }
}
