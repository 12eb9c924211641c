/** The job file that a user names, and what is there when it is not. */
import { lstatSync, readdirSync, readlinkSync, statSync, type Dirent, type Stats } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { repositoryPath } from '../../src/task/repository-path.js';
import { sanitizeInline } from '../../src/task/sanitize.js';

/** Why no job can be read from `file`; undefined when it is a file. Says which files there are, because it is mostly a matter of folders. */
export function unreadable(file: string, root: string | undefined): { what: string; advice: string } | undefined {
  const path = repositoryPath(root, file);
  let found: Stats | undefined;
  try {
    found = statSync(file);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    // A path below a file (ENOTDIR) is as little there as one that nobody made.
    if (code !== 'ENOENT' && code !== 'ENOTDIR')
      return {
        what: `${path} cannot be read (${code}).`,
        advice: 'Check the spelling, and that the user of the agent may read it.',
      };
  }
  if (found?.isFile()) return undefined;
  const target = found ? undefined : linkedTo(file);
  if (target !== undefined)
    return {
      what: `${path} is a link to ${sanitizeInline(target)}, which is not there.`,
      advice: 'Check in the file itself, or check out what the link points at (another repository, a submodule).',
    };
  if (found && !found.isDirectory())
    return {
      what: `${path} is neither a file nor a folder.`,
      advice: "Give the path of a job YAML file below the repository's root.",
    };
  const folder = found?.isDirectory() ? file : dirname(file);
  const there = filesOf(folder);
  const place = repositoryPath(root, folder) || '.';
  const inFolder =
    there === undefined
      ? `There is no folder ${place} either.`
      : there.length === 0
        ? `Folder ${place} holds no YAML file.`
        : `YAML files in folder ${place}: ${there.slice(0, 10).join(', ')}${there.length > 10 ? ', …' : ''}.`;
  // Mostly the path was written from the folder of the pipeline, or with the other ending.
  const twins = root === undefined || found ? [] : namesakes(root, basename(file));
  const seen = twins.length > 0 ? `Did you mean ${twins.join(' or ')}?` : inFolder;
  return {
    what: found?.isDirectory() ? `${path} is a folder, not a job file.` : `${path} is not there.`,
    advice: `${seen} The path starts at the repository's root${root ? ` (${root})` : ''}; check the spelling, upper and lower case, and that the repository is checked out.`,
  };
}

/** Where a symbolic link points; undefined when it is none. */
function linkedTo(file: string): string | undefined {
  try {
    return lstatSync(file).isSymbolicLink() ? readlinkSync(file) : undefined;
  } catch {
    return undefined;
  }
}

function filesOf(folder: string): string[] | undefined {
  try {
    return readdirSync(folder)
      .filter((name) => /\.ya?ml$/i.test(name))
      .map((name) => sanitizeInline(name))
      .sort();
  } catch {
    return undefined;
  }
}

/** What is looked at to find a file elsewhere: enough for a repository of code, little of one that holds data. */
const mostEntries = 20_000;
const mostTwins = 3;

/** Files below `root` of this name, in any case and with either ending of YAML, the nearest to the root first. Folders of tools are left out. */
function namesakes(root: string, name: string): string[] {
  const plain = (text: string) => text.toLowerCase().replace(/\.ya?ml$/, '');
  if (!/\.ya?ml$/i.test(name)) return [];
  const found: string[] = [];
  const folders = [root];
  let left = mostEntries;
  for (const folder of folders) {
    for (const entry of entriesOf(folder)) {
      if (--left < 0 || found.length === mostTwins) return found;
      if (entry.isDirectory() && !/^(?:\.|node_modules$)/.test(entry.name)) folders.push(join(folder, entry.name));
      if (entry.isFile() && /\.ya?ml$/i.test(entry.name) && plain(entry.name) === plain(name))
        found.push(sanitizeInline(repositoryPath(root, join(folder, entry.name))));
    }
  }
  return found;
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}
