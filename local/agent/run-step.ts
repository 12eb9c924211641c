/** A step from its first line to its result: attempts, command engine, cancel, the harness's own findings (task-contract B.4 to B.9). */
import { join } from 'node:path';
import { CommandEngine } from './command-engine.js';
import { allowedEnvironment, pathWith } from './environment.js';
import { endpointEnvironment } from './inputs.js';
import type { AgentJob, StepStart } from './job.js';
import { runProcess, type ProcessEnd } from './process.js';
import { RawOutput } from './raw-output.js';
import { combineRestrictions } from './restrictions.js';
import { mergeResults } from './result.js';
import { StepState } from './step-state.js';
import type { TaskDefinition } from './task-definition.js';
import type { AgentEndpoint, AgentWaits, ScriptStep, TaskRunResult, TaskStep } from './types.js';
import { raised, within } from './waits.js';

interface StepProcess {
  file: string;
  args: string[];
  cwd: string;
  /** On top of the job's environment: inputs. */
  env: Record<string, string>;
  endpoints: AgentEndpoint[];
  definition?: TaskDefinition;
  start: StepStart;
  /** Lines below the step's title. */
  header: string[];
  /** Why the agent does not run it. */
  skip?: string;
  /** Looked at after the last attempt; each line is a finding that fails the run. */
  findings?: () => string[];
}

/** PATH, HOME and the like, the step's `env`, the job's variables and connections: in the agent's order, the later wins. */
function environment(job: AgentJob, step: TaskStep | ScriptStep, process: StepProcess): Record<string, string> {
  const stepEnv = Object.fromEntries(
    Object.entries(step.env ?? {}).map(([name, value]) => [name.trim(), job.variables.expand(value.trim())]),
  );
  const base = { ...allowedEnvironment(), ...stepEnv };
  const path = job.variables.get('path')?.value ?? base['PATH'];
  const system = job.endpoints.filter(({ id }) => id === 'SystemVssConnection');
  return {
    ...base,
    ...(job.nodeOptions ? { NODE_OPTIONS: [base['NODE_OPTIONS'], job.nodeOptions].filter(Boolean).join(' ') } : {}),
    // A convenience of ours that no agent has: who sets it for the step (also to nothing) is left alone.
    ...(job.caFile && stepEnv['NODE_EXTRA_CA_CERTS'] === undefined ? { NODE_EXTRA_CA_CERTS: job.caFile } : {}),
    ...process.env,
    ...endpointEnvironment([...system, ...process.endpoints]),
    ...job.variables.toEnvironment(),
    TF_BUILD: 'True',
    ...(path === undefined ? {} : { PATH: pathWith(job.prependedPaths, path) }),
  };
}

/** Retries that the agent grants (B.9). */
const mostRetries = 10;

/** Runs a prepared process as a step of the job. */
export async function runStep(job: AgentJob, step: TaskStep | ScriptStep, process: StepProcess): Promise<TaskRunResult> {
  const began = Date.now();
  const write = step.onLine ?? job.options.onLine ?? (() => undefined);
  const print = (line: string): void => write(job.masker.mask(line));
  const keepFolder = step.keepFolder ?? join(job.folders.work, '_kept', String(job.steps));
  const { name, displayName, warnings } = process.start;
  const state = new StepState(job, process.definition, name, keepFolder, print);
  const engine = new CommandEngine(state, combineRestrictions(process.definition, step.target), print);
  const raw = new RawOutput(join(job.folders.diagnostics, `step-${job.steps}.raw`));
  const { result } = state;
  try {
    for (const warning of warnings) state.warn(warning);
    print(`##[section]Starting: ${displayName}`);
    for (const line of process.header) print(line);
    if (process.skip !== undefined) {
      result.result = 'Skipped';
      result.message = process.skip;
      print(process.skip);
      print(`##[section]Finishing: ${displayName}`);
      return result;
    }
    const asked = Math.max(step.retryCountOnTaskFailure ?? 0, 0);
    if (asked > mostRetries) {
      state.warn(`The task is retried ${mostRetries} times at most, not ${asked} times (retryCountOnTaskFailure).`);
    }
    const attempts = 1 + Math.min(asked, mostRetries);
    // The step's limit counts for all attempts together, and for the waits between them.
    const limit = step.timeoutMs ? AbortSignal.timeout(Math.min(step.timeoutMs, 2 ** 31 - 1)) : undefined;
    const stops = [step.signal, limit].filter((signal) => signal !== undefined);
    for (let attempt = 1; ; attempt += 1) {
      result.attempts = attempt;
      const end = await runAttempt(job, step, process, state, engine, raw, limit);
      const failed = end.exception !== undefined || state.outcome === 'Failed';
      if (end.canceled || end.timedOut || !failed || attempt === attempts) {
        conclude(state, end);
        break;
      }
      // What the task said counts on when it was its process that failed (agent: RetryHelper): a result of Failed then stays.
      if (end.exception === undefined) state.outcome = undefined;
      // (n + 1)² for the n-th retry, counted from zero: one second, four, nine.
      const wait = attempt ** 2 * job.waits.retryUnit;
      state.warn(
        end.exception === undefined
          ? `RetryHelper encountered task failure, will retry (attempt #: ${attempt} out of ${attempts - 1}) after ${wait} ms`
          : `RetryHelper encountered exception, will retry (attempt #: ${attempt} ${end.exception}) afer ${wait} ms`,
      );
      if (await stopped(wait, stops)) {
        conclude(state, { ...end, canceled: step.signal?.aborted ?? false, timedOut: limit?.aborted ?? false });
        break;
      }
    }
    const leaks = 'maskOnly' in step && step.maskOnly ? [] : await raw.leaks(job.masker);
    for (const leak of leaks) state.problem(`The step printed a secret and relied on masking: ${leak}`);
    for (const finding of process.findings?.() ?? []) state.problem(finding);
    if (result.problems.length && result.result !== 'Canceled') result.result = 'Failed';
    if (result.result === 'Failed' && step.continueOnError && result.problems.length === 0) result.result = 'SucceededWithIssues';
    print(`##[section]Finishing: ${displayName}`);
  } finally {
    raw.remove();
  }
  result.durationMs = Date.now() - began;
  return result;
}

