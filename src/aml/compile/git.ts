/** Git properties of a job, read from the work tree's files: no process is started (reference azure-ml-rest §1.3 step 6). */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { statOf } from './context.js';
import type { Problems } from './problems.js';

/**
 * In: folder of the job file; environment variables (AZUREML_GIT_* win over what git says). Out: properties, none outside a work tree.
 * Properties with a repository URL that holds a password are left out, with a warning.
 */
export function gitProperties(
  folder: string,
  env: Readonly<Record<string, string | undefined>>,
  problems: Problems,
): Record<string, string> {
  const repository = findRepository(folder);
  const head = repository && readHead(repository);
  const url = clean(env['AZUREML_GIT_REPOSITORY_URI']) ?? (repository && remoteUrl(repository.common));
  const found: Record<string, string | undefined> = {
    'mlflow.source.git.repoURL': url,
    'mlflow.source.git.branch': clean(env['AZUREML_GIT_BRANCH']) ?? head?.branch,
    'mlflow.source.git.commit': clean(env['AZUREML_GIT_COMMIT']) ?? head?.commit,
    'azureml.git.dirty': clean(env['AZUREML_GIT_DIRTY']),
    'azureml.git.build_id': clean(env['AZUREML_GIT_BUILD_ID']),
    'azureml.git.build_uri': clean(env['AZUREML_GIT_BUILD_URI']),
  };
  if (url !== undefined && hasSecret(url)) {
    problems.warn(
      { file: folder, line: 1, column: 1 },
      'The URL of the git remote holds a password; the git properties are left out of the job.',
    );
    for (const key of [
      'mlflow.source.git.repoURL',
      'mlflow.source.git.branch',
      'mlflow.source.git.commit',
      'azureml.git.dirty',
    ]) {
      found[key] = undefined;
    }
  }
  return Object.fromEntries(Object.entries(found).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

/** What is checked out at `folder`, as the work tree's files tell; `undefined` outside a work tree. `branch` is `HEAD` when detached. */
export function headOf(folder: string): { branch: string; commit?: string } | undefined {
  const repository = findRepository(folder);
  return repository && readHead(repository);
}

const clean = (value: string | undefined): string | undefined =>
  value === undefined || value.trim() === '' ? undefined : value.trim();

function hasSecret(url: string): boolean {
  try {
    const { username, password } = new URL(url);
    return password !== '' || username.length > 20;
  } catch {
    return false;
  }
}

interface Repository {
  /** The work tree's own git folder (HEAD). */
  own: string;
  /** The shared one (config, refs). */
  common: string;
}

function findRepository(folder: string): Repository | undefined {
  for (let at = path.resolve(folder); ; at = path.dirname(at)) {
    const candidate = path.join(at, '.git');
    const stat = statOf(candidate);
    if (stat?.isDirectory()) return { own: candidate, common: candidate };
    if (stat?.isFile()) {
      const pointed = /^gitdir:\s*(.+)$/m.exec(read(candidate) ?? '')?.[1]?.trim();
      if (pointed === undefined) return undefined;
      const own = path.resolve(at, pointed);
      const common = read(path.join(own, 'commondir'))?.trim();
      return { own, common: common === undefined ? own : path.resolve(own, common) };
    }
    if (path.dirname(at) === at) return undefined;
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function readHead({ own, common }: Repository): { branch: string; commit?: string } | undefined {
  const text = read(path.join(own, 'HEAD'))?.trim();
  if (text === undefined) return undefined;
  const ref = /^ref:\s*(.+)$/.exec(text)?.[1];
  // A detached head (what pipelines check out) has no branch: git itself says HEAD.
  if (ref === undefined) return { branch: 'HEAD', commit: text };
  const loose = read(path.join(own, ref)) ?? read(path.join(common, ref));
  const packed = read(path.join(common, 'packed-refs'))
    ?.split('\n')
    .find((line) => line.endsWith(` ${ref}`))
    ?.split(' ')[0];
  const commit = loose?.trim() ?? packed;
  return { branch: ref.replace(/^refs\/heads\//, ''), ...(commit === undefined ? {} : { commit }) };
}

/** The `origin` of the configuration, else the first remote. */
function remoteUrl(common: string): string | undefined {
  const config = read(path.join(common, 'config')) ?? '';
  const remotes = new Map<string, string>();
  let current: string | undefined;
  for (const line of config.split(/\r?\n/)) {
    const section = /^\s*\[([^\]]*)\]/.exec(line)?.[1];
    if (section !== undefined) current = /^remote "(.+)"$/.exec(section.trim())?.[1];
    const url = /^\s*url\s*=\s*(.+?)\s*$/.exec(line)?.[1];
    if (current !== undefined && url !== undefined) remotes.set(current, url);
  }
  return remotes.get('origin') ?? [...remotes.values()][0];
}
