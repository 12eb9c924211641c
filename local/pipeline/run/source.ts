/** The sources of a local run: what git says of them, and a checkout into an agent's folder. */
import { execFile } from 'node:child_process';
import { cp, mkdir, readdir, rm } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { headOf } from '../../../src/aml/compile/git.js';

export interface SourceFacts {
  branch: string;
  commit: string;
  repository: string;
  message: string;
  /** Files differ from the commit. */
  dirty: boolean;
  git: boolean;
}

async function git(folder: string, ...args: string[]): Promise<string | undefined> {
  return await new Promise((resolve) => {
    execFile('git', args, { cwd: folder, maxBuffer: 256 * 1024 * 1024, windowsHide: true }, (error, stdout) =>
      resolve(error ? undefined : stdout),
    );
  });
}

/** Branch, commit and name of the repository; outside a work tree the branch is main and the commit is zeros. */
export async function sourceFacts(root: string): Promise<SourceFacts> {
  const commit = (await git(root, 'rev-parse', 'HEAD'))?.trim();
  // A machine without git: the work tree's files still tell what is checked out, though not whether it was changed.
  const head = commit ? undefined : headOf(root);
  const none = {
    branch: head && head.branch !== 'HEAD' ? `refs/heads/${head.branch}` : 'refs/heads/main',
    commit: head?.commit ?? '0'.repeat(40),
    repository: basename(root),
    message: '',
    dirty: false,
    git: false,
  };
  if (!commit) return none;
  const branch = (await git(root, 'symbolic-ref', '-q', 'HEAD'))?.trim() || 'refs/heads/main';
  const dirty = ((await git(root, 'status', '--porcelain', '--', '.')) ?? '').trim() !== '';
  return { ...none, git: true, commit, branch, dirty, message: ((await git(root, 'log', '-1', '--format=%s')) ?? '').trim() };
}

const skipped = new Set(['.git', 'node_modules', '.amlops']);

/** Relative paths of what a checkout holds: the working tree as git sees it (ignored files left out), or all files without git. */
async function sourceFiles(root: string): Promise<string[]> {
  const listed = await git(root, 'ls-files', '-z', '--cached', '--others', '--exclude-standard');
  if (listed !== undefined)
    return [...new Set(listed.split('\0'))].filter(
      (path) => path && !path.split('/').includes('.amlops') && existsSync(join(root, path)),
    );
  const found: string[] = [];
  const walk = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(root, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (skipped.has(entry.name)) continue;
      if (entry.isDirectory()) await walk(path);
      else found.push(path);
    }
  };
  await walk('.');
  return found;
}

/** Copies the working tree of `root` to `target`, which is emptied first. @returns how many files */
export async function checkout(root: string, target: string): Promise<number> {
  await rm(target, { recursive: true, force: true });
  await mkdir(target, { recursive: true });
  const files = await sourceFiles(root);
  const folders = new Set(files.map((path) => dirname(path)));
  for (const folder of folders) await mkdir(join(target, folder), { recursive: true });
  for (let start = 0; start < files.length; start += 64)
    await Promise.all(
      files.slice(start, start + 64).map((path) => cp(join(root, path), join(target, path), { verbatimSymlinks: true })),
    );
  return files.length;
}
