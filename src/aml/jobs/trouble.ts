/** What a wait says of trouble with Azure: which passes, which is told, and which ends it. */
import { Failure, sentence } from '../../azure/errors.js';
import type { JobState } from './job.js';

/** What cannot be read for a while, and when that is worth a word: at the third time, because much passes by itself. */
export class Unread {
  tries = 0;
  constructor(readonly what: 'steps' | 'logs') {}

  /** Until the next try, in milliseconds. */
  get pause(): number {
    return Math.min(120_000, 2_000 * 2 ** Math.min(this.tries, 6));
  }

  failed({ message, details }: Failure): string | undefined {
    if (++this.tries !== 3) return undefined;
    const advice = details.advice ? ` ${details.advice}` : '';
    return `The ${this.what} of the job cannot be read here. ${sentence(message)}${advice} The wait goes on; the studio shows them.`;
  }

  read(): string | undefined {
    const said = this.tries >= 3;
    this.tries = 0;
    return said ? `The ${this.what} of the job can be read again.` : undefined;
  }
}

export function minutes(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} minutes`;
}

const attachAgain =
  'Run the step again: it attaches to the same job while it is active, or takes its result when it has completed.';

/** Azure's refusal, with what it means for somebody who waits. */
export function refused(job: JobState, cause: Failure): Failure {
  const { advice } = cause.details;
  return new Failure(`${sentence(cause.message)} The wait for job ${job.name} ends here; the job may run on.`, {
    ...cause.details,
    advice: advice ? `${advice} ${attachAgain}` : attachAgain,
    cause,
  });
}

export function gaveUp(job: JobState, ms: number, cause: Failure): Failure {
  return new Failure(
    `Azure has not answered for ${minutes(ms)}; the wait for job ${job.name} ends here. The job may run on. ${cause.message}`,
    {
      code: 'OutageTooLong',
      advice: attachAgain,
      cause,
    },
  );
}
