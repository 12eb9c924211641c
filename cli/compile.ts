/** `amlops compile`: the writes that submitting a job file makes, as JSON; nothing is sent and no connection is needed (design §4). */
import { InvalidArgumentError, type Command } from 'commander';
import { bodyText, compileJob, offlineTarget } from '../src/aml/compile/index.js';
import type { WorkspaceRef } from '../src/aml/workspace.js';
import { Failure } from '../src/azure/errors.js';

interface Options {
  workspace: WorkspaceRef;
  name?: string;
  input: Record<string, string>;
  set: string[];
  experimentName?: string;
}

const ARM_ID =
  /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/providers\/Microsoft\.MachineLearningServices\/workspaces\/([^/]+)\/?$/i;

export function register(program: Command): void {
  program
    .command('compile')
    .description('The writes that submitting a job file makes, without sending them')
    .argument('<job.yml>', 'job file, as `az ml job create --file` takes it')
    .requiredOption(
      '--workspace <arm-id>',
      '/subscriptions/…/resourceGroups/…/providers/Microsoft.MachineLearningServices/workspaces/…',
      parseWorkspace,
    )
    .option('--name <name>', 'name of the job (default: the file’s, else a generated one)')
    .option('--experiment-name <name>', 'experiment (default: the file’s, else its folder)')
    .option('--input <k=v>', 'value of an input of the job; repeatable', collectPair, {})
    .option('--set <path=value>', 'override in the file, e.g. jobs.train.compute=azureml:gpu; repeatable', collect, [])
    .action(async (file: string, options: Options) => {
      process.exitCode = await compile(file, options);
    });
}

/** Exit code: 0 compiled, 1 the file is not a job that can be submitted. */
async function compile(file: string, options: Options): Promise<number> {
  try {
    const job = await compileJob(
      {
        file,
        inputs: options.input,
        overrides: options.set,
        ...(options.name === undefined ? {} : { name: options.name }),
        ...(options.experimentName === undefined ? {} : { experimentName: options.experimentName }),
      },
      offlineTarget(options.workspace),
    );
    for (const { message, file: at, line, column } of job.warnings) {
      process.stderr.write(`warning: ${at === undefined ? '' : `${at}:${line ?? 1}:${column ?? 1}: `}${message}\n`);
    }
    process.stdout.write(`${bodyText({ requests: job.requests }, 1)}\n`);
    return 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`${error.message}\n${error.details.advice ? `${error.details.advice}\n` : ''}`);
    return 1;
  }
}

function parseWorkspace(text: string): WorkspaceRef {
  const match = ARM_ID.exec(text);
  if (!match) throw new InvalidArgumentError('It must be the ARM id of a workspace.');
  const [, subscriptionId = '', resourceGroup = '', workspace = ''] = match;
  return { subscriptionId, resourceGroup, workspace };
}

function collectPair(text: string, previous: Record<string, string>): Record<string, string> {
  const split = text.indexOf('=');
  if (split <= 0) throw new InvalidArgumentError('It must be name=value.');
  return { ...previous, [text.slice(0, split)]: text.slice(split + 1) };
}

function collect(text: string, previous: string[]): string[] {
  return [...previous, text];
}
