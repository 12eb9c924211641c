/** The path of a `logissue`: the agent links what lies below the repository's root (reference task-contract B.6). */
import path from 'node:path';

/** `file` as the repository names it, with `/`; what lies elsewhere, and what is relative already, stays as it is. */
export function repositoryPath(
  root: string | undefined,
  file: string,
  paths: Pick<typeof path, 'isAbsolute' | 'relative' | 'sep'> = path,
): string {
  if (!root || !paths.isAbsolute(file)) return file;
  const below = paths.relative(root, file);
  // Another drive of Windows has no way from here: `relative` gives an absolute path then.
  const outside = below === '..' || below.startsWith(`..${paths.sep}`) || paths.isAbsolute(below);
  return outside ? file : below.split(paths.sep).join('/');
}
