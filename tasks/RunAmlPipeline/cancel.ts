/** The end of a run that was cancelled: what becomes of its job, and what the log says of it. */
import { Failure } from '../../src/azure/errors.js';
import { cancelJob, readJob, type JobState } from '../../src/aml/jobs/job.js';
import type { Workspace } from '../../src/aml/workspace.js';
import type { Platform } from '../../src/task/platform.js';
import type { Inputs } from './inputs.js';

/** What a cancelled run has to cancel: the name under which a job may exist in Azure from now on, and its end once that was seen. */
export interface Flight {
  name?: string;
  /** The job is there: Azure has said so. */
  there?: boolean;
  ended?: string;
  /** Asks for the job that this step may have submitted before (a rerun, a retry), as long as that is not known. */
  before?: (signal: AbortSignal) => Promise<JobState | undefined>;
}

/**
 * The agent has cancelled this run. The request to Azure goes out at once, with five seconds to be answered (the agent kills after 7.5).
 * A submission that was on its way may still arrive: a job that is not there yet is asked for again. Where the step had not yet looked whether
 * it has a job from before (a rerun, a retry), it looks now.
 */
export async function cancelled(inputs: Inputs, workspace: Workspace, platform: Platform, flight: Flight): Promise<void> {
  const deadline = AbortSignal.timeout(5_000);
  const reason = (error: unknown) =>
    deadline.aborted ? 'no answer within five seconds' : error instanceof Error ? error.message : String(error);
  if (flight.before) {
    try {
      const job = await flight.before(deadline);
      if (job) Object.assign(flight, { name: job.name, there: true }, job.phase === 'completed' ? { ended: job.status } : {});
    } catch (error) {
      if (!(error instanceof Failure && error.code === 'JobNameTaken')) {
        platform.info(
          `Cancelled before a job was submitted. Whether this step had submitted one when it ran before is not known (${reason(error)}).`,
        );
        return;
      }
    }
  }
  const { name, ended } = flight;
  if (name === undefined) {
    platform.info('Cancelled before a job was submitted: there is nothing to cancel in Azure.');
    return;
  }
  if (ended !== undefined) {
    platform.info(`Cancelled: job ${name} had already ended (${ended}).`);
    return;
  }
  const keeps = `Cancelled, but job ${name} runs on in Azure (cancelWithPipeline is false).`;
  if (!inputs.cancelWithPipeline && flight.there) {
    platform.info(keeps);
    return;
  }
  const ask = async (): Promise<'requested' | 'over' | 'missing' | 'left'> => {
    if (inputs.cancelWithPipeline) return cancelJob(workspace, name, deadline);
    return (await readJob(workspace, name, { signal: deadline })) ? 'left' : 'missing';
  };
  try {
    let answer = await ask();
    for (let tries = 0; answer === 'missing' && tries < 3; tries++) {
      await platform.clock.sleep(700, deadline);
      answer = await ask();
    }
    if (answer === 'left') platform.info(keeps);
    else if (answer === 'requested')
      platform.info(`Cancelled: Azure was asked to cancel job ${name}; that takes it up to two minutes.`);
    else if (answer === 'over') platform.info(`Cancelled: job ${name} had already ended.`);
    else
      platform.info(
        `Cancelled: job ${name} does not exist in Azure${inputs.action === 'attach' ? '' : '; it had not been submitted'}.`,
      );
  } catch (error) {
    const task = inputs.cancelWithPipeline ? 'cancelled' : 'looked for';
    const advice = error instanceof Failure && !deadline.aborted ? (error.details.advice ?? '') : '';
    platform.warn(
      `Job ${name} could not be ${task} in Azure (${reason(error)}). It may run on: look at it in the studio. ${advice}`.trimEnd(),
    );
  }
}
