/** `amlops task`: one built task, run as the agent would, against a local workspace. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { InvalidArgumentError, type Command } from 'commander';
import { Failure } from '../src/azure/errors.js';
import { missingInputs } from '../local/agent/inputs.js';
import { agentEndpoints, fillInputs } from '../local/agent/local-connections.js';
import { builtTasks } from '../local/agent/built-tasks.js';
import { resultFiles, writeResult } from '../local/agent/result-file.js';
import { createJob, runTaskIn } from '../local/agent/run-task.js';
import { readDefinition, setWritable } from '../local/agent/task-folder.js';
import type { ClockOptions, JobVariable, NodeVersion, TaskRunResult } from '../local/agent/types.js';
import { readConnectionFile } from '../local/connection-file.js';

interface TaskOptions {
  connection: string;
  workspace: string;
  input: Record<string, string>;
  env: Record<string, string>;
  variable: Record<string, string>;
  secret: Record<string, string>;
  node: NodeVersion;
  from?: string;
  result?: string;
  root: string;
  step: string;
  timeout?: number;
  retries?: number;
  clock?: ClockOptions;
  debug?: boolean;
}

/** Collects `k=v`; a value may hold `=` and line ends. */
function pair(entry: string, known: Record<string, string>): Record<string, string> {
  const equals = entry.indexOf('=');
  if (equals < 1) throw new InvalidArgumentError(`"${entry}" is not name=value.`);
  return { ...known, [entry.slice(0, equals)]: entry.slice(equals + 1) };
}

function number(entry: string): number {
  const value = entry.trim() === '' ? Number.NaN : Number(entry);
  if (!(value > 0 && value < Infinity)) throw new InvalidArgumentError(`"${entry}" is not a number above zero.`);
  return value;
}

function minutes(entry: string): number {
  if (Number(entry) === 0) throw new InvalidArgumentError('For no time limit, leave the option out.');
  return number(entry);
}

function count(entry: string): number {
  if (!/^\d+$/.test(entry))
    throw new InvalidArgumentError(`"${entry}" is not a whole number from 0 on; agents retry 10 times at most.`);
  return Number(entry);
}

function clock(entry: string): ClockOptions {
  return entry === 'skip' ? { skip: true } : { factor: number(entry) };
}

function nodeVersion(entry: string): NodeVersion {
  if (entry === '20' || entry === '24') return Number(entry) as NodeVersion;
  throw new InvalidArgumentError('Tasks run on 20 or 24.');
}

export function register(program: Command): void {
  program
    .command('task')
    .description('run one built task as the agent would; its log on standard output')
    .argument('<name>', 'task, e.g. RunAmlPipeline')
    .requiredOption('--connection <file>', 'connection.json of `amlops up`', '.amlops/connection.json')
    .requiredOption('--workspace <name>', 'workspace whose service connection the task uses')
    .option('--input <name=value>', 'an input of the task (repeat)', pair, {})
    .option('--env <name=value>', "the step's env (repeat); a name such as BUILD_BUILDID sets that variable", pair, {})
    .option('--variable <name=value>', 'a pipeline variable (repeat)', pair, {})
    .option('--secret <name=@file>', 'a secret variable, read from a file (repeat)', pair, {})
    .option('--node <version>', 'Node of the agent: 20 or 24', nodeVersion, 20)
    .option('--from <path>', 'folder of tasks, task folder or VSIX (default: what `npm run build` made)')
    .option('--result <file>', 'write the result as JSON, kept files beside it')
    .option('--root <folder>', 'the sources: where relative paths start', '.')
    .option('--step <name>', 'name of the step, prefix of its output variables', 'task')
    .option('--timeout <minutes>', 'timeoutInMinutes of the step (default: no limit)', minutes)
    .option('--retries <count>', 'retryCountOnTaskFailure of the step (10 at most)', count)
    .option('--clock <factor>', 'time in the task runs this many times as fast; `skip` jumps over its waits', clock)
    .option('--debug', 'show debug lines (System.Debug)')
    .action(async (name: string, options: TaskOptions) => {
      process.exitCode = await taskCommand(name, options);
    });
}

