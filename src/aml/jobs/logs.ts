/**
 * Logs of a job's steps, each read from where it was left (reference azure-ml-rest §2.4). An address carries its own signature, which
 * expires after eight hours: it is asked for again when it is refused. The text is foreign; whoever prints it cleans it.
 */
import { passesByItself } from '../../azure/line.js';
import { Failure } from '../../azure/errors.js';
import type { Workspace } from '../workspace.js';
import { LogFile, logNames, otherProcesses } from './log-file.js';
import { Rhythm } from './rhythm.js';
import { handicap, logInterval, longestUnread, type Allowance } from './schedule.js';
import { readDetails, type StepState } from './steps.js';

/** Characters that are given at once. */
const spell = 128 * 1024;
/** Pieces of one file that one look reads: the state of the job must not wait for a log that grows faster than it is read. */
const mostPieces = 4;
/** The log of a step that has one process: no further file comes. */
const single = 'user_logs/std_log.txt';
const ofUser = (name: string) => name.startsWith('user_logs/');

/** What one look has brought. */
interface News {
  bytes: number;
  lines: number;
  /** How long ago the log was written, by the store's clock. */
  age?: number;
  /** There may be more of it now. */
  more: boolean;
}

/** One step's logs. */
class StepLog {
  due = 0;
  looked: number;
  lastData: number;
  readonly since: number;
  readonly files = new Map<string, LogFile>();
  readonly rhythm = new Rhythm();
  finished = false;
  needsAddresses = true;
  addressed = 0;
  /** Requests so far. */
  asked = 0;
  /** Looks in a row that failed. */
  failures = 0;
  /** That there are further processes. */
  told = false;
  /** Looks after the end of the step, and whether one of them has brought something. */
  readonly last = { looks: 0, heard: false };

  constructor(
    public step: StepState,
    now: number,
  ) {
    this.since = now;
    this.looked = now;
    this.lastData = now;
  }

  /** Until when this log can wait where requests are scarce: its beat, when it has one, says when there is something to read. */
  standsBackUntil(): number {
    if (this.step.phase !== 'active') return 0;
    const beat = this.rhythm.next(this.looked);
    return beat === undefined ? 0 : Math.min(beat, this.looked + longestUnread);
  }

  /** Longest unread first; silence as the last look left it, for what has come since is not known yet. The end of a step is news. */
  turn(scarce: boolean): number {
    const { looked, lastData, files, step } = this;
    return looked + (scarce && files.size > 0 && step.phase === 'active' ? handicap(looked - lastData) : 0);
  }

  /** The step has ended. One that does not answer, or is paused, may write again. */
  get over(): boolean {
    const { phase } = this.step;
    return phase === 'completed' || phase === 'failed' || phase === 'canceled';
  }

  /**
   * Whether its files have to be asked for. What the service wrote while it prepared the step gives way to the user's log when that is there;
   * logs of several processes come one after the other.
   */
  wantsAddresses(now: number): boolean {
    const { files, addressed, since } = this;
    if (this.needsAddresses || files.size === 0) return true;
    if (files.has(single)) return false;
    if (this.over) return now > addressed;
    return now - addressed > Math.max(longestUnread, [...files.keys()].some(ofUser) ? (now - since) / 2 : 0);
  }

  /** Whether all has been read after a look that brought nothing: the last words may come a little after the end. */
  get exhausted(): boolean {
    return this.over && (this.last.heard || this.last.looks > 1 || (this.files.size === 0 && this.step.started === undefined));
  }
}

interface Reading {
  now: number;
  /** Nobody comes back later. */
  final: boolean;
  /** Pieces of each file. */
  most: number;
  signal?: AbortSignal | undefined;
}

/** A host that does not answer would let every log in it wait for it. */
function silent(error: unknown): boolean {
  return !(error instanceof Failure) || (error.details.status === undefined && passesByItself(error));
}

