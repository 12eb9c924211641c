/**
 * Logs of a job's steps, each read from where it was left (reference azure-ml-rest §2.4). An address carries its own signature, which
 * expires after eight hours: it is asked for again when it is refused. The text is foreign; whoever prints it cleans it.
 */
import { TextDecoder } from 'node:util';
import { Failure } from '../../azure/errors.js';
import type { Workspace } from '../workspace.js';
import { Rhythm } from './rhythm.js';
import { handicap, logInterval, longestUnread, type Allowance } from './schedule.js';
import { readDetails, type StepState } from './steps.js';

/** The user's log first, then the names of older compute generations (reference azure-ml-rest §2.4). */
const patterns = [
  /^user_logs\/std_log\D*0*(?:_ps)?\.txt$/,
  /^azureml-logs\/\d{2}.+\.txt$/,
  /^logs\/azureml\/executionlogs\.txt$/,
  /^azureml-logs\/hyperdrive\.txt$/,
];

/** Files of a step that a person reads as its log. */
export function logNames(files: Readonly<Record<string, string>>): string[] {
  for (const pattern of patterns) {
    const names = Object.keys(files)
      .filter((name) => pattern.test(name))
      .sort();
    if (names.length > 0) return names;
  }
  return [];
}

const pieceSize = 4 * 1024 * 1024;
/** Characters that are given at once. */
const spell = 128 * 1024;

interface Tail {
  url: string;
  offset: number;
  decoder: TextDecoder;
}

/** What one look has brought. */
interface News {
  bytes: number;
  lines: number;
  /** How long ago the log was written, by the store's clock. */
  age?: number;
}

