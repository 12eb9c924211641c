/** Job files from seeds, compiled here and by the unmodified azure-ai-ml, compared (`client_writes.py`). */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { bodyText, compileJob, offlineTarget } from '../../src/aml/compile/index.js';
import { Failure } from '../../src/azure/errors.js';
import { clientVenv } from './client-kit.js';
import { jobFiles, type JobFiles } from './job-files/index.js';

const workspace = { subscriptionId: '00000000-0000-0000-0000-000000000001', resourceGroup: 'rg-dev', workspace: 'mlw-dev' };
/** The comparison of the recordings, used beside our own where it is there. */
const shared = join(import.meta.dirname, '..', '..', '..', 'shared', 'conformance');

export type Outcome = 'equal' | 'both-refuse' | 'client-refuses' | 'we-refuse' | 'differ';
export interface Verdict {
  seed: number;
  kind: string;
  mistakes: string[];
  verdict: Outcome;
  /** What the client says when it refuses. */
  client?: string | undefined;
  /** What we say when we refuse. */
  ours?: string | undefined;
  differences: string[];
}

/** In: seeds; a folder in which the files stay, if one is given. Out: a verdict for each. */
export async function compareSeeds(seeds: readonly number[], keep?: string): Promise<Verdict[]> {
  const folder = keep ?? mkdtempSync(join(tmpdir(), 'compile-parity-'));
  try {
    const cases = new Map<string, JobFiles>();
    const ours = new Map<string, object>();
    for (const seed of seeds) {
      const made = jobFiles(seed);
      const root = join(folder, String(seed));
      mkdirSync(root, { recursive: true });
      made.world.write(root);
      cases.set(String(seed), made);
      ours.set(String(seed), await compiled(join(root, made.job)));
    }
    const rows: string[] = [];
    // The client reads its private switch when it is loaded: a process for those that need it, and one for the others.
    for (const hidden of [false, true]) {
      const given = [...cases]
        .filter(([, made]) => made.private === hidden)
        .map(([id, { job }]) => ({ id, file: join(folder, id, job), ours: ours.get(id) }));
      if (given.length === 0) continue;
      const list = join(folder, 'cases.json');
      writeFileSync(list, bodyText({ cases: given, shared: existsSync(join(shared, 'compare_jobs.py')) ? shared : null }));
      const { python } = await clientVenv();
      const { stdout } = await promisify(execFile)(python, [join(import.meta.dirname, 'client_writes.py'), list], {
        maxBuffer: 256 * 1024 * 1024,
        env: {
          ...process.env,
          PYTHONDONTWRITEBYTECODE: '1',
          PYTHONUTF8: '1',
          AZURE_ML_CLI_PRIVATE_FEATURES_ENABLED: String(hidden),
        },
      });
      rows.push(...stdout.trim().split('\n'));
    }
    return rows.map((line) => {
      const row = JSON.parse(line) as { id: string; verdict: Outcome; error: string | null; differences?: string[] };
      const made = cases.get(row.id) as JobFiles;
      return {
        seed: made.seed,
        kind: made.kind,
        mistakes: made.mistakes,
        verdict: row.verdict,
        client: row.error ?? undefined,
        ours: (ours.get(row.id) as { error?: string }).error?.replaceAll(`${join(folder, row.id)}/`, ''),
        differences: row.differences ?? [],
      };
    });
  } finally {
    if (keep === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

async function compiled(file: string): Promise<object> {
  try {
    const { requests } = await compileJob({ file, name: 'case', env: {} }, offlineTarget(workspace));
    return { requests };
  } catch (error) {
    if (error instanceof Failure && error.code === 'JobInvalid') return { error: error.message };
    return { error: `NOT A REFUSAL: ${error instanceof Error ? error.stack : String(error)}` };
  }
}

/** What differs and stays so (docs/compile.md says why): files with these, and with nothing else, are no failures. */
const KNOWN: { reason: string; verdict: Outcome; client?: RegExp; problem?: RegExp; difference?: RegExp }[] = [
  {
    reason: '`file:` before a pipeline component is taken',
    verdict: 'client-refuses',
    client: /Not supporting non file for component/,
  },
  {
    reason: 'an inline step may bind to an output of a registered component that its step does not name',
    verdict: 'client-refuses',
    client: /Failed to find referenced source for input binding/,
  },
  {
    reason: 'a step that binds to what is not there is refused here, not by the service',
    verdict: 'we-refuse',
    problem: /is bound to .*, which is not/,
  },
  { reason: '`file:` is no address of data', verdict: 'we-refuse', problem: /A path of data cannot begin with/ },
  { reason: 'whole numbers beyond 2^53 are text', verdict: 'differ', difference: /client (-?\d{16,}), ours "\1"$/ },
  { reason: 'code at a URL is taken', verdict: 'client-refuses', client: /No such file or directory: .*https?:\// },
  {
    reason: 'an ARM id after azureml: is taken for data, as elsewhere',
    verdict: 'client-refuses',
    client: /Could not parse azureml:\/subscriptions/,
  },
  {
    reason: 'a step without a command is refused here, not by the service',
    verdict: 'we-refuse',
    problem: /The key (command|environment) of the step/,
  },
  {
    reason: 'bare text for a port of type path is a path',
    verdict: 'client-refuses',
    client: /Job input type path is not supported/,
  },
  {
    reason: 'a copy step may bind with spaces in the braces',
    verdict: 'client-refuses',
    client: /Value 'string' passed is not in set \['path', 'custom_model'/,
  },
  {
    reason: 'an automl step’s training_parameters may be an expression',
    verdict: 'client-refuses',
    client: /"path": "jobs\.\w+\.task",\s*"value": "(image|text)_/,
  },
  { reason: 'infinities are no JSON', verdict: 'differ', difference: /client (-?Infinity|NaN),/ },
];

/** Why a verdict is no failure; undefined when it is one. */
export function excused(row: Verdict): string | undefined {
  if (row.verdict === 'equal') return 'equal';
  if (row.verdict === 'both-refuse') return row.ours?.includes('cannot be submitted') ? 'both refuse' : undefined;
  const problems = (row.ours ?? '').split('\n').filter((line) => line.startsWith('  '));
  return KNOWN.find(
    ({ verdict, client, problem, difference }) =>
      verdict === row.verdict &&
      (client === undefined || client.test(row.client ?? '')) &&
      (problem === undefined || (problems.length > 0 && problems.every((line) => problem.test(line)))) &&
      (difference === undefined || row.differences.every((line) => difference.test(line))),
  )?.reason;
}
