/** `amlops run PIPELINE.yml`: a multi-stage pipeline on this machine, with the very bundles that the Marketplace gets. */
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { Failure } from '../src/azure/errors.js';
import type { RunOutcome, RunObserver, Approver, Connected } from '../local/pipeline/run/types.js';
import { type ExpansionFlags, expansionOptions, withExpansionFlags } from './expansion.js';

interface RunFlags extends ExpansionFlags {
  secret: Record<string, string>;
  connection?: string;
  approve: 'ask' | 'all' | 'none';
  environments?: string;
  report?: string;
  rerun?: number;
  state: string;
  project: string;
  from?: string;
  node: '20' | '24';
  parallel: number;
  json?: boolean;
  quiet?: boolean;
}

function secret(entry: string, known: Record<string, string>): Record<string, string> {
  const at = entry.indexOf('=');
  const file = entry.slice(at + 1);
  if (at < 1 || !file.startsWith('@'))
    throw new InvalidArgumentError('write it as name=@FILE; a value on the command line is no secret.');
  try {
    return { ...known, [entry.slice(0, at)]: readFileSync(file.slice(1), 'utf8').replace(/\r?\n$/, '') };
  } catch (error) {
    throw new InvalidArgumentError((error as Error).message);
  }
}

function positive(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new InvalidArgumentError(`"${text}" is not a whole number above zero.`);
  return value;
}

export function register(program: Command): void {
  withExpansionFlags(program.command('run').argument('<pipeline>', 'the pipeline file'))
    .description(
      'run a multi-stage pipeline on this machine: stages, deployment jobs, environments with approvals, the real tasks',
    )
    .option('--secret <name=@file>', 'a secret variable, read from a file; may be repeated', secret, {})
    .option('--connection <file>', 'connection.json of a running `amlops up` (default: brings its own workspace up)')
    .addOption(
      new Option('--approve <who>', 'ask at the terminal, approve all as "local user", or reject all')
        .choices(['ask', 'all', 'none'])
        .default('ask'),
    )
    .option('--environments <file>', 'environments, approvals and checks (the file of `amlops environments`)')
    .option('--report <dir>', 'write a page of the run there: index.html')
    .option('--rerun <run>', 'run the failed jobs of an earlier run again, as its next attempt', positive)
    .option('--state <dir>', 'folder that keeps runs, and the workspace when it is our own', '.amlops')
    .option('--project <name>', 'name of the Azure DevOps project', 'local')
    .option('--from <path>', 'folder of tasks or VSIX (default: what `npm run build` made)')
    .addOption(new Option('--node <version>', 'Node of the agent').choices(['20', '24']).default('20'))
    .option('--parallel <jobs>', 'jobs at the same time', positive, 4)
    .option('--quiet', 'without the logs of the steps')
    .option('--json', 'the outcome as JSON on standard output')
    .action(async (file: string, flags: RunFlags) => {
      process.exitCode = await runCommand(file, flags);
    });
}