/** The command; gives the exit code. Human text goes to standard error, the task's log to standard output. */
async function taskCommand(name: string, options: TaskOptions): Promise<number> {
  const abort = new AbortController();
  const cancel = (): void => {
    if (!abort.signal.aborted) process.stderr.write('Cancelling, as the agent does: SIGINT, then SIGTERM, then the end.\n');
    abort.abort();
  };
  process.on('SIGINT', cancel);
  process.on('SIGTERM', cancel);
  const work = mkdtempSync(join(tmpdir(), 'amlops-task-'));
  try {
    return await runOnce(name, options, join(work, '_work'), abort.signal);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`amlops task: ${error.message}${error.details.advice ? `\n${error.details.advice}` : ''}\n`);
    return 2;
  } finally {
    process.off('SIGINT', cancel);
    process.off('SIGTERM', cancel);
    setWritable(join(work, '_work', '_tasks'), true);
    rmSync(work, { recursive: true, force: true });
  }
}

async function runOnce(name: string, options: TaskOptions, workFolder: string, signal: AbortSignal): Promise<number> {
  const file = readConnectionFile(options.connection);
  const from = options.from ?? builtTasks();
  const definition = readDefinition(from, name);
  const inputs = fillInputs(definition, options.input, file, options.workspace);
  for (const missing of missingInputs(definition, inputs)) {
    process.stderr.write(`Input ${missing} is required: Azure Pipelines would not start this step.\n`);
  }
  // Found out before anything runs: a job that has begun serves, and would go on doing so.
  if (!isFolder(options.root)) {
    throw new Failure(`--root ${options.root}: there is no such folder.`, {
      code: 'Usage',
      file: options.root,
      advice: 'Name the folder of the sources.',
    });
  }
  const kept = options.result === undefined ? undefined : resultFolder(options.result);
  const variables = pipelineVariables(options);
  const job = await createJob({
    workFolder,
    sourcesFolder: options.root,
    ca: [file.ca],
    endpoints: agentEndpoints(file),
    ...(file.federation ? { federation: file.federation } : {}),
    ...(options.clock ? { clock: options.clock } : {}),
    variables,
    onLine: (line) => process.stdout.write(`${line}\n`),
  });
  let result: TaskRunResult;
  try {
    const env: Record<string, string> = {};
    for (const [key, value] of Object.entries(options.env)) {
      // The agent's own variables win over a step's env; who names one here means the variable.
      const variable = job.variables.byEnvironmentName(key);
      if (variable && !variable.isSecret) job.variables.set(variable.name, { value, isReadOnly: true });
      else env[key] = value;
    }
    result = await runTaskIn(job, {
      from,
      name,
      inputs,
      env,
      node: options.node,
      step: options.step,
      signal,
      ...(options.timeout ? { timeoutMs: options.timeout * 60_000 } : {}),
      ...(options.retries ? { retryCountOnTaskFailure: options.retries } : {}),
      ...(kept ? { keepFolder: kept } : {}),
    });
  } finally {
    await job.finish();
  }
  if (options.result !== undefined) writeResult(options.result, result, (text) => job.masker.hide(text));
  process.stderr.write(`${definition.name}: ${result.result}${result.message ? ` (${result.message.split('\n', 1)[0]})` : ''}\n`);
  return result.result === 'Succeeded' || result.result === 'SucceededWithIssues' ? 0 : 1;
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;

/** Folder of the kept files, emptied. Errors: Failure `Usage` when the result cannot be written there. */
function resultFolder(file: string): string {
  try {
    mkdirSync(dirname(resolve(file)), { recursive: true });
    if (isFolder(file)) throw new Error('it is a folder');
    return resultFiles(file);
  } catch (error) {
    throw new Failure(`--result ${file} cannot be written: ${(error as Error).message}`, { code: 'Usage', file, cause: error });
  }
}

function secretFile(name: string, file: string): string {
  try {
    return readFileSync(file, 'utf8').trimEnd();
  } catch (error) {
    throw new Failure(`--secret ${name}: ${file} cannot be read: ${(error as Error).message}`, {
      code: 'Usage',
      file,
      cause: error,
      advice: 'Name a file that holds the value and nothing else.',
    });
  }
}

function pipelineVariables(options: TaskOptions): Record<string, JobVariable> {
  const variables: Record<string, JobVariable> = {};
  for (const [name, value] of Object.entries(options.variable)) variables[name] = { value };
  for (const [name, value] of Object.entries(options.secret)) {
    if (!value.startsWith('@')) {
      throw new Failure(`--secret ${name}: give the file as @FILE; a value on the command line is no secret.`, {
        code: 'Usage',
        advice: `For example: --secret ${name}=@secret.txt`,
      });
    }
    variables[name] = { value: secretFile(name, value.slice(1)), isSecret: true };
  }
  if (options.debug) variables['System.Debug'] = { value: 'true' };
  return variables;
}
