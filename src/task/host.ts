/** Runs one task: inputs in, one outcome out. The one place that turns an error into a task result (reference task-contract B.7, B.8). */
import { Failure } from '../azure/errors.js';
import { agentPlatform, type AgentPlatform } from './agent-platform.js';
import { InputProblems } from './inputs.js';
import type { Outcome, Platform } from './platform.js';

export interface Task<Inputs> {
  name: string;
  /** Reads every input (src/task/inputs.ts `InputReader`) and throws `InputProblems` with all that is wrong. */
  parse(platform: Platform): Inputs | Promise<Inputs>;
  /** The story. Ends soon after `platform.cancelled` aborts: by throwing the abort, or by returning. */
  run(inputs: Inputs, platform: Platform): Promise<Outcome>;
}

/** The agent kills 7.5 s after SIGINT; what is not done by then was not going to be. */
const lastMoment = 6_500;

/**
 * What index.ts calls. Exactly one `task.complete`, none when the agent cancelled (it says Canceled itself), exit code 0 always:
 * another code would override the result.
 */
export async function main<Inputs>(task: Task<Inputs>): Promise<void> {
  const cancel = new AbortController();
  const platform = agentPlatform(cancel.signal);
  const stop = () => {
    if (cancel.signal.aborted) return;
    cancel.abort(new Cancelled());
    setTimeout(() => {
      platform.info('The clean-up was not finished in the time that the agent gives; leaving.');
      void leave(platform);
    }, lastMoment).unref();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGBREAK'] as const) {
    if (signal !== 'SIGBREAK' || process.platform === 'win32') process.on(signal, stop);
  }
  let over = false;
  const finish = async (outcome: Outcome | undefined) => {
    if (over) return;
    over = true;
    if (outcome && !cancel.signal.aborted) platform.complete(outcome.result, outcome.message ?? '');
    await leave(platform);
  };
  const broken = (error: unknown) => {
    report(platform, error);
    void finish({ result: 'Failed', message: `${task.name} had a fault of its own: ${text(error)}` });
  };
  process.on('uncaughtException', broken);
  process.on('unhandledRejection', broken);
  await finish(await outcomeOf(task, platform));
}

/** A cancelled run: thrown as the abort reason through everything that waits. */
export class Cancelled extends Error {
  constructor() {
    super('The run was cancelled.');
    this.name = 'Cancelled';
  }
}

/** The story's end in the agent's words; undefined when it was cancelled. Exported for tests: it needs no agent. */
export async function outcomeOf<Inputs>(task: Task<Inputs>, platform: Platform): Promise<Outcome | undefined> {
  try {
    const inputs = await task.parse(platform);
    return await task.run(inputs, platform);
  } catch (error) {
    if (platform.cancelled.aborted) return undefined;
    if (error instanceof InputProblems) {
      for (const problem of error.problems) issue(platform, problem);
      const count = error.problems.length;
      return {
        result: 'Failed',
        message: `${count === 1 ? 'One input needs' : `${count} inputs need`} a correction; nothing was done.`,
      };
    }
    if (error instanceof Failure) {
      issue(platform, error);
      return { result: 'Failed', message: error.message };
    }
    report(platform, error);
    return { result: 'Failed', message: `${task.name} had a fault of its own: ${text(error)}` };
  }
}

/** A Failure as the user reads it: what, where, what to do, and the ids that support asks for. */
export function wording(failure: Failure): string {
  const { advice, requestId, correlationId, file, line, column } = failure.details;
  const place = file ? ` (${file}${line ? `:${line}${column ? `:${column}` : ''}` : ''})` : '';
  const ids = [requestId ? `request ${requestId}` : '', correlationId ? `correlation ${correlationId}` : '']
    .filter(Boolean)
    .join(', ');
  const shown = file && failure.message.includes(file) ? '' : place;
  return [`${failure.message}${shown}`, advice ?? '', ids ? `For support: ${ids}.` : ''].filter(Boolean).join('\n');
}

function issue(platform: Platform, failure: Failure): void {
  const { file, line, column } = failure.details;
  platform.issue({
    type: 'error',
    message: wording(failure),
    code: failure.code,
    ...(file ? { sourcePath: file } : {}),
    ...(line ? { line } : {}),
    ...(column ? { column } : {}),
  });
}

/** Our own bug: the stack helps whoever reports it. */
function report(platform: Platform, error: unknown): void {
  platform.info(error instanceof Error ? (error.stack ?? error.message) : String(error));
}

function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

async function leave(platform: AgentPlatform): Promise<void> {
  await platform.flush();
  process.exit(0);
}
