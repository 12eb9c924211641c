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

/** One traceback of a log. */
export interface Traceback {
  frames: Frame[];
  /** `ValueError: bad`; '' when the log ends before it. */
  exception: string;
  /** The exception's further lines: services put their codes there. */
  more: string[];
  /** Lines of text that the program wrote after it. */
  after: number;
  /** What it was raised `from`. */
  from?: Traceback | undefined;
}

const mostEntries = 20_000;
const skipped = new Set(['.git', 'node_modules', '__pycache__', '.venv', 'venv', '.amlops', '.tox', 'site-packages']);
const header = /^(.*?)(\+ Exception Group )?Traceback \(most recent call last\)/;
const exceptionPattern = /^[A-Za-z_][\w.]*(?:\([\w.]+\))?(:|$)/;
const framePattern = /^\s+File "([^"]+)", line (\d+)/;
const raisedFrom = 'The above exception was the direct cause of the following exception:';

/**
 * All tracebacks, in the log's order: plain ones, those of exception groups (`  | `) and of ranks that write into one log (`[rank0]: `), those of
 * notebooks and of rich, and syntax errors of the script itself, which have no header.
 */
function tracebacks(lines: readonly string[]): Traceback[] {
  const found: Traceback[] = [];
  lines.forEach((line, at) => {
    const start = header.exec(line);
    if (start) {
      const lead = start[1] ?? '';
      const rest = lines.slice(at + 1);
      const traceback = parseDrawn(lead, rest) ?? parse(bodyOf(rest, start[2] ? `${lead}| ` : lead));
      const before = lines.slice(0, at).findLast((one) => one.slice(lead.length).trim() !== '');
      if (before?.endsWith(raisedFrom)) traceback.from = found.at(-1);
      if (traceback.frames.length > 0 || traceback.exception) found.push(traceback);
      return;
    }
    const syntax = /^(.*?)(?:SyntaxError|IndentationError|TabError): /.exec(line);
    if (!syntax || /\w$/.test(syntax[1] ?? '')) return;
    const lead = syntax[1] ?? '';
    const from = lines
      .slice(0, at)
      .findLastIndex((one, n) => n >= at - 5 && one.startsWith(lead) && /^\s*File "/.test(one.slice(lead.length)));
    const traceback = from < 0 ? undefined : parse(lines.slice(from, at + 1).map((one) => one.slice(lead.length)));
    if (traceback && !found.some(({ exception }) => exception === traceback.exception)) found.push(traceback);
  });
  return found;
}

/** What belongs to one traceback: other ranks' lines in between do not. */
function bodyOf(rest: readonly string[], lead: string): string[] {
  if (lead === '' || !rest.slice(0, 50).some((line) => line.startsWith(lead))) return [...rest];
  return rest.filter((line) => line.startsWith(lead)).map((line) => line.slice(lead.length));
}

function parse(body: readonly string[]): Traceback {
  const frames: Frame[] = [];
  for (let at = 0; at < body.length; at++) {
    const line = body[at] ?? '';
    const frame = framePattern.exec(line);
    // The exception itself stands at the left: Python has not found the source then.
    const source = /^\s.*/.exec(body[at + 1] ?? '')?.[0].trim() ?? '';
    if (frame) frames.push({ file: frame[1] ?? '', line: Number(frame[2]), source });
    // Frames that follow belong to it: those of another process (Ray), or another line of text has come between.
    else if (/^\S/.test(line) && !framePattern.test(body[at + 1] ?? '')) return ending(frames, body, at);
  }
  return { frames, exception: '', more: [], after: 0 };
}

/** The exception in line `at`. */
function ending(frames: Frame[], body: readonly string[], at: number): Traceback {
  const line = body[at] ?? '';
  const more = body.slice(at + 1, at + 10);
  const end = more.findIndex((one) => header.test(one));
  return {
    frames,
    exception: exceptionPattern.test(line) ? line.trim() : '',
    more: end < 0 ? more : more.slice(0, end),
    after: body.slice(at + 1).filter((one) => one.trim() !== '').length,
  };
}

/** Places in the tracebacks of IPython, by its age, and of rich. */
const places = [/^File (\S.*?):(\d+)(?:, in .*)?$/, /^(\S*\.\w+):(\d+) in \S/, /^([~/\\]\S*|[A-Za-z]:\S*) in \S/];
/** The line itself stands behind an arrow, between its neighbours. */
const arrow = /^(?:-+>|❱) *(\d+) (.*)$/;

/** Those that IPython writes (notebooks, papermill: `ValueError      Traceback (most recent call last)`), and rich in a box. */
function parseDrawn(lead: string, rest: readonly string[]): Traceback | undefined {
  const [, name] = /^([A-Za-z_][\w.]*) {2,}$/.exec(lead) ?? [];
  const box = /[╭┌]─/.test(lead);
  if (name === undefined && !box) return undefined;
  const frames: Frame[] = [];
  let place: Frame | undefined;
  for (let at = 0; at < rest.length; at++) {
    const line = rest[at] ?? '';
    if (box ? /^\S/.test(line) && !/^[│╰└]/.test(line) : line === name || line.startsWith(`${name}: `))
      return ending(frames, rest, at);
    const text = box ? line.replace(/^│ ?|\s*│\s*$/g, '') : line;
    const named = places.map((pattern) => pattern.exec(text)).find((match) => match !== null);
    const source = arrow.exec(text);
    if (named) frames.push((place = { file: named[1] ?? '', line: Number(named[2] ?? 0), source: '' }));
    else if (/^(?:Cell |Input )?In ?\[|^</.test(text)) place = undefined;
    else if (source && place) Object.assign(place, { line: Number(source[1]), source: (source[2] ?? '').trim() });
  }
  return undefined;
}

/** Launchers report in an exception of their own that a process of theirs has failed. */
const ofLaunchers = /\b(?:ChildFailedError|CalledProcessError|ProcessExitedException|ProcessRaisedException)\b/;

/**
 * Those that may explain the end, the most telling first: the last, but where it was first raised (a worker's exception is raised again in the
 * process that waits for it), and a launcher's own after the others. None that the program has outlived by more than `most` lines.
 */
export function telling(lines: readonly string[], most = Number.POSITIVE_INFINITY): Traceback[] {
  const all = tracebacks(lines).filter(({ after }) => after <= most);
  const order = all
    .toReversed()
    .map((one) => all.find(({ exception }) => exception !== '' && exception === one.exception) ?? one);
  const own = order.filter(({ exception }) => !ofLaunchers.test(exception));
  return [...new Set([...own, ...order])];
}

/**
 * The innermost frame whose file is in the repository: same name, and the same text in that line. `folders[0]` is the repository's root;
 * files below the later folders (the job file's own) win over others of the same name. `most`: as in `telling`.
 */
export async function findPlace(
  lines: readonly string[],
  folders: readonly string[],
  most = Number.POSITIVE_INFINITY,
): Promise<Place | undefined> {
  const root = folders[0];
  if (!root) return undefined;
  const own = ({ file }: Frame) => !/site-packages|dist-packages|[/\\]lib[/\\]python\d|^</.test(file);
  const all = telling(lines, most).map(({ frames, exception }) => ({ frames: frames.filter(own), exception }));
  const names = new Set(all.flatMap(({ frames }) => frames.map(({ file }) => baseName(file))));
  if (names.size === 0) return undefined;
  const files = await filesNamed(root, names);
  const near = folders.at(-1) ?? root;
  for (const { frames, exception } of all) {
    for (const frame of frames.reverse()) {
      const candidates = files.filter((file) => baseName(file) === baseName(frame.file));
      candidates.sort((a, b) => score(b, frame.file, near) - score(a, frame.file, near));
      for (const file of candidates) {
        if (await holds(file, frame)) return { path: toSlash(relative(root, file)), line: frame.line, text: exception };
      }
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
  for (let folder = folders.shift(); folder !== undefined && seen < mostEntries; folder = folders.shift()) {
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
