/** Names of jobs and the rule of attempts (design §3 `jobName`): the same run, job and step always come to the same job. */
import { createHash } from 'node:crypto';
import { Failure } from '../../azure/errors.js';
import type { Clock } from '../../azure/types.js';
import type { Workspace } from '../workspace.js';
import { isEnding, readJob, type JobState } from './job.js';

/** What makes a step of a run this one, in every attempt of it. No attempt numbers, and no ids that an attempt makes new. */
interface StepIdentity {
  organization: string;
  project: string;
  pipeline: string;
  runId: string;
  stage: string;
  job: string;
  step: string;
}

/** Property of a job that says which step submitted it. */
export const submissionProperty = 'amlops.submission';

export function submissionOf(identity: StepIdentity): string {
  const { organization, project, runId, stage, job, step } = identity;
  const parts = [organization.toLowerCase().replace(/\/+$/, ''), project.toLowerCase(), runId, stage, job, step];
  return createHash('sha256').update(parts.join('\n')).digest('hex').slice(0, 32);
}

/** `{pipeline}-{run}-{stage}-{12 hex}`: readable, at most 80 characters, and of the pattern that job names have. */
export function derivedName(identity: StepIdentity): string {
  const slug = (text: string, most: number) =>
    text
      .normalize('NFKD')
      .replace(/[^A-Za-z0-9]+/g, '-')
      .slice(0, most)
      .replace(/^-+|-+$/g, '')
      .toLowerCase();
  const words = [slug(identity.pipeline, 32), slug(identity.runId, 12), slug(identity.stage, 20)].filter(Boolean);
  return [...(words.length > 0 ? words : ['run']), submissionOf(identity).slice(0, 12)].join('-');
}

interface Chosen {
  name: string;
  attempt: number;
  /** Set: attach to it. */
  existing?: JobState;
}

interface Looking {
  clock: Clock;
  signal?: AbortSignal;
  /** Told of a job that is waited for. */
  ending?: (job: JobState) => void;
  /** Such a job is given as it is, not waited for. */
  atOnce?: boolean;
}

/**
 * The first attempt whose job is active or completed (attach), or that has no job yet (submit). Failed and cancelled ones are left as they
 * are; one that is being cancelled is waited for, three minutes at most (`ending` is told). A job of that name which another run submitted is never taken for ours: `Failure` `JobNameTaken`.
 */
export async function chooseAttempt(workspace: Workspace, base: string, submission: string, options: Looking): Promise<Chosen> {
  const { clock, signal, atOnce = false } = options;
  for (let attempt = 1; attempt <= 100; attempt++) {
    const name = attempt === 1 ? base : `${base.slice(0, 249)}-a${attempt}`;
    let existing = await readJob(workspace, name, signal ? { signal } : {});
    const ours = existing?.properties[submissionProperty] === submission;
    for (let tries = 0; !atOnce && ours && existing && isEnding(existing) && tries < 60; tries++) {
      if (tries === 0) options.ending?.(existing);
      await clock.sleep(3_000, signal);
      existing = await readJob(workspace, name, signal ? { signal } : {});
    }
    if (!existing) return { name, attempt };
    if (existing.properties[submissionProperty] !== submission) {
      throw new Failure(
        `The workspace ${workspace.workspace} already has a job named ${name}, which another run submitted (${existing.status}).`,
        {
          code: 'JobNameTaken',
          input: 'jobName',
          advice:
            'Leave jobName empty for a name of its own for each run, put $(Build.BuildId) into it, or use `action: attach` to wait for that job.',
        },
      );
    }
    if (existing.phase !== 'failed' && existing.phase !== 'canceled' && (atOnce || !isEnding(existing)))
      return { name, attempt, existing };
  }
  throw new Failure(`Job ${base} has failed a hundred times; no further attempt is started.`, {
    code: 'TooManyAttempts',
    input: 'jobName',
  });
}
