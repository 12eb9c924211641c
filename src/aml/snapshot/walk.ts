/**
 * Lists what goes into a snapshot. An ignored folder is not entered; links are followed, but never in a circle. What lies behind a
 * linked folder is matched where it really lies, as the client does it.
 */
import { openSync, readdirSync, realpathSync, statSync, type Dirent, type Stats } from 'node:fs';
import path from 'node:path';
import { Failure } from '../../azure/errors.js';
import type { IgnoreRules } from './ignore.js';
import type { SnapshotFile } from './types.js';

interface Walked {
  files: SnapshotFile[];
  warnings: string[];
}

/** A folder of a walk: where it really lies, and how the patterns name it (`''`: it is their base). */
export interface Spot {
  real: string;
  match: string;
}

/**
 * In: absolute folder and its rules. Out: every file below it that is not ignored, in no particular order.
 * Errors: those of the file system; Failure for a file that vanished or whose name is not UTF-8.
 */
export function walk(root: string, rules: IgnoreRules): Walked {
  const found: Walked = { files: [], warnings: [] };
  enter(spotOf(root, rules), '', rules, found, []);
  return found;
}

/** The spot of a folder, links followed. */
export function spotOf(folder: string, rules: IgnoreRules): Spot {
  const real = realpathSync(folder);
  const match = rules.relative(real, rules.base ?? real);
  return { real, match: match === '.' ? '' : match };
}

/** How the patterns name something in a folder. */
export function matchOf({ real, match }: Spot, name: string, rules: IgnoreRules): string {
  if (match === '') return name;
  // Above the base a path may lead back into it.
  return match.startsWith('..') ? rules.relative(path.join(real, name), rules.base ?? real) : `${match}/${name}`;
}

/** Whether a link leads into a circle: to a folder that this one lies in. */
export function circles(real: string, above: readonly string[]): boolean {
  return above.some((ancestor) => ancestor === real || ancestor.startsWith(real.endsWith(path.sep) ? real : real + path.sep));
}

export const nowhere = (link: string): string => `${link} is a link that leads nowhere; it is left out.`;
export const inCircle = (link: string): string => `${link} is a link into a folder that it lies in itself; it is left out.`;
export const unreadable = (folder: string): string => `${folder} may not be read (EACCES); it is left out.`;

const sentAnyway = (link: string, { real, match }: Spot): string =>
  `${link} is ignored, but it links to ${real}, and what lies there is matched as ${match}/… (as the official client does) and sent.`;

/** What is behind a name, links followed. Undefined: a link that leads nowhere. Failure: gone since the folder was listed. */
export function statAt(file: string, isLink: boolean): Stats | undefined {
  try {
    return statSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (isLink && (code === 'ENOENT' || code === 'ENOTDIR' || code === 'ELOOP')) return undefined;
    if (code === 'ENOENT') throw gone(file);
    throw error;
  }
}

/** A name that is not UTF-8 is listed as another than it is, and never found. */
function gone(file: string): Failure {
  return file.includes('\uFFFD') ? misnamed(file) : changed(file);
}

/** The Failure for a file that is not what it was a moment ago. */
export function changed(file: string, what = 'changed or was removed while it was being read'): Failure {
  return new Failure(`${file} ${what}.`, {
    code: 'FileChanged',
    file,
    advice: 'Run again when nothing writes to the folder, or name the file in .amlignore.',
  });
}

/** Opens a file that was listed for reading. Failure: gone since. */
export function openListed(file: string): number {
  try {
    return openSync(file, 'r');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw code === 'ENOENT' || code === 'ENOTDIR' ? changed(file) : error;
  }
}

function misnamed(file: string): Failure {
  return new Failure(`The name of ${file} is not UTF-8, so that it cannot be stored.`, {
    code: 'FileNameInvalid',
    file,
    advice: 'Rename the file, or name it in .amlignore.',
  });
}

/** Entries of a folder; undefined when the folder may not be read. Failure: it is gone. */
export function entriesOf(folder: string): Dirent[] | undefined {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EACCES' || code === 'EPERM') return undefined;
    if (code === 'ENOENT' || code === 'ENOTDIR') throw gone(folder);
    throw error;
  }
}

function enter(spot: Spot, prefix: string, rules: IgnoreRules, found: Walked, above: readonly string[]): void {
  const entries = entriesOf(spot.real);
  if (!entries) found.warnings.push(unreadable(spot.real));
  // Both ends are clean already: joining them anew for each file would cost as much as reading the folder.
  const at = spot.real.endsWith(path.sep) ? spot.real : spot.real + path.sep;
  for (const entry of entries ?? []) {
    const name = prefix === '' ? entry.name : `${prefix}/${entry.name}`;
    const full = at + entry.name;
    const match = matchOf(spot, entry.name, rules);
    const isLink = entry.isSymbolicLink();
    if (!isLink && entry.isDirectory()) {
      if (rules.prunes(match)) continue;
      enter({ real: full, match }, name, rules, found, above);
      continue;
    }
    const isOut = rules.ignores(match);
    if (isOut && !isLink) continue;
    const stat = statAt(full, isLink);
    if (stat?.isDirectory()) {
      // The pattern that names the link does not count: the client matches where it leads.
      const inside = spotOf(full, rules);
      if (inside.match !== '' && rules.prunes(inside.match)) continue;
      const chain = [...above, spot.real];
      if (circles(inside.real, chain)) {
        found.warnings.push(inCircle(full));
        continue;
      }
      const before = found.files.length;
      enter(inside, name, rules, found, chain);
      if ((isOut || rules.prunes(match)) && found.files.length > before) found.warnings.push(sentAnyway(full, inside));
    } else if (!stat && !isOut) found.warnings.push(nowhere(full));
    else if (stat?.isFile() && !isOut) found.files.push({ path: full, name, size: stat.size, mtimeMs: stat.mtimeMs });
  }
}

/** One file as a snapshot of its own. */
export function single(file: string): SnapshotFile {
  const { size, mtimeMs } = statSync(file);
  return { path: file, name: path.basename(file), size, mtimeMs };
}
