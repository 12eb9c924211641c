/** The digest of a model: one word for all its bytes (docs/release.md, "Digest"). */
import { LONE_SURROGATE, sha256Hex } from './canonical.js';
import { Refusal } from './refusal.js';

export interface FileDigest {
  /** Below the model's root, `/` between folders. */
  path: string;
  size: number;
  /** Lower-case hex. */
  sha256: string;
}

/** Sorted by the bytes of UTF-8, as the digest wants them. Paths that would leave the folder or break a line are refused. */
export function sortFiles<T extends { path: string }>(files: readonly T[]): T[] {
  const keyed = files.map((file) => ({ file, key: Buffer.from(checkedPath(file.path), 'utf8') }));
  keyed.sort((a, b) => Buffer.compare(a.key, b.key));
  for (let i = 1; i < keyed.length; i++)
    if (keyed[i - 1]!.key.equals(keyed[i]!.key))
      throw new Refusal(`The model has two files named ${JSON.stringify(keyed[i]!.file.path)}.`, { code: 'ModelInvalid' });
  return keyed.map(({ file }) => file);
}

/** SHA-256 over the lines `path TAB size TAB sha256-hex LF`, written `sha256:<hex>`. An empty model is refused. */
export function modelDigest(files: readonly FileDigest[]): string {
  if (files.length === 0) throw new Refusal('The model has no files.', { code: 'ModelEmpty' });
  const lines = sortFiles(files).map(({ path, size, sha256 }) => `${path}\t${size}\t${sha256}\n`);
  return `sha256:${sha256Hex(lines.join(''))}`;
}

/** Gives the path back, or refuses one that could not be written faithfully or would leave its folder. */
export function checkedPath(path: string): string {
  const bad =
    path === '' ||
    path.startsWith('/') ||
    /[\u0000-\u001f\u007f\\]/.test(path) ||
    LONE_SURROGATE.test(path) ||
    path.split('/').some((part) => part === '' || part === '.' || part === '..');
  if (bad) throw new Refusal(`The model has a file with an impossible path: ${JSON.stringify(path)}.`, { code: 'ModelInvalid' });
  return path;
}
