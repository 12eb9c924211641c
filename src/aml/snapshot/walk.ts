/** Lists what goes into a snapshot. An ignored folder is not entered; links are followed, but never in a circle. */
import { readdirSync, realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import type { IgnoreRules } from './ignore.js';
import type { SnapshotFile } from './types.js';

export interface Walked {
  files: SnapshotFile[];
  /** Folders met, for hashes that count them; path below the root. */
  folders: string[];
}

/** In: absolute folder and its rules. Out: every file below it that is not ignored, in no particular order. Errors: those of the file system. */
export function walk(root: string, rules: IgnoreRules): Walked {
  const found: Walked = { files: [], folders: [] };
  enter(root, '', rules, found, []);
  return found;
}

function enter(folder: string, prefix: string, rules: IgnoreRules, found: Walked, above: readonly string[]): void {
  let chain: readonly string[] | undefined;
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    const full = path.join(folder, entry.name);
    let isFolder = entry.isDirectory();
    let isFile = entry.isFile();
    const isLink = entry.isSymbolicLink();
    if (isLink) {
      const target = statSync(full, { throwIfNoEntry: false });
      isFolder = target?.isDirectory() ?? false;
      isFile = target?.isFile() ?? false;
    }
    if (isFolder) {
      if (rules.prunes(name)) continue;
      if (isLink) {
        chain ??= [...above, realpathSync(folder)];
        const real = realpathSync(full);
        if (chain.some((ancestor) => ancestor === real || ancestor.startsWith(real + path.sep))) continue;
      }
      found.folders.push(name);
      enter(full, name, rules, found, chain ?? above);
    } else if (isFile && !rules.ignores(name)) {
      const { size, mtimeMs } = statSync(full);
      found.files.push({ path: full, name, size, mtimeMs });
    }
  }
}

/** One file as a snapshot of its own. */
export function single(file: string): SnapshotFile {
  const { size, mtimeMs } = statSync(file);
  return { path: file, name: path.basename(file), size, mtimeMs };
}
