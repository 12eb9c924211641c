/** The public job files of `conformance/jobs`, submitted by the real client to a workspace: who must complete, and how each ended. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { curated, findRow, imageName, images } from '../../local/workspace/engine/environment/tables.js';
import { clientKit, clientVenv } from './client-kit.js';
import { armId, send, startUp, tokenOf } from './workspace.js';

/* eslint-disable @typescript-eslint/no-explicit-any -- recordings are read freely */

const shared = join(import.meta.dirname, '..', '..', '..', 'shared', 'conformance', 'jobs');

/** Folder of the corpus; undefined when the shared data is not there. */
export const corpusFolder: string | undefined = existsSync(join(shared, 'index.json')) && clientKit ? shared : undefined;

export interface CorpusCase {
  case: string;
  file: string;
  yaml: string;
  outcome: string;
}

export interface CorpusRow {
  yaml: string;
  /** Completed, Failed, Canceled, refused (by the client or the workspace), running. */
  end: string;
  reason: string;
  /** By the rule of `mustComplete`. */
  must: boolean;
}

/** Cases that are job files. */
export function corpusCases(folder: string): CorpusCase[] {
  const index = JSON.parse(readFileSync(join(folder, 'index.json'), 'utf8'));
  const rows = (Array.isArray(index) ? index : index.cases) as (CorpusCase & { operation: string })[];
  return rows.filter(({ operation, yaml }) => operation === 'job' && yaml);
}

/** What a recorded submission says of its parts: bodies by the last parts of their path. */
interface Recorded {
  job: any;
  components: Map<string, any>;
  environments: Map<string, any>;
}

function recorded(folder: string, row: CorpusCase): Recorded | undefined {
  const name = row.file.split('/').pop() ?? '';
  const { requests } = JSON.parse(readFileSync(join(folder, 'cases', name), 'utf8')) as { requests: any[] };
  const found: Recorded = { job: undefined, components: new Map(), environments: new Map() };
  for (const { method, path, body } of requests) {
    if (method !== 'PUT') continue;
    const match = /\/(jobs|components|environments)\/([^/]+)(?:\/versions\/([^/]+))?$/.exec(String(path));
    if (match?.[1] === 'jobs') found.job = body.properties;
    else if (match?.[1] === 'components') found.components.set(`${match[2]}/${match[3]}`, body.properties.componentSpec);
    else if (match) found.environments.set(`${match[2]}/${match[3]}`, body.properties);
  }
  return found.job === undefined ? undefined : found;
}

/** The table knows the environment: curated by name, or an image of the table (a conda file may come on top). */
function environmentKnown(reference: string | undefined, environments: Recorded['environments']): boolean {
  const text = reference ?? '';
  const name = /registries\/azureml\/environments\/([^/]+)/.exec(text)?.[1] ?? /^azureml:([\w.-]+)(?:@|:|$)/.exec(text)?.[1];
  if (name && findRow(curated, name)) return true;
  const key = /environments\/([^/]+)\/versions\/([^/]+)$/.exec(text);
  const properties = key ? environments.get(`${key[1]}/${key[2]}`) : undefined;
  return typeof properties?.image === 'string' && findRow(images, imageName(properties.image as string)) !== undefined;
}

