/**
 * The wait for a job: looks at it, at its steps and at their logs, each when it is due (schedule.ts), until it has really ended.
 * Survives what passes: expired tokens, 429 and 5xx, resets, an outage of Azure, NotResponding. Ends with what is so, never with a guess.
 */
import { passesByItself } from '../../azure/line.js';
import { Failure, sentence } from '../../azure/errors.js';
import type { Clock } from '../../azure/types.js';
import type { Workspace } from '../workspace.js';
import { readJob, type JobState } from './job.js';
import { JobLogs } from './logs.js';
import { outlast } from './outlast.js';
import { Allowance, jobInterval, stepsInterval } from './schedule.js';
import { StepReader, type StepState } from './steps.js';
import { gaveUp, minutes, refused, Unread } from './trouble.js';

export interface WatchSink {
  /** The job's own status word has changed (also the first time). */
  status(job: JobState): void;
  /** Some step is new or has changed. */
  steps(steps: readonly StepState[]): void;
  /** Foreign text of a step's log, as it came. No more of that log is read before a promise that is given back has come true. */
  text(step: StepState, text: string, file?: string): unknown;
  /** Everything of a step's log has been given. */
  textEnd(step: StepState): void;
  notice(level: 'info' | 'warning', text: string): void;
}

export interface WatchOptions {
  clock: Clock;
  signal: AbortSignal;
  /** Whether logs are followed, and steps closely. */
  logs: boolean;
  /** Our own limit, from now on. */
  limitMs?: number;
}

export interface WatchEnd {
  /** `lost`: the job is not there any more. `limit`: our own time limit; the job goes on. */
  end: 'completed' | 'failed' | 'canceled' | 'paused' | 'stalled' | 'lost' | 'limit';
  job: JobState;
  steps: StepState[];
}

/** How long each is waited for: a job that is not there, Paused, NotResponding or Unknown, Azure without an answer. */
const lostMs = 120_000;
const pausedMs = 600_000;
const stalledMs = 3_600_000;
const outageMs = 3_600_000;

export async function watchJob(workspace: Workspace, first: JobState, sink: WatchSink, options: WatchOptions): Promise<WatchEnd> {
  return new Watch(workspace, first, sink, options).run();
}

class Watch {
  readonly #started: number;
  readonly #reader: StepReader;
  readonly #logs: JobLogs;
  readonly #allowance: Allowance;
  readonly #parentHasSteps: boolean;
  #job: JobState;
  #steps: StepState[] = [];
  #seen = '';
  #changed: number;
  #jobDue = 0;
  #stepsDue = 0;
  /** Since when the present trouble lasts. */
  #missing: number | undefined;
  #stalled: number | undefined;
  #outage: { since: number; tries: number; said: boolean } | undefined;
  #refused = 0;
  /** Trouble with what only explains the job. */
  readonly #unread = { steps: new Unread('steps'), logs: new Unread('logs') };

