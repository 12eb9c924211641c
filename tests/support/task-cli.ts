/** Runs `amlops` commands and built tasks as a user would: the built CLI, a connection file, a result file. */
import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const cli = join(import.meta.dirname, '..', '..', 'bin', 'amlops.mjs');

export interface Ended {
  code: number | null;
  out: string;
  err: string;
}

export interface Moments {
  /** Milliseconds until everything that the command started is killed (SIGKILL). */
  killAfter?: number;
  /** Resolves when it is time to kill it in that way. */
  killWhen?: (out: () => string) => Promise<void>;
  /** Resolves when it is time for Ctrl-C, which is the agent's cancel. */
  cancelWhen?: (out: () => string) => Promise<void>;
}

/** A command that is under way. */
export interface Started {
  child: ChildProcessWithoutNullStreams;
  /** What it said so far. */
  out: () => string;
  err: () => string;
  /** Its exit code, when it has ended and all that it said is there (or was killed: what it started may hold its output open). */
  ended: Promise<number | null>;
}

/** Starts a command in `cwd`. `group`: it leads a process group, which a signal can reach as a whole; `input`: there is somebody to answer. */
export function startAmlops(args: string[], options: { cwd?: string; group?: boolean; input?: boolean } = {}): Started {
  const child = spawn(process.execPath, [cli, ...args], {
    detached: options.group ?? false,
    ...(options.cwd !== undefined && { cwd: options.cwd }),
  });
  if (!options.input) child.stdin.end();
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const ended = new Promise<number | null>((resolve) => {
    child.once('close', resolve);
    child.once('exit', (code, signal) => {
      if (signal === 'SIGKILL') resolve(code);
    });
  });
  return { child, ended, out: () => out, err: () => err };
}

/** Runs a command to its end, or to the end that `moments` give it. */
export async function amlops(args: string[], moments: Moments & { cwd?: string } = {}): Promise<Ended> {
  const { killAfter, killWhen, cancelWhen, cwd } = moments;
  const { child, ended, out, err } = startAmlops(args, {
    group: killAfter !== undefined || killWhen !== undefined,
    ...(cwd !== undefined && { cwd }),
  });
  const kill = () => {
    // The whole group: the task's own process dies with the command that runs it.
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null) process.kill(-child.pid, 'SIGKILL');
  };
  const timer = killAfter === undefined ? undefined : setTimeout(kill, killAfter);
  const over = ended.then(() => 'over' as const);
  if (killWhen && (await Promise.race([killWhen(out), over])) !== 'over') kill();
  if (cancelWhen && (await Promise.race([cancelWhen(out), over])) !== 'over') child.kill('SIGINT');
  const code = await ended;
  clearTimeout(timer);
  return { code, out: out(), err: err() };
}

export interface TaskEnded extends Ended {
  result: string;
  message: string;
  outputs: Record<string, string>;
  issues: { type: string; message: string; code?: string }[];
  attachments: { type: string; name: string; path: string }[];
  summaries: string[];
  buildTags: string[];
  problems: unknown[];
  killedBy: string | null;
  exitCode: number | null;
}

/** One task through the harness. `run`: Build.BuildId, the same on a retry. */
export async function task(
  name: string,
  connection: string,
  workspace: string,
  inputs: Record<string, string>,
  options: { run?: number; attempt?: number; node?: string; from?: string; args?: string[] } & Moments = {},
): Promise<TaskEnded> {
  const killed = options.killAfter !== undefined || options.killWhen !== undefined;
  const folder = mkdtempSync(join(tmpdir(), 'amlops-e2e-'));
  const file = join(folder, 'result.json');
  try {
    const ended = await amlops(
      [
        ...['task', name, '--connection', connection, '--workspace', workspace, '--result', file],
        ...Object.entries(inputs).flatMap(([key, value]) => ['--input', `${key}=${value}`]),
        ...(options.run === undefined ? [] : ['--env', `BUILD_BUILDID=${options.run}`]),
        ...(options.attempt === undefined ? [] : ['--env', `SYSTEM_STAGEATTEMPT=${options.attempt}`]),
        ...(options.node === undefined ? [] : ['--node', options.node]),
        ...(options.from === undefined ? [] : ['--from', options.from]),
        ...(options.args ?? []),
      ],
      options,
    );
    const empty = {
      result: '',
      message: '',
      outputs: {},
      issues: [],
      attachments: [],
      summaries: [],
      buildTags: [],
      problems: [],
      killedBy: null,
      exitCode: null,
    };
    let read: Record<string, unknown> & { outputVariables?: Record<string, { value: string }> };
    try {
      read = JSON.parse(readFileSync(file, 'utf8')) as typeof read;
    } catch (error) {
      if (!killed) throw new Error(`${name} left no result: ${ended.err}\n${ended.out}`, { cause: error });
      return { ...ended, ...empty };
    }
    const outputs = Object.fromEntries(Object.entries(read.outputVariables ?? {}).map(([key, { value }]) => [key, value]));
    return { ...empty, ...ended, ...(read as object), outputs };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
