/**
 * Logs of a job's steps, each read from where it was left (reference azure-ml-rest §2.4). An address carries its own signature, which
 * expires after eight hours: it is asked for again when it is refused. The text is foreign; whoever prints it cleans it.
 */
import { TextDecoder } from 'node:util';
import type { Workspace } from '../workspace.js';
import { isSilent, logInterval, silentWhenScarce, type Allowance } from './schedule.js';
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

interface Tail {
  url: string;
  offset: number;
  decoder: TextDecoder;
}

/** One step's logs. */
class StepLog {
  due = 0;
  looked = 0;
  lastData: number;
  readonly since: number;
  readonly tails = new Map<string, Tail>();
  finished = false;
  needsAddresses = true;

  constructor(
    public step: StepState,
    now: number,
  ) {
    this.since = now;
    this.lastData = now;
  }

  /** Judged by the last look: what has come since is not known yet. The end of a step is news. */
  get silent(): boolean {
    return this.tails.size > 0 && this.step.phase === 'active' && isSilent(this.looked - this.since, this.looked - this.lastData);
  }
}

export interface Chunk {
  step: StepState;
  text: string;
}

/** The logs of all steps that have been seen. */
export class JobLogs {
  readonly #workspace: Workspace;
  readonly #logs = new Map<string, StepLog>();
  readonly #give: (chunk: Chunk) => void;
  /** No request may be spent on logs before that. */
  #blocked = 0;