  constructor(
    readonly workspace: Workspace,
    first: JobState,
    readonly sink: WatchSink,
    readonly options: WatchOptions,
  ) {
    this.#started = options.clock.now();
    this.#changed = this.#started;
    this.#job = first;
    this.#reader = new StepReader(workspace, first.name);
    this.#logs = new JobLogs(
      workspace,
      ({ step, text, file }) => sink.text(step, text, file),
      (step) => sink.textEnd(step),
    );
    this.#allowance = new Allowance(this.#started);
    this.#parentHasSteps = !/^(command|spark)$/i.test(first.type);
    this.#jobDue = this.#started + jobInterval(0);
  }

  async run(): Promise<WatchEnd> {
    const { clock, signal, limitMs } = this.options;
    this.sink.status(this.#job);
    for (;;) {
      signal.throwIfAborted();
      const end = this.#end();
      if (end) return this.#finish(end);
      const now = clock.now();
      if (limitMs !== undefined && now - this.#started >= limitMs) return { end: 'limit', job: this.#job, steps: this.#steps };
      if (now >= this.#jobDue) await this.#lookAtJob(now);
      if (!this.#outage) await this.#lookInside(now);
      if (this.#end()) continue;
      await clock.sleep(this.#pause(clock.now()), signal);
    }
  }

  #pause(now: number): number {
    const { logs, limitMs } = this.options;
    // An outage of a minute must not cost a minute more.
    const due = [this.#outage ? now + Math.min(60_000, Math.max(2_000, (now - this.#outage.since) * 0.15)) : this.#jobDue];
    if (logs && !this.#outage) due.push(this.#stepsDue, this.#logs.nextDue() ?? Infinity);
    if (limitMs !== undefined) due.push(this.#started + limitMs);
    return Math.max(200, Math.min(...due) - now);
  }

  #end(): WatchEnd['end'] | undefined {
    const now = this.options.clock.now();
    const { phase } = this.#job;
    // While Azure does not answer nobody knows whether what was seen last is still so.
    if (this.#outage) return undefined;
    if (this.#missing !== undefined && now - this.#missing >= lostMs) return 'lost';
    if (phase === 'completed' || phase === 'failed' || phase === 'canceled') return phase;
    if (this.#stalled === undefined) return undefined;
    const limit = phase === 'paused' ? pausedMs : stalledMs;
    if (now - this.#stalled < limit) return undefined;
    return phase === 'paused' ? 'paused' : 'stalled';
  }

  async #lookAtJob(now: number): Promise<void> {
    this.#allowance.spend(now);
    const how = { signal: this.options.signal, retries: 2, timeoutSeconds: 30 };
    const answer = await this.#guarded(() => readJob(this.workspace, this.#job.name, how));
    if (!answer) return;
    const [job] = answer;
    this.#jobDue = this.#nextJobLook(now);
    if (!job) {
      this.#missing ??= now;
      this.#jobDue = now + 15_000;
      return;
    }
    this.#missing = undefined;
    const before = this.#job;
    this.#job = job;
    if (job.status !== before.status) {
      this.#changed = now;
      this.#stepsDue = now;
      this.sink.status(job);
    }
    this.#judgeStall(now);
  }

  #judgeStall(now: number): void {
    const { phase, status } = this.#job;
    if (phase !== 'stalled' && phase !== 'paused') {
      if (this.#stalled !== undefined) this.sink.notice('info', `The job answers again: ${status}.`);
      this.#stalled = undefined;
      return;
    }
    if (this.#stalled !== undefined) return;
    this.#stalled = now;
    const text =
      phase === 'paused'
        ? 'The job is paused. Somebody has to resume it in the studio; otherwise this step fails in a few minutes.'
        : `The service says ${status || 'nothing'} about the job's state. That may pass; still waiting.`;
    this.sink.notice('warning', text);
  }

  /** While steps are followed closely the job itself changes only after one of them. */
  #nextJobLook(now: number): number {
    const interval = jobInterval(now - this.#started);
    // A job without steps is its own step, whose first line is waited for.
    if (this.options.logs && !this.#parentHasSteps) return now + Math.min(interval, this.#stepsPause(now));
    const covered =
      this.options.logs && this.#parentHasSteps && this.#steps.some(({ group, phase }) => !group && phase === 'active');
    return now + (covered ? Math.max(interval, 150_000) : interval);
  }

  /** Steps and logs explain a job; where they cannot be read, the wait goes on without them. */
  async #lookInside(now: number): Promise<void> {
    if (!this.options.logs) return;
    const { steps, logs } = this.#unread;
    if (now >= this.#stepsDue && !(await this.#tried(steps, () => this.#lookAtSteps(now)))) {
      this.#stepsDue = this.options.clock.now() + steps.pause;
    }
    const due = this.#logs.nextDue();
    if (due !== undefined && now >= due)
      await this.#tried(logs, () => this.#logs.poll(now, this.#allowance, this.options.signal));
  }

  /** True when it could be read. Otherwise the job is asked at once: it may be all of Azure that does not answer. */
  async #tried(part: Unread, body: () => Promise<void>): Promise<boolean> {
    try {
      await body();
    } catch (error) {
      this.options.signal.throwIfAborted();
      if (!(error instanceof Failure)) throw error;
      if (part.tries === 0) this.#jobDue = Math.min(this.#jobDue, this.options.clock.now());
      const text = part.failed(error);
      if (text) this.sink.notice('warning', text);
      return false;
    }
    const text = part.read();
    if (text) this.sink.notice('info', text);
    return true;
  }

  async #lookAtSteps(now: number): Promise<void> {
    if (!this.#parentHasSteps) {
      this.#stepsDue = now + 3_600_000;
      this.#takeSteps([this.#itself(this.#job)], now);
      return;
    }
    this.#stepsDue = now + this.#stepsPause(now);
    const steps = await this.#reader.read(this.options.signal);
    this.#allowance.spend(now, this.#reader.requests);
    this.#takeSteps(steps, now);
  }

  #stepsPause(now: number): number {
    return stepsInterval(now - this.#changed, this.#allowance.scarce(now));
  }

  #takeSteps(steps: StepState[], now: number): void {
    const picture = steps.map(({ runId, status }) => `${runId} ${status}`).join('\n');
    this.#steps = steps;
    if (picture !== this.#seen) {
      this.#seen = picture;
      this.#changed = now;
      this.#stepsDue = Math.min(this.#stepsDue, now + this.#stepsPause(now));
      // A step that has ended may be the last one.
      if (this.#parentHasSteps && !steps.some(({ group, phase }) => !group && phase === 'active')) this.#jobDue = now;
      if (steps.some(({ phase }) => phase === 'failed' || phase === 'canceled')) this.#jobDue = now;
      this.sink.steps(steps);
    }
    if (this.options.logs) this.#logs.follow(steps, now);
  }

  /** A job without steps is its own leaf. */
  #itself(job: JobState): StepState {
    const { name, status, phase, displayName } = job;
    return {
      runId: name,
      name: displayName && displayName !== name ? displayName : 'job',
      status,
      phase,
      group: false,
      reused: false,
      logsOf: name,
    };
  }

  /**
   * The answer, or undefined for none: goes on over what passes by itself. A refusal (401, 403, sign-in) gets three tries, because rights and
   * tokens flicker too.
   */
  async #guarded<T>(body: () => Promise<T>): Promise<[T] | undefined> {
    const { clock, signal } = this.options;
    const began = clock.now();
    try {
      const answer = await body();
      this.#refused = 0;
      if (this.#outage?.said) this.sink.notice('info', `Azure answers again after ${minutes(clock.now() - this.#outage.since)}.`);
      this.#outage = undefined;
      return [answer];
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Failure)) throw error;
      const now = clock.now();
      const passing = passesByItself(error);
      if (!passing && ++this.#refused >= 3) throw refused(this.#job, error);
      this.#outage ??= { since: began, tries: 0, said: false };
      this.#outage.tries += 1;
      if (now - this.#outage.since > outageMs) throw gaveUp(this.#job, now - this.#outage.since, error);
      // A host that takes the request and says nothing needs more than a minute for one try.
      if (!this.#outage.said && (this.#outage.tries >= 2 || now - began > 60_000)) {
        this.#outage.said = true;
        this.sink.notice('warning', `${sentence(error.message)} Still waiting; the job is not affected by that.`);
      }
      return undefined;
    }
  }

  async #finish(end: WatchEnd['end']): Promise<WatchEnd> {
    const { clock, signal, logs } = this.options;
    // The end is known; what is read now only explains it, and what cannot be read keeps nothing else from being read.
    const troubles: unknown[] = [];
    const tried = async (known: Unread, body: () => Promise<void>) => {
      // What could be read so far is worth a second try.
      await (known.tries > 0 ? body() : outlast(this.workspace, this.#job.name, this.options, body)).catch((error: unknown) => {
        signal.throwIfAborted();
        troubles.push(error);
      });
    };
    await tried(this.#unread.steps, async () => {
      this.#takeSteps(this.#parentHasSteps ? await this.#reader.read(signal) : [this.#itself(this.#job)], clock.now());
    });
    if (logs) await tried(this.#unread.logs, () => this.#logs.drain(this.#steps, clock.now(), signal));
    if (troubles.length > 0) {
      const what = troubles[0] instanceof Error ? troubles[0].message : String(troubles[0]);
      const missing = logs ? 'The last log lines may be missing here' : 'The steps of the job could not be read';
      this.sink.notice('warning', `${missing}: ${what}`);
    }
    return { end, job: this.#job, steps: this.#steps };
  }
}