interface Chunk {
  step: StepState;
  text: string;
  /** File that it comes from, where the step has several. */
  file?: string;
}

/** The logs of all steps that have been seen. */
export class JobLogs {
  readonly #workspace: Workspace;
  readonly #logs = new Map<string, StepLog>();
  readonly #give: (chunk: Chunk) => unknown;
  readonly #over: (step: StepState) => void;
  /** No request may be spent on logs before that. */
  #blocked = 0;

  /** `over`: everything of a step's log has been given. */
  constructor(workspace: Workspace, give: (chunk: Chunk) => unknown, over: (step: StepState) => void) {
    this.#workspace = workspace;
    this.#give = give;
    this.#over = over;
  }

  /** Leaves that run, or have run since the last look. Reused steps ran in another job; their log is not this job's news. */
  follow(leaves: readonly StepState[], now: number): void {
    for (const step of leaves) {
      if (step.group || step.reused) continue;
      const known = this.#logs.get(step.runId);
      if (known) {
        if (known.step.phase === 'active' && step.phase !== 'active') known.due = now;
        known.step = step;
      } else if (step.phase !== 'active' || step.started !== undefined || /running|finalizing/i.test(step.status)) {
        this.#logs.set(step.runId, new StepLog(step, now));
      }
    }
  }

