/** `amlops records`: fetches the promotion records of a model, as they stand in storage. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { WorkspaceStore } from '../src/aml/models-store.js';
import { recordsFolder } from '../src/release/record.js';
import { exitWith, openFrom } from './connection.js';

interface Options {
  connection: string;
  workspace: string;
  model: string;
  out: string;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command('records')
    .description('fetch the promotion records of a model')
    .requiredOption('--connection <file>', 'connection.json of `amlops up`', '.amlops/connection.json')
    .requiredOption(
      '--workspace <name>',
      'workspace that the model was promoted in (of a registry: the workspace it was shared from)',
    )
    .requiredOption('--model <name>', 'name of the model')
    .requiredOption('--out <dir>', 'folder for the files')
    .option('--json', 'names of the files as JSON on standard output')
    .action((options: Options) => exitWith('records', () => fetchRecords(options)));
}

async function fetchRecords(options: Options): Promise<number> {
  const store = new WorkspaceStore(openFrom(options.connection, options.workspace));
  const folder = recordsFolder(options.model);
  // Other names would not be ours, and a name from storage never leads out of the folder.
  const names = (await store.list(folder))
    .map((name) => name.slice(folder.length))
    .filter((name) => /^\d{6,}\.json(\.sha256)?$/.test(name));
  if (names.length === 0) {
    process.stderr.write(`There are no promotion records of "${options.model}" in ${options.workspace}.\n`);
    return 1;
  }
  mkdirSync(options.out, { recursive: true });
  for (const name of names) {
    const found = await store.read(folder + name);
    if (found) writeFileSync(join(options.out, name), found.bytes);
  }
  if (options.json) process.stdout.write(`${JSON.stringify(names.sort().map((name) => join(options.out, name)))}\n`);
  const count = names.filter((name) => name.endsWith('.json')).length;
  process.stderr.write(`${count} ${count === 1 ? 'record' : 'records'} of "${options.model}" in ${options.out}\n`);
  return 0;
}
