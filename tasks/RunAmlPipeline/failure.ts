/** A failed job in the log: the step that failed first, why, its last lines, and the place in the repository as an issue. */
import { dirname, resolve } from 'node:path';
import type { Workspace } from '../../src/aml/workspace.js';
import { adviceOf, failureDigest, firstFailed, type Digest } from '../../src/aml/jobs/digest.js';
import { logTail } from '../../src/aml/jobs/tail.js';
import { StepReader } from '../../src/aml/jobs/steps.js';
import type { Platform } from '../../src/task/platform.js';
import type { Inputs } from './inputs.js';
import type { Report } from './report.js';

/** What is longer has been in the log once, or is behind the link. */
const longestTold = 500;

export async function digestFailure(inputs: Inputs, workspace: Workspace, platform: Platform, report: Report): Promise<Digest> {
  const { job } = report;
  const signal = platform.cancelled;
  if (report.steps.length === 0 && !/^(command|spark)$/i.test(job.type)) {
    try {
      report.steps = await new StepReader(workspace, job.name).read(signal);
    } catch (error) {
      signal.throwIfAborted();
      platform.info(`The steps could not be read: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const root = platform.variable('Build.SourcesDirectory') ?? platform.variable('System.DefaultWorkingDirectory');
  const folders = [...(root ? [root] : []), ...(inputs.file ? [dirname(resolve(inputs.file))] : [])];
  const digest = await failureDigest(workspace, job, report.steps, folders, signal);
  if (inputs.streamLogs === 'failed') await printLog(workspace, platform, report, digest);
  platform.info('');
  platform.info(
    digest.itself ? `The job failed. Cause: ${digest.cause}.` : `Step ${digest.step} failed first. Cause: ${digest.cause}.`,
  );
  platform.info(digest.message);
  platform.info(digest.advice);
  if (digest.lines.length > 0) {
    platform.info(`The last lines of its log${digest.file ? ` (${digest.file})` : ''}:`);
    for (const line of digest.lines)
      platform.foreign(`  | ${line.length > longestTold ? `${line.slice(0, longestTold)}…` : line}`);
  }
  if (job.studioUrl) platform.info(`Studio: ${job.studioUrl}`);
  // On the run's page only the error stands: what to do is said with it, where it is more than "look at the log".
  const plain = ['user code', 'unknown'].includes(digest.cause) && digest.advice === adviceOf(digest.cause, '');
  const tip = plain ? '' : `\n${digest.advice}`;
  platform.issue({
    type: 'error',
    message: `${digest.itself ? 'The job' : `Step ${digest.step}`} failed (${digest.cause}): ${digest.message}${tip}`,
    code: digest.cause.replaceAll(' ', '-'),
    ...(digest.place ? { sourcePath: digest.place.path, line: digest.place.line } : {}),
  });
  return digest;
}

async function printLog(workspace: Workspace, platform: Platform, report: Report, digest: Digest): Promise<void> {
  try {
    const runId = firstFailed(report.steps)?.logsOf ?? report.job.name;
    const { lines, cut, file } = await logTail(workspace, runId, { lines: 20_000, bytes: 4 * 1024 * 1024 }, platform.cancelled);
    await platform.group(`Log of ${digest.step}${file ? ` (${file})` : ''}`, async () => {
      if (cut) platform.info(`The log has more before these ${lines.length} lines: see the link.`);
      for (const [n, line] of lines.entries()) {
        platform.foreign(`[${digest.step}] ${line}`);
        if (n % 500 === 0) await platform.taken();
        platform.cancelled.throwIfAborted();
      }
    });
  } catch (error) {
    platform.cancelled.throwIfAborted();
    platform.info(`The log of ${digest.step} could not be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}
