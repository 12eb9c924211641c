/** A Python traceback's place in the repository. Paths in it are those of the machine that ran the step; the source line tells which file it is. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';
import { toSlash } from '../snapshot/ignore.js';

export interface Place {
  /** Below the repository's root, `/` between folders. */
  path: string;
  line: number;
  /** The exception's line, for the issue. */
  text: string;
}

interface Frame {
  file: string;
  line: number;
  source: string;
}

const most = 20_000;
const skipped = new Set(['.git', 'node_modules', '__pycache__', '.venv', 'venv', '.amlops', '.tox', 'site-packages']);

/** Frames of the last traceback, innermost last. */
export function frames(lines: readonly string[]): Frame[] {
  const start = lines.findLastIndex((line) => line.includes('Traceback (most recent call last)'));
  if (start < 0) return [];
  const found: Frame[] = [];
  for (let at = start + 1; at < lines.length; at++) {
    const match = /^\s*File "([^"]+)", line (\d+)/.exec(lines[at] ?? '');
    if (match) found.push({ file: match[1] ?? '', line: Number(match[2]), source: (lines[at + 1] ?? '').trim() });
  }
  return found;
}

/**
 * The innermost frame whose file is in the repository: same name, and the same text in that line. `folders[0]` is the repository's root;
 * files below the later folders (the job file's own) win over others of the same name.
 */
export async function findPlace(lines: readonly string[], folders: readonly string[]): Promise<Place | undefined> {
  const root = folders[0];
  if (!root) return undefined;
  const wanted = frames(lines).filter(({ file }) => !/site-packages|dist-packages|[/\\]lib[/\\]python\d|^</.test(file));
  if (wanted.length === 0) return undefined;
  const names = new Set(wanted.map(({ file }) => baseName(file)));
  const files = await filesNamed(root, names);
  const near = folders.at(-1) ?? root;
  const text = lines.findLast((line) => /^[A-Za-z_][\w.]*(Error|Exception)\b/.test(line)) ?? '';
  for (const frame of wanted.reverse()) {
    const candidates = files.filter((file) => baseName(file) === baseName(frame.file));
    candidates.sort((a, b) => score(b, frame.file, near) - score(a, frame.file, near));
    for (const file of candidates) {
      if (!(await holds(file, frame))) continue;
      return { path: toSlash(relative(root, file)), line: frame.line, text };
    }
  }
  return undefined;
}

function baseName(path: string): string {
  return path.split(/[/\\]/).at(-1) ?? path;
}

/** How many folder names agree from the end, and a little for lying near the job file. */
function score(file: string, remote: string, near: string): number {
  const a = file.split(/[/\\]/).reverse();
  const b = remote.split(/[/\\]/).reverse();
  let same = 0;
  while (same < a.length && same < b.length && a[same] === b[same]) same++;
  return same + (file.startsWith(near + sep) ? 0.5 : 0);
}

async function holds(file: string, frame: Frame): Promise<boolean> {
  if ((await stat(file)).size > 2_000_000) return false;
  const line = (await readFile(file, 'utf8')).split(/\r?\n/)[frame.line - 1];
  if (line === undefined) return false;
  // Without a source line in the traceback the name and the number have to do.
  return frame.source === '' || /^File "|^\^+$/.test(frame.source) || line.trim() === frame.source;
}

async function filesNamed(root: string, names: ReadonlySet<string>): Promise<string[]> {
  const found: string[] = [];
  const folders = [root];
  let seen = 0;
  for (let folder = folders.shift(); folder !== undefined && seen < most; folder = folders.shift()) {
    let entries;
    try {
      entries = await readdir(folder, { withFileTypes: true });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === undefined) throw error;
      continue;
    }
    for (const entry of entries) {
      seen++;
      if (entry.isDirectory() && !skipped.has(entry.name)) folders.push(join(folder, entry.name));
      else if (entry.isFile() && names.has(entry.name)) found.push(join(folder, entry.name));
    }
  }
  return found;
}