/** Waits; true when one of the signals ended it. */
async function stopped(ms: number, stops: AbortSignal[]): Promise<boolean> {
  const first = raised(stops);
  try {
    return await within(first.signal, ms);
  } finally {
    first.release();
  }
}

/** The job's variables may change how long the agent waits between its signals (B.8). */
function waitsOf({ variables, waits }: AgentJob): AgentWaits {
  const milliseconds = (name: string, usual: number): number => {
    const said = variables.byEnvironmentName(name)?.value.trim() ?? '';
    return /^\d+$/.test(said) ? Number(said) : usual;
  };
  return {
    ...waits,
    sigint: milliseconds('PROCESS_SIGINT_TIMEOUT', waits.sigint),
    sigterm: milliseconds('PROCESS_SIGTERM_TIMEOUT', waits.sigterm),
  };
}

interface AttemptEnd extends ProcessEnd {
  /** Why the attempt failed whatever the task said: its exit code, or no start. */
  exception?: string;
}

async function runAttempt(
  job: AgentJob,
  step: TaskStep | ScriptStep,
  process: StepProcess,
  state: StepState,
  engine: CommandEngine,
  raw: RawOutput,
  limit: AbortSignal | undefined,
): Promise<AttemptEnd> {
  const { result } = state;
  state.dropOutput = false;
  let over: NodeJS.Timeout | undefined;
  const done = new Promise<void>((resolve) => {
    state.done = () => {
      over ??= setTimeout(() => {
        state.dropOutput = true;
        resolve();
      }, job.waits.done);
    };
  });
  const announce = (): void => state.error('The Operation will be canceled. The next steps may not contain expected logs.');
  step.signal?.addEventListener('abort', announce, { once: true });
  const end = await runProcess({
    file: process.file,
    args: process.args,
    cwd: process.cwd,
    env: environment(job, step, process),
    waits: waitsOf(job),
    ...(step.signal ? { cancel: step.signal } : {}),
    ...(limit ? { limit } : {}),
    done,
    onLine: (line) => {
      raw.line(line);
      engine.line(line);
    },
  });
  step.signal?.removeEventListener('abort', announce);
  // What an attempt announced is not for the next one.
  clearTimeout(over);
  result.exitCode = end.exitCode;
  result.killedBy = end.killedBy;
  if (end.failure !== undefined) return { ...end, exception: `The process could not be started: ${end.failure}` };
  if (end.exitCode === null || end.exitCode === 0) return end;
  const quoted = process.args.map((argument) => (/\s/.test(argument) ? `"${argument}"` : argument)).join(' ');
  return {
    ...end,
    exception: `Exit code ${end.exitCode} returned from process: file name '${process.file}', arguments '${quoted}'.`,
  };
}

/** The result of the last attempt, together with what commands did to it (agent: StepsRunner.cs). */
function conclude(state: StepState, end: AttemptEnd): void {
  const { result } = state;
  state.closeTimeline();
  if (end.canceled) {
    state.error('The operation was canceled.');
    result.result = 'Canceled';
    return;
  }
  if (end.timedOut) {
    result.killedBy = 'timeout';
    state.error('The task has timed out.');
    state.outcome = 'Failed';
  } else if (end.exception !== undefined) {
    state.error(end.exception);
    if (end.exitCode === 137) state.error('Exit code 137 often means that the machine ran out of memory and ended the process.');
    state.outcome = 'Failed';
  }
  const outcome = state.outcome ?? 'Succeeded';
  result.result = state.commandFailed ? mergeResults(outcome, 'Failed') : outcome;
}
