/** Starts and stops the blob service (azurite.worker.ts) and waits for one that an earlier, killed parent left closing. */
import { fork, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Failure } from '../../../src/azure/errors.js';
import { isAlive } from '../../processes.js';
import type { Injected } from '../faults.js';
import { writePrivate } from '../files.js';
import type { ParentMessage, StartMessage, WorkerMessage } from './azurite.worker.js';
import type { GuardState } from './guard.js';

/** True when process `pid` is a blob service of ours (pids are given out again). */
function isOurs(pid: number): boolean {
  if (!isAlive(pid)) return false;
  if (process.platform !== 'linux') return true;
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('azurite.worker');
  } catch (_error) {
    return false;
  }
}

export class Azurite {
  readonly #folder: string;
  readonly #pidFile: string;
  #child: ChildProcess | undefined;
  #stopping = false;
  #asked = 0;
  readonly #waiting = new Map<number, (injected: Injected[]) => void>();
  port = 0;

  /** `folder`: where the blobs and the index live. */
  constructor(folder: string) {
    this.#folder = folder;
    this.#pidFile = join(folder, 'pid');
  }

  /** Begins loading the child; call `serve` when the certificates and accounts are known. */
  load(): void {
    mkdirSync(this.#folder, { recursive: true });
    const own = fileURLToPath(new URL('.', import.meta.url));
    // From the sources (tests, benches) the worker is TypeScript; a loader may have put a query behind the module's URL.
    const typescript = existsSync(join(own, 'azurite.worker.ts'));
    this.#child = fork(join(own, typescript ? 'azurite.worker.ts' : 'azurite.worker.js'), [], {
      // What a request leaves behind is collected in fewer, larger turns.
      execArgv: ['--max-semi-space-size=32', ...(typescript ? ['--import', 'tsx'] : [])],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      detached: true,
      // 16 clients that read and write files should not queue for the four threads of the default.
      env: { UV_THREADPOOL_SIZE: '16', ...process.env },
    });
    this.#child.unref();
  }

  /**
   * Serves on `port` (0: any). Waits up to a minute for a former child that is still writing its index.
   * `onExit` is told when the child dies unasked. Throws Failure `StorageFailed`.
   */
  async serve(message: Omit<StartMessage, 'kind' | 'folder'>, onExit: (code: number | null) => void): Promise<number> {
    const former = existsSync(this.#pidFile) ? Number(readFileSync(this.#pidFile, 'utf8')) : 0;
    for (const end = Date.now() + 60_000; former > 0 && isOurs(former); await sleep(25))
      if (Date.now() > end)
        throw new Failure(`The blob service of an earlier start (process ${former}) is still writing in ${this.#folder}.`, {
          code: 'StorageFailed',
          advice: 'Wait for it to end, or use another --state folder.',
        });
    const child = this.#child;
    if (!child?.pid || !child.connected) throw new Failure('The blob service could not be started.', { code: 'StorageFailed' });
    writePrivate(this.#pidFile, String(child.pid));
    const ready = new Promise<number>((resolve, reject) => {
      const failed = (text: string, code: string) => reject(new Failure(`The blob service did not start: ${text}.`, { code }));
      child.on('message', (said: WorkerMessage) => {
        if (said.kind === 'ready') resolve(said.port);
        else if (said.kind === 'injected') {
          this.#waiting.get(said.id)?.(said.injected);
          this.#waiting.delete(said.id);
        } else failed(said.message, said.code === 'EADDRINUSE' ? 'PortInUse' : 'StorageFailed');
      });
      child.once('exit', (code) => {
        failed(`it ended with exit code ${code}`, 'StorageFailed');
        rmSync(this.#pidFile, { force: true });
        for (const answer of this.#waiting.values()) answer([]);
        this.#waiting.clear();
        if (!this.#stopping) onExit(code);
      });
    });
    this.#send({ kind: 'start', folder: this.#folder, ...message });
    this.port = await ready;
    return this.port;
  }

  #send(message: ParentMessage): void {
    // A child that has just died is told by its exit.
    this.#child?.send(message, () => undefined);
  }

  /** New roles or accounts. */
  setGuard(guard: GuardState): void {
    this.#send({ kind: 'guard', guard });
  }

  /** Every account with its key, `account:key;account:key`, when one was added; resolves when requests to it are served. */
  async setAccounts(accounts: string): Promise<void> {
    await this.#ask((id) => ({ kind: 'accounts', id, accounts }));
  }

  /** The faults that were injected so far; `set` (a checked specification) replaces what is injected from now on. */
  async faults(set?: string): Promise<Injected[]> {
    return await this.#ask((id) => ({ kind: 'faults', id, ...(set === undefined ? {} : { set }) }));
  }

  async #ask(message: (id: number) => ParentMessage): Promise<Injected[]> {
    if (!this.#child?.connected) return [];
    const id = (this.#asked += 1);
    return await new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#send(message(id));
    });
  }

  /** Ends the child after it has written its index. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.ref(); // Unreferenced while it serves; now this process waits for it, and must not end before.
    if (child.connected) this.#send({ kind: 'stop' });
    else child.kill('SIGTERM');
    await ended;
  }
}
