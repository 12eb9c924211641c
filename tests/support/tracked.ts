/** The repository's own files. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import ignore from 'ignore';

/** In: the repository's folder. Out: relative paths with `/`, as git tracks them; on a machine without git, all that .gitignore lets through. */
export function trackedFiles(root: string): string[] {
  const git = spawnSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
  const files = git.status === 0 ? git.stdout.split('\0').filter(Boolean) : walked(root);
  return files.filter((file) => existsSync(join(root, file)) && statSync(join(root, file)).isFile());
}

function walked(root: string): string[] {
  const ignored = ignore().add(['.git', readFileSync(join(root, '.gitignore'), 'utf8')].join('\n'));
  const below = (folder: string): string[] =>
    readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
      const path = `${folder}${entry.name}${entry.isDirectory() ? '/' : ''}`;
      if (ignored.ignores(path)) return [];
      return entry.isDirectory() ? below(path) : [path];
    });
  return below('');
}