  /** When the next look is due; undefined when nothing is followed. */
  nextDue(): number | undefined {
    let next: number | undefined;
    for (const { finished, due } of this.#logs.values()) if (!finished && due < (next ?? Infinity)) next = due;
    return next === undefined ? undefined : Math.max(next, this.#blocked);
  }

  /** Looks at every log that is due, longest unread first, as far as the allowance goes. Throws what a request threw, after the others. */
  async poll(now: number, allowance: Allowance, signal?: AbortSignal): Promise<void> {
    const due = [...this.#logs.values()].filter((log) => !log.finished && log.due <= now);
    const scarce = due.length > 0 && allowance.scarce(now);
    due.sort((a, b) => a.turn(scarce) - b.turn(scarce));
    const chosen: StepLog[] = [];
    for (const log of due) {
      const until = scarce ? log.standsBackUntil() : 0;
      if (until > now) {
        log.due = until;
        continue;
      }
      if (!allowance.take(now)) {
        // All that are due wait for the next request together, so that the longest unread gets it.
        this.#blocked = now + allowance.wait(now);
        break;
      }
      chosen.push(log);
    }
    const results = await Promise.allSettled(
      chosen.map(async (log) => {
        const before = log.asked + 1;
        await this.#look(log, now, signal).finally(() => allowance.spend(now, log.asked - before));
      }),
    );
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #look(log: StepLog, now: number, signal?: AbortSignal): Promise<void> {
    let open = 0;
    for (const { finished, due } of this.#logs.values()) if (!finished && due < Infinity) open += 1;
    const before = log.looked;
    log.looked = now;
    // Set first: a look that fails comes round again like any other.
    log.due = now + logInterval(now - log.since, open);
    const { over } = log;
    let news: News;
    try {
      news = await this.#read(log, { now, final: over, most: mostPieces, signal });
      log.failures = 0;
    } catch (error) {
      log.due = now + Math.min(300_000, 2_000 * 2 ** ++log.failures);
      throw error;
    }
    if (news.bytes > 0) log.lastData = now;
    log.rhythm.look(now, before, news.lines, news.age === undefined ? undefined : now - news.age);
    if (news.more) log.due = now;
    if (!over) return;
    log.last.looks += 1;
    log.last.heard ||= news.bytes > 0;
    if (news.bytes > 0 || news.more || !log.exhausted) return;
    // A log that has not come yet is looked for once more at the job's end.
    if (log.files.size > 0 || log.step.started === undefined) this.#finish(log);
    else log.due = Infinity;
  }

  #finish(log: StepLog): void {
    log.finished = true;
    this.#over(log.step);
  }

  /** Reads what is new of one step. One file that cannot be read keeps no other from being read. */
  async #read(log: StepLog, how: Reading): Promise<News> {
    const news: News = { bytes: 0, lines: 0, more: false };
    let fresh = log.wantsAddresses(how.now);
    if (fresh) await this.#address(log, how);
    const troubles: unknown[] = [];
    let files = [...log.files.values()];
    for (;;) {
      const expired: LogFile[] = [];
      for (const file of files) {
        try {
          if (!(await this.#readFile(log, file, { ...how, fresh }, news))) expired.push(file);
        } catch (error) {
          log.needsAddresses = true;
          how.signal?.throwIfAborted();
          if (silent(error)) throw error;
          troubles.push(error);
        }
      }
      if (expired.length === 0) break;
      // A new address that is refused has not expired: something else is wrong, and is told.
      fresh = true;
      log.needsAddresses = true;
      await this.#address(log, how);
      files = expired;
    }
    if (troubles.length > 0) throw troubles[0];
    return news;
  }

  async #address(log: StepLog, { now, signal }: Reading): Promise<void> {
    log.asked += 1;
    const { logFiles = {} } = (await readDetails(this.#workspace, log.step.logsOf, signal)) ?? {};
    log.addressed = now;
    log.needsAddresses = false;
    const others = otherProcesses(logFiles);
    const names = logNames(logFiles);
    // The first process may never have come to write.
    if (log.over && !names.some(ofUser)) names.push(...others.splice(0, 1));
    const several = names.length > 1 || log.files.size > 0;
    for (const name of names) {
      const url = logFiles[name] ?? '';
      const known = log.files.get(name);
      if (known) known.renew(url);
      else log.files.set(name, new LogFile(name, url, several ? name : undefined));
    }
    const first = names.find(ofUser);
    if (others.length > 0 && !log.told && first) {
      log.told = true;
      log.files
        .get(first)
        ?.remark(`this step has further processes; the log of ${first.slice(10, -4)} is shown, see the studio for the others`);
    }
  }

  /** False when the signature is not taken. */
  async #readFile(log: StepLog, file: LogFile, how: Reading & { fresh: boolean }, news: News): Promise<boolean> {
    for (let pieces = 0; ; pieces++) {
      if (pieces >= how.most) {
        news.more = true;
        return true;
      }
      log.asked += 1;
      const piece = await file.read(this.#workspace, how);
      if (piece === 'expired') return false;
      const { bytes, lines, text, age, more } = piece;
      news.bytes += bytes;
      // Text without a line end is news as well.
      news.lines += lines;
      if (age !== undefined && bytes > 0) news.age = Math.min(age, news.age ?? age);
      for (let at = 0; at < text.length; at += spell) {
        const { label } = file;
        await this.#give({ step: log.step, text: text.slice(at, at + spell), ...(label ? { file: label } : {}) });
        // A log of hundreds of megabytes must not keep a cancel waiting.
        if (text.length > spell) await new Promise((resolve) => setImmediate(resolve));
        how.signal?.throwIfAborted();
      }
      if (!more) return true;
    }
  }

  /** After the end: everything that is still unread, of every leaf that ran. Throws what a request threw, after the others. */
  async drain(leaves: readonly StepState[], now: number, signal?: AbortSignal): Promise<void> {
    this.follow(leaves, now);
    const open = [...this.#logs.values()].filter((log) => !log.finished);
    let next = 0;
    const failures: unknown[] = [];
    const worker = async () => {
      for (let log = open[next++]; log; log = open[next++]) {
        try {
          while ((await this.#read(log, { now, final: true, most: Infinity, signal })).bytes > 0);
        } catch (error) {
          signal?.throwIfAborted();
          failures.push(error);
          if (silent(error)) next = open.length;
          continue;
        }
        this.#finish(log);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    if (failures.length > 0) throw failures[0];
  }
}
