/** The one place that turns an error into a task result, and a Failure into a user's words. Needs no agent. */
import { Failure } from '../azure/errors.js';
import { InputProblems } from './inputs.js';
import type { Outcome, Platform } from './platform.js';

export interface Task<Inputs> {
  name: string;
  /** Reads every input (src/task/inputs.ts `InputReader`) and throws `InputProblems` with all that is wrong. */
  parse(platform: Platform): Inputs | Promise<Inputs>;
  /** The story. Ends soon after `platform.cancelled` aborts: by throwing the abort, or by returning. */
  run(inputs: Inputs, platform: Platform): Promise<Outcome>;
}

/** A cancelled run: thrown as the abort reason through everything that waits. */
export class Cancelled extends Error {
  constructor() {
    super('The run was cancelled.');
    this.name = 'Cancelled';
  }
}

/** The story's end in the agent's words; undefined when it was cancelled. */
export async function outcomeOf<Inputs>(task: Task<Inputs>, platform: Platform): Promise<Outcome | undefined> {
  try {
    const inputs = await task.parse(platform);
    return await task.run(inputs, platform);
  } catch (error) {
    if (platform.cancelled.aborted) return undefined;
    if (error instanceof InputProblems) {
      for (const problem of error.problems) issue(platform, problem);
      const count = error.problems.length;
      const which = count === 1 ? `One input needs a correction` : `${count} inputs need a correction`;
      // The message is all that a list of steps shows, so it says what the first problem is.
      return { result: 'Failed', message: `${which}; nothing was done. ${error.problems[0]?.message ?? ''}`.trim() };
    }
    if (error instanceof Failure) {
      issue(platform, error);
      return { result: 'Failed', message: beginning(error.message) };
    }
    report(platform, error);
    return { result: 'Failed', message: `${task.name} had a fault of its own: ${text(error)}` };
  }
}

/** A heading with the first of what stands below it: a list of steps shows one line, and the error has all of them. */
function beginning(message: string): string {
  const [heading = '', first = '', ...more] = message.split('\n').map((line) => line.trim());
  return `${heading} ${first}${more.length > 0 ? ' …' : ''}`.trim();
}

/** A Failure as the user reads it: what, where, what to do, and the ids that support asks for. */
export function wording(failure: Failure): string {
  const { advice, requestId, correlationId, file, line, column, input } = failure.details;
  const place = file ? ` (${file}${line ? `:${line}${column ? `:${column}` : ''}` : ''})` : '';
  const ids = [requestId ? `request ${requestId}` : '', correlationId ? `correlation ${correlationId}` : '']
    .filter(Boolean)
    .join(', ');
  const told = file !== undefined && (failure.message.includes(file) || failure.message.includes(`:${line}:${column}`));
  const shown = told ? '' : place;
  // The user corrects an input, so it is named.
  const named = input === undefined || `${failure.message} ${advice ?? ''}`.includes(input) ? '' : `Input ${input}: `;
  return [`${named}${failure.message}${shown}`, advice ?? '', ids ? `For support: ${ids}.` : ''].filter(Boolean).join('\n');
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
export function report(platform: Platform, error: unknown): void {
  platform.info(error instanceof Error ? (error.stack ?? error.message) : String(error));
}

export function text(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
