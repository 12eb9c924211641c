/** `amlops`: one file a command, loaded only when it is asked for (start-up is a user's first impression). */
import { Command, Help } from 'commander';

interface CommandModule {
  /** Adds the command to the program: arguments, options, help and the action. */
  register(program: Command): void;
}

const commands: Record<string, { summary: string; load: () => Promise<CommandModule> }> = {
  up: { summary: 'the embedded Azure ML in the foreground', load: () => import('./up.js') },
  compile: { summary: 'the writes that submitting a job file makes, offline', load: () => import('./compile.js') },
  task: { summary: 'run a built task as the agent would', load: () => import('./task.js') },
  expand: { summary: 'expand an azure-pipelines YAML file', load: () => import('./expand.js') },
  lint: { summary: 'expand, then check', load: () => import('./lint.js') },
  run: { summary: 'run a multi-stage pipeline locally', load: () => import('./run.js') },
  environments: { summary: 'Azure DevOps environments, approvals and checks as code', load: () => import('./environments.js') },
  why: { summary: 'what is champion, and why', load: () => import('./why.js') },
  records: { summary: 'fetch the promotion records', load: () => import('./records.js') },
  verify: { summary: 're-check promotion records', load: () => import('./verify.js') },
};

async function main(argv: string[]): Promise<void> {
  const program = new Command('amlops');
  program
    .description('Azure Machine Learning in Azure Pipelines, and the same thing on a laptop.')
    .configureHelp({
      // An empty list of repeated options is no default worth a word.
      optionDescription(option) {
        const value: unknown = option.defaultValue;
        const empty = typeof value === 'object' && value !== null && Object.keys(value).length === 0;
        return empty ? option.description : new Help().optionDescription(option);
      },
    })
    .exitOverride((error) => {
      process.exit(error.exitCode === 0 ? 0 : 2);
    })
    .showHelpAfterError('(run `amlops --help` for the commands)');
  const name = argv.find((argument) => !argument.startsWith('-'));
  const known = name === undefined ? undefined : commands[name];
  if (known) (await known.load()).register(program);
  else for (const [key, { summary }] of Object.entries(commands)) program.command(key).description(summary).allowUnknownOption();
  if (argv.length === 0) {
    program.outputHelp({ error: true });
    process.exitCode = 2;
    return;
  }
  await program.parseAsync(argv, { from: 'user' });
}

main(process.argv.slice(2)).catch((error: unknown) => {
  process.stderr.write(`amlops: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env['AMLOPS_TRACE'] && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
  process.exitCode = 1;
});