  constructor(workspace: Workspace, give: (chunk: Chunk) => void) {
    this.#workspace = workspace;
    this.#give = give;
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
    const scarce = allowance.scarce(now);
    // When requests are scarce a silent log stands back behind those that grow.
    const turn = (log: StepLog) => log.looked + (scarce && log.silent ? silentWhenScarce : 0);
    const due = [...this.#logs.values()].filter((log) => !log.finished && log.due <= now).sort((a, b) => turn(a) - turn(b));
    const chosen: StepLog[] = [];
    for (const log of due) {
      if (scarce && log.silent && log.looked + silentWhenScarce > now) {
        log.due = log.looked + silentWhenScarce;
        continue;
      }
      const cost = (log.needsAddresses ? 1 : 0) + Math.max(1, log.tails.size);
      if (!allowance.take(now)) {
        // All that are due wait for the next request together, so that the longest unread gets it.
        this.#blocked = now + allowance.wait(now);
        break;
      }
      for (let more = 1; more < cost; more++) allowance.take(now);
      log.looked = now;
      chosen.push(log);
    }
    const results = await Promise.allSettled(chosen.map((log) => this.#look(log, now, signal)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
  }

  async #look(log: StepLog, now: number, signal?: AbortSignal): Promise<void> {
    // Set first: a look that fails comes round again like any other.
    log.due = now + this.#interval(log, now);
    const over = log.step.phase !== 'active' && log.step.phase !== 'stalled';
    const got = await this.#read(log, signal);
    if (got > 0) log.lastData = now;
    log.due = now + this.#interval(log, now);
    if (over && got === 0) log.finished = true;
  }

  #interval(log: StepLog, now: number): number {
    let open = 0;
    for (const { finished } of this.#logs.values()) if (!finished) open += 1;
    return logInterval(now - log.since, now - log.lastData, open);
  }

  /** Reads what is new of one step; gives the number of bytes. */
  async #read(log: StepLog, signal?: AbortSignal): Promise<number> {
    if (log.needsAddresses) {
      const details = await readDetails(this.#workspace, log.step.logsOf, signal);
      for (const name of logNames(details?.logFiles ?? {})) {
        const url = details?.logFiles[name] ?? '';
        const known = log.tails.get(name);
        if (known) known.url = url;
        else log.tails.set(name, { url, offset: 0, decoder: new TextDecoder('utf-8') });
      }
      log.needsAddresses = log.tails.size === 0;
    }
    let got = 0;
    for (const tail of log.tails.values()) {
      for (;;) {
        const piece = await this.#piece(tail, signal);
        if (piece === 'expired') {
          log.needsAddresses = true;
          break;
        }
        if (piece.length === 0) break;
        got += piece.length;
        tail.offset += piece.length;
        const text = tail.decoder.decode(piece, { stream: true });
        if (text) this.#give({ step: log.step, text });
        if (piece.length < pieceSize) break;
      }
    }
    return got;
  }

  async #piece(tail: Tail, signal?: AbortSignal): Promise<Buffer | 'expired'> {
    const { status, bytes, headers } = await this.#workspace.azure.request({
      method: 'GET',
      url: tail.url,
      scope: null,
      headers: { Range: `bytes=${tail.offset}-${tail.offset + pieceSize - 1}`, Accept: '*/*', 'Accept-Encoding': 'identity' },
      accept: [401, 403, 404, 416],
      maxBytes: 256 * 1024 * 1024,
      retries: 1,
      timeoutSeconds: 30,
      operation: 'read a log',
      ...(signal ? { signal } : {}),
    });
    if (status === 401 || status === 403) return 'expired';
    if (status === 404) return Buffer.alloc(0);
    if (status === 416) {
      const size = Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? Number.NaN);
      // A shorter file is another file: the step was started again.
      if (size < tail.offset) tail.offset = 0;
      return Buffer.alloc(0);
    }
    // A server that knows no ranges sends the whole file.
    return status === 200 ? bytes.subarray(tail.offset) : bytes;
  }

  /** After the end: everything that is still unread, of every leaf that ran. Best effort within the signal's time. */
  async drain(leaves: readonly StepState[], now: number, signal?: AbortSignal): Promise<void> {
    this.follow(leaves, now);
    const open = [...this.#logs.values()].filter((log) => !log.finished);
    let next = 0;
    const worker = async () => {
      for (let log = open[next++]; log; log = open[next++]) {
        log.needsAddresses ||= log.tails.size === 0;
        while ((await this.#read(log, signal)) > 0);
        log.finished = true;
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
  }
}

/** The last `lines` lines of a step's log, for the digest: the file's last 256 KiB. */
export async function logTail(workspace: Workspace, runId: string, lines: number, signal?: AbortSignal): Promise<string[]> {
  const details = await readDetails(workspace, runId, signal);
  const files = details?.logFiles ?? {};
  let names = logNames(files);
  if (names.length === 0) names = Object.keys(files).filter((name) => /image_build_log|executionlogs|driver_log/.test(name));
  const found: string[] = [];
  for (const name of names.slice(0, 2)) {
    const url = files[name] ?? '';
    // Blob storage knows no range from the end: the first answer says how long the file is.
    const head = await rangeOf(workspace, url, 0, signal);
    if (!head) continue;
    const rest = head.total > tailSize ? await rangeOf(workspace, url, head.total - tailSize, signal) : head;
    found.push(...(rest ?? head).bytes.toString('utf8').split(/\r?\n/));
  }
  while (found.length > 0 && found.at(-1)?.trim() === '') found.pop();
  return found.slice(-lines);
}

const tailSize = 256 * 1024;

async function rangeOf(
  workspace: Workspace,
  url: string,
  start: number,
  signal?: AbortSignal,
): Promise<{ bytes: Buffer; total: number } | undefined> {
  const { status, bytes, headers } = await workspace.azure.request({
    method: 'GET',
    url,
    scope: null,
    headers: { Range: `bytes=${start}-${start + tailSize - 1}`, Accept: '*/*', 'Accept-Encoding': 'identity' },
    accept: [401, 403, 404, 416],
    maxBytes: 256 * 1024 * 1024,
    operation: 'read a log',
    ...(signal ? { signal } : {}),
  });
  if (status === 206) return { bytes, total: Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? bytes.length) };
  return status === 200 ? { bytes: bytes.subarray(-tailSize), total: Math.min(bytes.length, tailSize) } : undefined;
}
