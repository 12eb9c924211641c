/** One log file of a step, read from where it was left (reference azure-ml-rest §2.4), also when somebody puts another file in its place. */
import { TextDecoder } from 'node:util';
import { Failure } from '../../azure/errors.js';
import type { Workspace } from '../workspace.js';

/** The user's log first, then the names of older compute generations (reference azure-ml-rest §2.4). */
const patterns = [
  /^user_logs\/std_log\D*0*(?:_ps)?\.txt$/,
  /^azureml-logs\/\d{2}.+\.txt$/,
  /^logs\/azureml\/executionlogs\.txt$/,
  /^azureml-logs\/hyperdrive\.txt$/,
];

/** Files of a step that a person reads as its log: of several processes the first one's. */
export function logNames(files: Readonly<Record<string, string>>): string[] {
  for (const pattern of patterns) {
    const names = Object.keys(files)
      .filter((name) => pattern.test(name))
      .sort();
    if (names.length > 0) return names;
  }
  return [];
}

/** Logs of a step's further processes, in their order. */
export function otherProcesses(files: Readonly<Record<string, string>>): string[] {
  const shown = logNames(files);
  return Object.keys(files)
    .filter((name) => /^user_logs\/std_log.*\.txt$/.test(name) && !shown.includes(name))
    .sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
}

const pieceSize = 4 * 1024 * 1024;
/** Bytes that were read before and are read again: another file has others there. */
const overlap = 512;
/** Until a file that was replaced once more is read from its beginning again; twice as long each time. */
const restartPause = 60_000;

interface Piece {
  /** New bytes. */
  bytes: number;
  /** Line ends among them; 1 where there is none. */
  lines: number;
  text: string;
  /** There may be more of it now. */
  more: boolean;
  /** How long ago the file was written, by the store's clock. */
  age?: number;
}

const nothing: Piece = { bytes: 0, lines: 0, text: '', more: false };

export class LogFile {
  #url: string;
  #moved: Failure | undefined;
  #offset = 0;
  #last = Buffer.alloc(0);
  #decoder = new TextDecoder('utf-8');
  /** What was given has no line end yet. */
  #open = false;
  #restarts = 0;
  #restarted = 0;
  /** To be told before the next text. */
  #remark = '';

  /** `label`: given with its text, to tell it from the step's other files. */
  constructor(
    readonly name: string,
    url: string,
    readonly label?: string,
  ) {
    this.#url = url;
  }

  /** A new signature for the same file. An address on another host is not followed: `read` says so. */
  renew(url: string): void {
    const [before, after] = [hostOf(this.#url), hostOf(url)];
    this.#moved = undefined;
    if (before === after) this.#url = url;
    else
      this.#moved = new Failure(
        `The address of the log ${this.name} has changed from ${before} to ${after}, which is not asked.`,
        {
          code: 'LogMoved',
          advice: 'A log stays in the storage account of its workspace. See the studio, and who has changed the workspace.',
        },
      );
  }

  /** The next words are ours. */
  remark(text: string): void {
    this.#remark += `(${text})\n`;
  }

  /**
   * What has come since the last time. `expired`: the signature is not taken; with `fresh` that is an error. `final`: nobody comes back later.
   * Errors: what the request throws; `LogMoved`.
   */
  async read(
    workspace: Workspace,
    { now, fresh, final, signal }: { now: number; fresh: boolean; final: boolean; signal?: AbortSignal | undefined },
  ): Promise<Piece | 'expired'> {
    if (this.#moved) throw this.#moved;
    const from = this.#offset - this.#last.length;
    const { status, bytes, headers } = await workspace.azure.request({
      method: 'GET',
      url: this.#url,
      scope: null,
      headers: { Range: `bytes=${from}-${this.#offset + pieceSize - 1}`, Accept: '*/*', 'Accept-Encoding': 'identity' },
      accept: fresh ? [404, 416] : [401, 403, 404, 416],
      maxBytes: 256 * 1024 * 1024,
      retries: 1,
      timeoutSeconds: 30,
      operation: 'read a log',
      ...(signal ? { signal } : {}),
    });
    if (status === 401 || status === 403) return 'expired';
    // Not there yet, or not there now.
    if (status === 404 || (status === 416 && this.#offset === 0)) return nothing;
    // Who knows no ranges sends the whole file.
    const got = status === 416 ? Buffer.alloc(0) : status === 200 ? bytes.subarray(from) : bytes;
    const begin = Number(/^bytes (\d+)-/.exec(headers['content-range'] ?? '')?.[1] ?? from);
    if (status === 206 && begin !== from) {
      throw new Failure(`Could not read a log: ${hostOf(this.#url)} sent its bytes from ${begin} on, not from ${from}.`, {
        code: 'ReplyInvalid',
        status,
      });
    }
    if (!got.subarray(0, this.#last.length).equals(this.#last)) return this.#restart(now, final);
    const age = Date.parse(headers['date'] ?? '') - Date.parse(headers['last-modified'] ?? '');
    return { ...this.#take(got.subarray(this.#last.length)), ...(age >= 0 ? { age } : {}) };
  }

  #take(bytes: Buffer): Piece {
    if (bytes.length === 0) return nothing;
    this.#offset += bytes.length;
    this.#last = Buffer.from(Buffer.concat([this.#last, bytes.subarray(-overlap)]).subarray(-overlap));
    let lines = 0;
    for (const byte of bytes) if (byte === 10) lines += 1;
    const text = this.#remark + this.#decoder.decode(bytes, { stream: true });
    this.#remark = '';
    this.#open = bytes.at(-1) !== 10;
    return { bytes: bytes.length, lines: lines || 1, text, more: bytes.length >= pieceSize };
  }

  /** Another file, as of a step that was started again. One that changes all the time is not given over and over. */
  #restart(now: number, final: boolean): Piece {
    const pause = final ? 1 : restartPause * 2 ** (this.#restarts - 1);
    if (this.#restarts > 0 && now - this.#restarted < pause) return nothing;
    this.#restarts += 1;
    this.#restarted = now;
    this.#offset = 0;
    this.#last = Buffer.alloc(0);
    this.#decoder = new TextDecoder('utf-8');
    if (this.#open) this.#remark = '\n';
    this.#open = false;
    this.remark('the log was replaced; what follows is the new one from its beginning');
    return { ...nothing, more: true };
  }
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : 'no address';
}
