/** Logs of steps in a store without a network: a test says what lies in it at each look, and sees what was given. */
import assert from 'node:assert/strict';
import { JobLogs } from '../../src/aml/jobs/logs.js';
import { Allowance } from '../../src/aml/jobs/schedule.js';
import { phaseOf } from '../../src/aml/jobs/job.js';
import type { StepState } from '../../src/aml/jobs/steps.js';
import type { AzureRequest } from '../../src/azure/types.js';
import { fakeWorkspace, type Answer } from './fake-workspace.js';

export const user = 'user_logs/std_log.txt';

export const step = (name: string, status: string, more: Partial<StepState> = {}): StepState => ({
  runId: name,
  name,
  status,
  phase: phaseOf(status),
  group: false,
  reused: false,
  logsOf: name,
  started: 1,
  ...more,
});

/** Steps whose logs lie at `https://logs/{run}/{file}`; a test says what is in them at each look. */
export class LogStore {
  /** Text of each file by `run/file`. */
  files: Record<string, string | Buffer> = {};
  /** Files that a run's details name; default: those that are there. */
  named: (run: string) => string[] | undefined = () => undefined;
  /** Some other answer than the file's bytes. */
  instead: (request: AzureRequest, path: string) => Answer | undefined = () => undefined;
  /** Signature of the addresses that are given now. */
  signature = 1;
  /** The store sends whole files, whatever range is asked for. */
  whole = false;
  readonly given: { step: string; text: string; file?: string }[] = [];
  readonly ended: string[] = [];
  readonly workspace = fakeWorkspace((request) => this.#answer(request));
  /** Where a file lies. */
  host: (path: string) => string = () => 'logs';
  readonly logs: JobLogs;
  constructor(
    readonly taker: (step: StepState, text: string) => unknown = () => undefined,
    readonly ender: (step: StepState) => void = () => undefined,
  ) {
    this.logs = new JobLogs(
      this.workspace,
      ({ step: one, text, file }) => {
        this.given.push({ step: one.name, text, ...(file ? { file } : {}) });
        return this.taker(one, text);
      },
      (one) => {
        this.ended.push(one.name);
        this.ender(one);
      },
    );
  }
  now = 1_000_000;
  readonly #allowance = new Allowance(this.now);
  #steps: StepState[] = [];

  #answer(request: AzureRequest): Answer {
    const details = /\/runs\/([^/]+)\/details$/.exec(request.url)?.[1];
    if (details !== undefined) {
      const other = this.instead(request, 'details');
      const there = Object.keys(this.files).flatMap((path) =>
        path.startsWith(`${details}/`) ? [path.slice(details.length + 1)] : [],
      );
      const names = this.named(details) ?? there;
      return (
        other ?? {
          body: {
            logFiles: Object.fromEntries(
              names.map((name) => [name, `https://${this.host(`${details}/${name}`)}/${details}/${name}?${this.signature}`]),
            ),
          },
        }
      );
    }
    const [path = '', signature] = request.url.replace('https://logs/', '').split('?');
    assert.equal(request.scope, null, 'a log carries its own signature: no token goes there');
    const other = this.instead(request, path);
    if (other) return other;
    if (Number(signature) !== this.signature) return { status: 403 };
    const content = this.files[path];
    if (content === undefined) return { status: 404, bytes: Buffer.from('<Error>BlobNotFound</Error>') };
    const bytes = Buffer.isBuffer(content) ? content : Buffer.from(content);
    if (this.whole) return { bytes };
    const [, from = 0, to = 0] = (/^bytes=(\d+)-(\d+)$/.exec(request.headers?.['Range'] ?? '') ?? []).map(Number);
    if (from >= bytes.length) return { status: 416, headers: { 'content-range': `bytes */${bytes.length}` } };
    return { status: 206, bytes: bytes.subarray(from, to + 1) };
  }

  /** A look of the wait, a minute after the one before. */
  async look(...steps: StepState[]): Promise<void> {
    if (steps.length > 0) this.#steps = steps;
    this.now += 60_000;
    this.logs.follow(this.#steps, this.now);
    await this.logs.poll(this.now, this.#allowance);
  }
  drain(...steps: StepState[]): Promise<void> {
    return this.logs.drain(steps, this.now);
  }
  text(name = 'a'): string {
    return this.given.flatMap((one) => (one.step === name ? [one.text] : [])).join('');
  }
}