async function runCommand(file: string, flags: RunFlags): Promise<number> {
  const { PipelineError } = await import('../local/pipeline/expand/index.js');
  const { LiveConsole, PlainConsole } = await import('../local/pipeline/run/console.js');
  const live = process.stderr.isTTY === true && process.env['TERM'] !== 'dumb' && !process.env['CI'];
  const screen = live ? new LiveConsole(process.stderr) : new PlainConsole(process.stderr, flags.quiet !== true);
  const exclusive = <T>(body: () => Promise<T>): Promise<T> => (screen instanceof LiveConsole ? screen.pause(body) : body());
  const cancel = new AbortController();
  const hurry = new AbortController();
  const onSignal = (): void => {
    if (!cancel.signal.aborted)
      screen.message(
        'Cancelling: running jobs get the agent’s cancel; jobs in the workspace are cancelled by their tasks. Again: without the steps that run after a cancel.',
      );
    else if (!hurry.signal.aborted) screen.message('Stopping also the steps that run after a cancel (always()).');
    else screen.message('Still stopping: a step has 10 seconds to end, then it is killed.');
    if (cancel.signal.aborted) hurry.abort();
    cancel.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, onSignal);
  let close = (): void => undefined;
  try {
    const { approver, end } = await makeApprover(flags, screen, exclusive);
    close = end;
    const outcome = await run(file, flags, screen, approver, { signal: cancel.signal, hurry: hurry.signal });
    if (screen instanceof LiveConsole) screen.close();
    if (flags.report !== undefined) {
      const { writeReport } = await import('../local/pipeline/run/report.js');
      screen.message(`Report: ${await writeReport(outcome.folder, resolve(flags.report))}`);
    }
    if (flags.json) process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`);
    const again =
      outcome.result === 'failed' || outcome.result === 'canceled' ? ` Run what failed again with --rerun ${outcome.runId}.` : '';
    screen.message(`Run ${outcome.runId}: ${outcome.result}.${again}`);
    return outcome.result === 'succeeded' || outcome.result === 'partiallySucceeded' ? 0 : 1;
  } catch (error) {
    if (screen instanceof LiveConsole) screen.close();
    if (!(error instanceof PipelineError || error instanceof Failure)) throw error;
    const advice = error instanceof Failure && error.details.advice ? `\n${error.details.advice}` : '';
    process.stderr.write(`${error.message}${advice}\n`);
    return error instanceof Failure && error.code === 'Usage' ? 2 : 1;
  } finally {
    close();
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
}

async function makeApprover(
  flags: RunFlags,
  screen: RunObserver,
  exclusive: <T>(body: () => Promise<T>) => Promise<T>,
): Promise<{ approver: Approver; end: () => void }> {
  const { approveAll, approveNone, askApprover } = await import('../local/pipeline/run/approver.js');
  if (flags.approve === 'all') return { approver: approveAll(screen), end: () => undefined };
  if (flags.approve === 'none') return { approver: approveNone(screen), end: () => undefined };
  const asking = askApprover({ input: process.stdin, output: process.stderr, exclusive }, screen);
  return {
    approver: asking,
    end: () => {
      asking.close();
      process.stdin.unref?.();
    },
  };
}

async function run(
  file: string,
  flags: RunFlags,
  observer: RunObserver,
  approver: Approver,
  stops: { signal: AbortSignal; hurry: AbortSignal },
): Promise<RunOutcome> {
  const { runPipeline } = await import('../local/pipeline/run/index.js');
  const { ownStateFolder } = await import('../local/state-folder.js');
  const { builtTasks } = await import('../local/agent/built-tasks.js');
  const { entry, options } = expansionOptions(file, flags);
  if (!existsSync(join(options.root, entry)))
    throw new Failure(`There is no pipeline file ${join(options.root, entry)}.`, { code: 'Usage' });
  if (flags.connection !== undefined) (await import('../local/connection-file.js')).readConnectionFile(flags.connection); // wrong: said before anything runs
  ownStateFolder(flags.state);
  return await runPipeline({
    entry,
    root: options.root,
    parameters: options.parameters ?? {},
    variables: options.variables ?? {},
    repositories: options.repositories ?? {},
    secrets: flags.secret,
    ...(options.catalogue ? { catalogue: options.catalogue } : {}),
    ...(flags.environments === undefined ? {} : { environments: await readEnvironments(flags.environments) }),
    stateFolder: resolve(flags.state, 'pipelines'),
    project: flags.project,
    connect: () => connect(flags, observer),
    tasks: flags.from ?? builtTasks(),
    node: flags.node === '24' ? 24 : 20,
    ...(flags.rerun === undefined ? {} : { rerun: flags.rerun }),
    parallel: flags.parallel,
    approver,
    observer,
    ...stops,
  });
}

async function readEnvironments(file: string) {
  const { parseEnvironmentsFile } = await import('../src/devops/environments-file.js');
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    throw new Failure(`The environments file cannot be read: ${(error as Error).message}`, { code: 'Usage', file });
  }
  return parseEnvironmentsFile(text, file);
}

/** The workspace of --connection, or our own: in this process, so that it ends with it. */
async function connect(flags: RunFlags, observer: RunObserver): Promise<Connected> {
  const { readConnectionFile } = await import('../local/connection-file.js');
  const { agentEndpoints } = await import('../local/agent/local-connections.js');
  const connected = (path: string, close: () => Promise<void>): Connected => {
    const file = readConnectionFile(path);
    return { endpoints: agentEndpoints(file), ca: [file.ca], ...(file.federation ? { federation: file.federation } : {}), close };
  };
  if (flags.connection !== undefined) return connected(flags.connection, () => Promise.resolve());
  const { startWorkspace } = await import('../local/workspace/start.js');
  const { writePrivate } = await import('../local/workspace/files.js');
  const workspace = await startWorkspace({
    state: flags.state,
    log: {
      warn: (message) => observer.warning(message),
      error: (message, error) => observer.warning(`${message}${error instanceof Error ? `: ${error.message}` : ''}`),
    },
  });
  observer.message(`Azure Machine Learning on this machine: ${workspace.url}`);
  const path = resolve(flags.state, 'connection.json');
  writePrivate(path, `${JSON.stringify(workspace.connection, null, 2)}\n`);
  return connected(path, async () => {
    // The blob service is a child that does not keep this process alive; its end is waited for all the same.
    const alive = setInterval(() => undefined, 1000);
    await workspace.close().finally(() => clearInterval(alive));
  });
}
