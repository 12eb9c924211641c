/**
 * One job's process tree: a process group of its own, output into a file, ended as a whole. The group also ends when the workspace
 * dies: a watcher in the group reads a pipe that only the workspace holds open.
 */
import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { platform } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { Failure } from '../../../src/azure/errors.js';

interface JobProcess {
  /** bash text. */
  command: string;
  cwd: string;
  env: NodeJS.ProcessEnv;
  /** File that gets stdout and stderr, appended. */
  logFile: string;
  /** Value of the variable AMLOPS_PROCESS_MARK in every process of the job (`markOf`), by which strays are found. */
  mark: string;
  signal: AbortSignal;
  /** Seconds until it is ended. */
  timeout?: number;
  /** Seconds between SIGTERM and SIGKILL. */
  grace?: number;
  onStart?: (pid: number) => void;
}

interface ProcessEnd {
  code: number | null;
  signal: NodeJS.Signals | null;
  timedOut: boolean;
}

const markName = 'AMLOPS_PROCESS_MARK';

/** The mark of a run's processes, or (without a run) what the marks of a tree begin with. Each part ends in `/`: no name begins another. */
export function markOf(tree: { ws: { guid: string }; rootRunId: string }, runId?: string): string {
  return `${tree.ws.guid}/${tree.rootRunId}/${runId === undefined ? '' : `${runId}/`}`;
}

/** fd 3 is the workspace's pipe: its end means that the workspace is gone. `kill 0` reaches the whole group. */
const launcher = `( trap '' TERM; read -r _ <&3; kill -TERM 0; sleep 3; kill -KILL 0 ) >/dev/null 2>&1 &
exec 3<&-
exec bash -c "$AMLOPS_COMMAND"`;

/** Finds bash, which every Azure ML command line is written for. @throws Failure `ShellNotFound` */
function findShell(): string {
  const candidates = platform() === 'win32' ? ['C:\\Program Files\\Git\\bin\\bash.exe', 'bash'] : ['/bin/bash', 'bash'];
  for (const candidate of candidates) if (spawnSync(candidate, ['-c', ':'], { windowsHide: true }).status === 0) return candidate;
  throw new Failure('No bash was found: the command lines of Azure ML jobs are bash.', {
    code: 'ShellNotFound',
    advice: 'Install bash (on Windows: Git for Windows brings it).',
  });
}

let shell: string | undefined;

/** Sends a signal to the process group of `pid`; true when there was one. */
export function signalGroup(pid: number, signal: NodeJS.Signals): boolean {
  try {
    if (platform() === 'win32')
      return spawnSync('taskkill', ['/pid', String(pid), '/T', '/F'], { windowsHide: true }).status === 0;
    process.kill(-pid, signal);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ESRCH') return false;
    throw error;
  }
}

/** Runs a job's command to its end. Never throws for what the command does. */
export async function runProcess(job: JobProcess): Promise<ProcessEnd> {
  shell ??= findShell();
  const log = openSync(job.logFile, 'a');
  let child: ChildProcess;
  try {
    const windows = platform() === 'win32';
    child = spawn(shell, ['-c', windows ? job.command : launcher], {
      cwd: job.cwd,
      env: { ...job.env, AMLOPS_COMMAND: job.command, [markName]: job.mark },
      stdio: ['ignore', log, log, 'pipe'],
      detached: !windows,
      windowsHide: true,
    });
  } finally {
    closeSync(log);
  }
  const { pid } = child;
  // The pipe's far end goes away with the group; that is no news.
  child.stdio[3]?.on('error', () => undefined);
  let timedOut = false;
  let ending: Promise<void> | undefined;
  const end = (): void => {
    if (pid === undefined || ending) return;
    ending = (async () => {
      signalGroup(pid, 'SIGTERM');
      for (let waited = 0; waited < (job.grace ?? 5) * 1000 && child.exitCode === null && child.signalCode === null; waited += 50)
        await sleep(50);
      signalGroup(pid, 'SIGKILL');
    })();
  };
  const timer = job.timeout
    ? setTimeout(() => {
        timedOut = true;
        end();
      }, job.timeout * 1000)
    : undefined;
  job.signal.addEventListener('abort', end);
  try {
    const ended = await new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => {
        resolve({ code, signal });
      });
      if (pid !== undefined) job.onStart?.(pid);
      if (job.signal.aborted) end();
    });
    return { ...ended, timedOut };
  } finally {
    clearTimeout(timer);
    job.signal.removeEventListener('abort', end);
    // Whatever the command left in the background ends with it, as with a container; the watcher, too.
    if (pid !== undefined) signalGroup(pid, 'SIGKILL');
    child.stdio[3]?.destroy();
    if (ending) {
      await ending;
      await endStrays(job.mark);
    }
  }
}

/** Ends processes that left the group of a job (daemons): found by how their mark begins. Linux only; elsewhere there is no such list. */
export async function endStrays(mark: string): Promise<number> {
  if (platform() !== 'linux') return 0;
  const wanted = `${markName}=${mark}`;
  let ended = 0;
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue;
    // Processes of others cannot be read, and some are gone by now.
    const environ = await readFile(`/proc/${entry}/environ`, 'latin1').catch(() => '');
    if (!environ.split('\0').some((line) => line.startsWith(wanted))) continue;
    try {
      process.kill(Number(entry), 'SIGKILL');
      ended++;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }
  return ended;
}