/** One step's logs. */
class StepLog {
  due = 0;
  looked: number;
  lastData: number;
  readonly since: number;
  readonly tails = new Map<string, Tail>();
  readonly rhythm = new Rhythm();
  finished = false;
  needsAddresses = true;
  addressed = 0;
  /** Looks in a row that failed. */
  failures = 0;

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
    const { looked, lastData, tails, step } = this;
    return looked + (scarce && tails.size > 0 && step.phase === 'active' ? handicap(looked - lastData) : 0);
  }

  /** The step has ended. One that does not answer, or is paused, may write again. */
  get over(): boolean {
    const { phase } = this.step;
    return phase === 'completed' || phase === 'failed' || phase === 'canceled';
  }

  /** Whether a user's log is among those that are read; before it there may be only what the service wrote itself. */
  get ofUser(): boolean {
    return [...this.tails.keys()].some((name) => name.startsWith('user_logs/'));
  }
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
    for (const log of this.#logs.values()) if (!log.finished && (next === undefined || log.due < next)) next = log.due;
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
      const cost = Math.max(1, log.tails.size) + (log.needsAddresses && log.tails.size > 0 ? 1 : 0);
      if (!allowance.take(now)) {
        // All that are due wait for the next request together, so that the longest unread gets it.
        this.#blocked = now + allowance.wait(now);
        break;
      }
      if (cost > 1) allowance.spend(now, cost - 1);
      chosen.push(log);
    }
    const results = await Promise.allSettled(chosen.map((log) => this.#look(log, now, signal)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #look(log: StepLog, now: number, signal?: AbortSignal): Promise<void> {
    let open = 0;
    for (const { finished } of this.#logs.values()) if (!finished) open += 1;
    const before = log.looked;
    log.looked = now;
    // Set first: a look that fails comes round again like any other.
    log.due = now + logInterval(now - log.since, open);
    const { over } = log;
    let news: News;
    try {
      news = await this.#read(log, now, signal);
      log.failures = 0;
    } catch (error) {
      log.due = now + Math.min(300_000, 2_000 * 2 ** ++log.failures);
      throw error;
    }
    if (news.bytes > 0) log.lastData = now;
    log.rhythm.look(now, before, news.lines, news.age === undefined ? undefined : now - news.age);
    if (over && news.bytes === 0) this.#finish(log);
  }

  #finish(log: StepLog): void {
    log.finished = true;
    this.#over(log.step);
  }

  /** Reads what is new of one step. */
  async #read(log: StepLog, now: number, signal?: AbortSignal): Promise<News> {
    // What the service wrote while it prepared the step gives way to the user's log when that is there.
    if (!log.ofUser && log.tails.size > 0 && (log.over || now - log.addressed > longestUnread)) log.needsAddresses = true;
    const fresh = log.needsAddresses;
    if (fresh) {
      const details = await readDetails(this.#workspace, log.step.logsOf, signal);
      log.addressed = now;
      for (const name of logNames(details?.logFiles ?? {})) {
        const url = details?.logFiles[name] ?? '';
        const known = log.tails.get(name);
        if (known) known.url = url;
        else log.tails.set(name, { url, offset: 0, decoder: new TextDecoder('utf-8') });
      }
      log.needsAddresses = log.tails.size === 0;
    }
    const news: News = { bytes: 0, lines: 0 };
    for (const [name, tail] of log.tails) {
      for (;;) {
        // A new address that is refused has not expired: something else is wrong, and is told.
        const piece = await this.#piece(tail, fresh, signal).catch((error: unknown) => {
          log.needsAddresses = true;
          throw error;
        });
        if (piece === 'expired') {
          log.needsAddresses = true;
          break;
        }
        if (piece === 'replaced') {
          tail.offset = 0;
          tail.decoder = new TextDecoder('utf-8');
          continue;
        }
        const { bytes, age } = piece;
        if (bytes.length === 0) break;
        news.bytes += bytes.length;
        for (const byte of bytes) if (byte === 10) news.lines += 1;
        // Text without a line end is news as well.
        news.lines ||= 1;
        if (age !== undefined) news.age = Math.min(age, news.age ?? age);
        tail.offset += bytes.length;
        const text = tail.decoder.decode(bytes, { stream: true });
        for (let at = 0; at < text.length; at += spell) {
          await this.#give({ step: log.step, text: text.slice(at, at + spell), ...(log.tails.size > 1 ? { file: name } : {}) });
          // A log of hundreds of megabytes must not keep a cancel waiting.
          if (text.length > spell) await new Promise((resolve) => setImmediate(resolve));
          signal?.throwIfAborted();
        }
        if (bytes.length < pieceSize) break;
      }
    }
    return news;
  }

  async #piece(
    tail: Tail,
    fresh: boolean,
    signal?: AbortSignal,
  ): Promise<{ bytes: Buffer; age?: number } | 'expired' | 'replaced'> {
    const { status, bytes, headers } = await this.#workspace.azure.request({
      method: 'GET',
      url: tail.url,
      scope: null,
      headers: { Range: `bytes=${tail.offset}-${tail.offset + pieceSize - 1}`, Accept: '*/*', 'Accept-Encoding': 'identity' },
      accept: fresh ? [404, 416] : [401, 403, 404, 416],
      maxBytes: 256 * 1024 * 1024,
      retries: 1,
      timeoutSeconds: 30,
      operation: 'read a log',
      ...(signal ? { signal } : {}),
    });
    if (status === 401 || status === 403) return 'expired';
    if (status === 404) return { bytes: Buffer.alloc(0) };
    if (status === 416) {
      const size = Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? Number.NaN);
      // A shorter file is another file: the step was started again.
      return size < tail.offset ? 'replaced' : { bytes: Buffer.alloc(0) };
    }
    if (status === 200 && bytes.length < tail.offset) return 'replaced';
    const age = Date.parse(headers['date'] ?? '') - Date.parse(headers['last-modified'] ?? '');
    // A server that knows no ranges sends the whole file.
    return { bytes: status === 200 ? bytes.subarray(tail.offset) : bytes, ...(age >= 0 ? { age } : {}) };
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
          while ((await this.#read(log, now, signal)).bytes > 0);
        } catch (error) {
          signal?.throwIfAborted();
          failures.push(error);
          // A host that does not answer would let every one of them wait for it.
          if (!(error instanceof Failure) || error.details.status === undefined) next = open.length;
        }
        this.#finish(log);
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    if (failures.length > 0) throw failures[0];
  }
}
