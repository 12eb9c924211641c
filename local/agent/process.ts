/** One process of a step: lines out, signals in, exactly in the agent's order (task-contract B.4, B.8; agent: ProcessInvoker.cs). */
import { spawn, type ChildProcess } from 'node:child_process';
import { readFileSync, readdirSync } from 'node:fs';
import { constants } from 'node:os';
import { LineSplitter } from './lines.js';
import type { AgentWaits, KilledBy } from './types.js';
import { raised, within } from './waits.js';

interface ProcessRequest {
  file: string;
  args: string[];
  cwd: string;
  env: Record<string, string>;
  waits: AgentWaits;
  /** The job's cancel. */
  cancel?: AbortSignal;
  /** The step's time limit. */
  limit?: AbortSignal;
  /** Every line of both streams, as it comes. */
  onLine: (line: string) => void;
  /** Resolves when the step is over although the process may live (`task.complete done=true`). */
  done?: Promise<void>;
}

export interface ProcessEnd {
  exitCode: number | null;
  killedBy: KilledBy | null;
  /** The step was cancelled before the process ended. */
  canceled: boolean;
  timedOut: boolean;
  /** Why it could not be started. */
  failure?: string;
}

/** Runs a process to its end, or to the end that cancel and time limit give it. Never rejects. */
export async function runProcess(request: ProcessRequest): Promise<ProcessEnd> {
  const { waits } = request;
  const end: ProcessEnd = { exitCode: null, killedBy: null, canceled: false, timedOut: false };
  // A group of its own: Ctrl+C in a terminal reaches the harness only, which then cancels as the agent does.
  const child = spawn(request.file, request.args, {
    cwd: request.cwd,
    env: request.env,
    // Windows: in the console of the harness, where Ctrl+C reaches both.
    detached: process.platform !== 'win32',
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  const started = await new Promise<boolean>((resolve) => {
    child.once('spawn', () => resolve(true));
    child.once('error', (error) => {
      end.failure = error.message;
      resolve(false);
    });
  });
  if (!started) return end;
  child.on('error', (error) => (end.failure = error.message));
  child.stdin.on('error', () => undefined); // a process that ended at once: nothing was to be written anyway
  child.stdin.end();
  const splitters = [child.stdout, child.stderr].map((stream) => {
    const splitter = new LineSplitter(request.onLine);
    stream.on('data', (chunk: Buffer) => splitter.write(chunk));
    return splitter;
  });
  const exited = new Promise<void>((resolve) => {
    child.once('exit', (code, signal) => {
      end.exitCode = code ?? (signal ? 128 + constants.signals[signal] : null);
      resolve();
    });
  });
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()));
  const over = request.done ? Promise.race([exited, request.done]) : exited;

  const stop = raised([request.cancel, request.limit]);
  const first = await Promise.race([over.then(() => undefined), stop.signal]);
  stop.release();
  if (first) {
    end.canceled = first === request.cancel;
    end.timedOut = !end.canceled;
    const last = await stopProcess(child, exited, waits);
    end.killedBy = end.timedOut ? 'timeout' : last;
  }
  // A grandchild may hold the pipes: the agent waits a little and goes on.
  if (end.exitCode !== null) await within(closed, waits.pipes);
  child.stdout.destroy();
  child.stderr.destroy();
  for (const splitter of splitters) splitter.end();
  child.unref();
  return end;
}

/**
 * SIGINT, SIGTERM, SIGKILL to that one process, each with its wait; gives the last one that was needed. On Windows Node ends a process at once
 * whatever the signal: Ctrl+C of the console is the SIGINT there, and here it is only waited for.
 */
async function stopProcess(
  child: ChildProcess,
  exited: Promise<void>,
  waits: AgentWaits,
): Promise<'SIGINT' | 'SIGTERM' | 'SIGKILL'> {
  if (process.platform !== 'win32') child.kill('SIGINT');
  if (await within(exited, waits.sigint)) return 'SIGINT';
  child.kill('SIGTERM');
  if (await within(exited, waits.sigterm)) return 'SIGTERM';
  child.kill('SIGKILL');
  await exited;
  return 'SIGKILL';
}

/** Ends every process of the job that is still there: they carry its VSTS_PROCESS_LOOKUP_ID (B.4). Linux only, where /proc tells. */
export function killByLookupId(id: string): number[] {
  if (process.platform !== 'linux') return [];
  const killed: number[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (!Number.isInteger(pid) || pid === process.pid) continue;
    try {
      if (!readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`VSTS_PROCESS_LOOKUP_ID=${id}\0`)) continue;
      process.kill(pid, 'SIGKILL');
      killed.push(pid);
    } catch {
      continue; // ended meanwhile, or not ours to see
    }
  }
  return killed;
}
