/** `amlops why`: what is champion, since when, approved by whom, from which job, data, commit and run. */
import type { Command } from 'commander';
import { WorkspaceStore } from '../src/aml/models-store.js';
import { WorkspaceModels } from '../src/aml/models.js';
import { why, whyLines } from '../src/release/why.js';
import { exitWith, openFrom } from './connection.js';

interface Options {
  connection: string;
  workspace: string;
  model: string;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command('why')
    .description('what is champion, since when, approved by whom, from which job, data, commit and run')
    .requiredOption('--connection <file>', 'connection.json of `amlops up`', '.amlops/connection.json')
    .requiredOption('--workspace <name>', 'workspace')
    .requiredOption('--model <name>', 'name of the model')
    .option('--json', 'the answer as JSON')
    .action((options: Options) => exitWith('why', () => answer(options)));
}

async function answer(options: Options): Promise<number> {
  const workspace = openFrom(options.connection, options.workspace);
  const found = await why(options.model, new WorkspaceStore(workspace), new WorkspaceModels(workspace));
  if (!found) {
    process.stderr.write(`"${options.model}" has no champion in ${options.workspace}.\n`);
    return 1;
  }
  process.stdout.write(options.json ? `${JSON.stringify(found)}\n` : `${whyLines(found).join('\n')}\n`);
  return 0;
}