/** A path of the default datastore: a local file that the client uploaded, or one that the test writes there. */
const datastorePath = /^azureml:\/\/datastores\/workspaceblobstore\/paths\/(?!.*\$\{\{)(.+)$/;

/** Paths that inputs of these files read and no upload of the client makes. */
function seeds(folder: string, cases: CorpusCase[]): string[] {
  const found = new Set<string>();
  for (const row of cases) {
    const all = recorded(folder, row);
    const sources = [all?.job, ...Object.values((all?.job.jobs ?? {}) as Record<string, any>)];
    for (const source of sources)
      for (const { uri } of Object.values((source?.inputs ?? {}) as Record<string, any>)) {
        const path = datastorePath.exec(String(uri ?? ''))?.[1];
        if (path && !path.startsWith('LocalUpload/')) found.add(path);
      }
  }
  return [...found];
}

/** Local files, outputs of other nodes, values, and assets that the test registers. */
function inputsKnown(inputs: Record<string, any> | undefined): boolean {
  return Object.values(inputs ?? {}).every(({ uri, value }) => {
    const text = String(uri ?? value ?? '');
    if (uri === undefined && !/^(azureml|https?|wasbs?|abfss?):/.test(text)) return true;
    return datastorePath.test(text) || /^\/subscriptions\/.*\/data\//.test(text);
  });
}

const oneMachine = (source: any): boolean =>
  Number(source?.resources?.instance_count ?? source?.resources?.instanceCount ?? 1) <= 1 && !source?.distribution;

function nodesKnown(nodes: Record<string, any>, all: Recorded): boolean {
  return Object.values(nodes).every((node) => {
    if (!['command', 'pipeline', undefined].includes(node.type as string | undefined)) return false;
    const match = /^\/subscriptions\/.*\/components\/([^/]+)\/versions\/([^/]+)$/.exec(String(node.componentId ?? ''));
    if (!match || !inputsKnown(node.inputs as Record<string, any>)) return false;
    const spec = all.components.get(`${match[1]}/${match[2]}`);
    // A component that the recording only names is one that the test registers.
    if (!spec) return match[1] !== 'azureml_anonymous';
    if (node.type === 'pipeline' || spec.type === 'pipeline') return nodesKnown((spec.jobs ?? {}) as Record<string, any>, all);
    return (
      spec.type === 'command' &&
      oneMachine(spec) &&
      oneMachine(node) &&
      environmentKnown(spec.environment as string, all.environments)
    );
  });
}

/**
 * The rule: every node is a command whose data inputs are local, outputs of other nodes or registered by the test, in an environment that
 * the table knows. Such a job must complete (its code is a placeholder that does nothing).
 */
export function mustComplete(folder: string, row: CorpusCase): boolean {
  const all = recorded(folder, row);
  if (!all || !inputsKnown(all.job.inputs as Record<string, any>)) return false;
  if (all.job.jobType === 'Pipeline') return nodesKnown(all.job.jobs as Record<string, any>, all);
  if (all.job.jobType !== 'Command') return false;
  // Notebooks are not part of the corpus; a job that executes one has nothing to execute.
  if (/\.ipynb\b/.test(String(all.job.command))) return false;
  return oneMachine(all.job) && environmentKnown(all.job.environmentId as string, all.environments);
}

/** Computes that the files name. */
function computeNames(folder: string, cases: CorpusCase[]): string[] {
  const text = cases.map(({ yaml }) => readFileSync(join(folder, 'tree', yaml), 'utf8')).join('\n');
  const names = [...text.matchAll(/(?:compute|compute_\w+):\s*["']?(?:azureml:)?([\w-]+)["']?\s*$/gm)].map(
    ([, name = '']) => name,
  );
  return [...new Set(names)].filter((name) => !['serverless', 'local', 'cpu-cluster', 'azureml'].includes(name));
}

/**
 * Submits the files (all job files, or those that `only` lets through) and waits for their ends.
 * @param seconds until the driver gives up on what still runs
 */
export async function runCorpus(
  folder: string,
  options: { only?: (must: boolean, row: CorpusCase) => boolean; seconds?: number } = {},
): Promise<CorpusRow[]> {
  const cases = corpusCases(folder);
  const must = new Map(cases.map((row) => [row.yaml, mustComplete(folder, row)]));
  const chosen = cases.filter((row) => options.only?.(must.get(row.yaml) ?? false, row) ?? true);
  const work = mkdtempSync(join(tmpdir(), 'amlops-corpus-'));
  const venv = await clientVenv();
  const up = await startUp({ args: ['--workspaces', 'dev'] });
  try {
    const token = await tokenOf(up.connection);
    for (const name of computeNames(folder, cases))
      await send(
        up.connection,
        'PUT',
        `${up.connection.resourceManager}${armId(up.connection)}/computes/${name}?api-version=2023-08-01-preview`,
        {
          token,
          body: {
            location: 'eastus',
            properties: {
              computeType: 'AmlCompute',
              properties: { vmSize: 'STANDARD_DS3_V2', scaleSettings: { maxNodeCount: 4, minNodeCount: 0 } },
            },
          },
        },
      );
    // A copy that may be written to: the client leaves files beside what it reads.
    await promisify(execFile)('cp', ['-r', join(folder, 'tree'), join(work, 'tree')]);
    await promisify(execFile)('chmod', ['-R', 'u+w', join(work, 'tree')]);
    const files = join(work, 'files.json');
    writeFileSync(files, JSON.stringify(chosen.map(({ yaml }, at) => [yaml, `corpus-${at}`])));
    const child = spawn(
      venv.python,
      [
        join(import.meta.dirname, 'corpus.py'),
        '--kit',
        clientKit ?? '',
        '--connection',
        up.file,
        '--tree',
        join(work, 'tree'),
        '--files',
        files,
        '--seed',
        JSON.stringify(seeds(folder, chosen)),
        '--seconds',
        String(options.seconds ?? 1200),
      ],
      { cwd: work, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    let err = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (err = (err + text).slice(-20_000)));
    const rows: CorpusRow[] = [];
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!line.startsWith('{')) return;
      const row = JSON.parse(line) as CorpusRow;
      rows.push({ ...row, must: must.get(row.yaml) ?? false });
    });
    const code = await new Promise((resolve) => child.once('close', resolve));
    if (code !== 0) throw new Error(`The driver ended with ${String(code)}: ${err}\n${up.log()}`);
    return rows.sort((a, b) => (a.yaml < b.yaml ? -1 : 1));
  } finally {
    await up.stop();
    rmSync(work, { recursive: true, force: true });
  }
}

/** The rows as the page `docs/corpus.md`. */
export function corpusPage(rows: CorpusRow[]): string {
  const cell = (text: string): string => {
    // Folders of the machine that wrote the page are nobody's business.
    const anywhere = text.replace(/(?<=["'(])\/(?:[\w.@-]+\/)+(?=venvs\/|[\w.@-]+["')])/g, '');
    const line = anywhere.replace(/\s+/g, ' ').replaceAll('|', '\\|').replaceAll('<', '&lt;').trim();
    return line.length > 220 ? `${line.slice(0, 217)}...` : line;
  };
  const count = (end: string): number => rows.filter((row) => row.end === end).length;
  return [
    '# How the public job files end',
    '',
    'Generated by `node scripts/corpus.mjs`: every job file of `conformance/jobs`, submitted by the real azure-ai-ml to `amlops up`. The code of',
    'those files is a placeholder that does nothing.',
    '',
    `${rows.length} files: ${count('Completed')} completed, ${count('Failed')} failed, ${count('refused')} refused at submission.`,
    '',
    'The rule: a file must complete when every node is a command whose data inputs are local, outputs of other nodes or registered by the test,',
    `in an environment that the table knows. That holds for ${rows.filter(({ must }) => must).length} files (marked).`,
    '',
    '| file | must | ends | reason |',
    '| --- | --- | --- | --- |',
    ...rows.map(({ yaml, must, end, reason }) => `| ${yaml} | ${must ? 'yes' : ''} | ${end} | ${cell(reason)} |`),
    '',
  ].join('\n');
}
