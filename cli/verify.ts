/** `amlops verify`: re-checks promotion records, offline or also against what the service holds. */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { Option, type Command } from 'commander';
import { WorkspaceStore } from '../src/aml/models-store.js';
import { WorkspaceModels } from '../src/aml/models.js';
import { sha256Hex } from '../src/release/canonical.js';
import { recordsOf } from '../src/release/lineage.js';
import { readPointer, recordPath, recordNumbers } from '../src/release/record.js';
import {
  verifyAgainstService,
  verifyRecords,
  type Problem,
  type ServiceFacts,
  type Verification,
} from '../src/release/verify.js';
import { exitWith, openFrom } from './connection.js';

interface Options {
  connection?: string;
  workspace?: string;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command('verify')
    .description('re-check promotion records: chain, digests, gate arithmetic')
    .argument('<file-or-dir>', 'a record, or a folder that `amlops records` wrote')
    .addOption(new Option('--connection <file>', 'connection.json: check also against what the service holds'))
    .addOption(new Option('--workspace <name>', 'workspace whose container holds the records'))
    .option('--json', 'what was found as JSON on standard output')
    .action((path: string, options: Options) => {
      if ((options.connection === undefined) !== (options.workspace === undefined)) {
        process.stderr.write('amlops verify: --connection and --workspace belong together.\n');
        process.exitCode = 2;
        return undefined;
      }
      return exitWith('verify', () => verify(path, options));
    });
}

async function verify(path: string, options: Options): Promise<number> {
  let files: Map<string, Buffer>;
  let whole: boolean;
  try {
    whole = statSync(path).isDirectory();
    files = whole ? readFolder(path) : readOne(path);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    process.stderr.write(`amlops verify: ${code === 'ENOENT' ? `there is nothing at ${path}.` : `${path}: ${message}`}\n`);
    return 1;
  }
  const verification = verifyRecords(files, { whole });
  const problems: Problem[] = [...verification.problems];
  if (options.connection !== undefined && options.workspace !== undefined && verification.records.length > 0)
    problems.push(...(await againstService(verification, options.connection, options.workspace, whole)));
  if (options.json)
    process.stdout.write(
      `${JSON.stringify({ ok: problems.length === 0, first: problems[0] ?? null, problems, records: verification.records.map(({ number, sha256 }) => ({ number, sha256 })) })}\n`,
    );
  const [first, ...others] = problems;
  if (first) {
    process.stderr.write(`${first.file} ${first.message}\n`);
    if (others.length > 0) process.stderr.write(`and ${others.length} more${options.json ? '' : ' (see --json)'}\n`);
    return 1;
  }
  const how = options.connection === undefined ? 'offline: chain, digests and gate arithmetic hold' : 'also against the service';
  const count = verification.records.length;
  process.stderr.write(`${count} record${count === 1 ? '' : 's'} verified, ${how}.\n`);
  return 0;
}

function readFolder(folder: string): Map<string, Buffer> {
  const names = readdirSync(folder, { withFileTypes: true }).filter((entry) => entry.isFile());
  return new Map(names.map(({ name }) => [name, readFileSync(join(folder, name))]));
}

/** A record and its `.sha256`, whichever of the two was named. */
function readOne(path: string): Map<string, Buffer> {
  const record = path.replace(/\.sha256$/, '');
  const files = new Map([[basename(record), readFileSync(record)]]);
  const beside = join(dirname(record), `${basename(record)}.sha256`);
  if (statSync(beside, { throwIfNoEntry: false })) files.set(basename(beside), readFileSync(beside));
  return files;
}

async function againstService(verification: Verification, connection: string, name: string, whole: boolean): Promise<Problem[]> {
  const workspace = openFrom(connection, name);
  const store = new WorkspaceStore(workspace);
  const models = new WorkspaceModels(workspace);
  const first = verification.records[0]!.record.predicate;
  const ids = new Map<string, ReadonlyMap<number, string>>();
  // The versions that vouch bear the name of the chain: the copy in the target, or the source of what was shared.
  for (const version of await models.versions(first.recordedAs)) {
    const held = [...recordsOf(version)].filter(
      ([number]) => whole || verification.records.some((entry) => entry.number === number),
    );
    ids.set(version.id.toLowerCase(), new Map(held));
  }
  const pointer = whole ? (await readPointer(store, first.recordedAs))?.pointer : undefined;
  const stored = new Map<number, string>();
  for (const number of await recordNumbers(store, first.recordedAs)) {
    const bytes = (await store.read(recordPath(first.recordedAs, number)))?.bytes;
    if (bytes) stored.set(number, sha256Hex(bytes));
  }
  const service: ServiceFacts = { pointer, vouched: ids, stored };
  const problems = verifyAgainstService(verification, service);
  // Of a single record the pointer and its neighbours say nothing here.
  return whole
    ? problems
    : problems.filter(({ file }) => verification.records.some((entry) => file.startsWith(String(entry.number).padStart(6, '0'))));
}
