/**
 * `.amlignore` / `.gitignore` of a folder's root, with the client's semantics: patterns of git, tested against the path of each file,
 * the last matching pattern decides, negation included, also below an ignored folder (reference azure-ml-rest, corrections).
 */
import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { Failure } from '../../azure/errors.js';

interface Pattern {
  regex: RegExp;
  ignore: boolean;
  /** Whether the pattern ends in any depth (`lib/`, `lib/**`): it matches what is below a folder, not the folder. */
  below: boolean;
  /** Leading folder names without wildcards: what an un-ignoring pattern may be below. */
  prefix: string[];
  anchored: boolean;
}

/** Turns path separators of this machine into `/`. */
export function toSlash(file: string, separator = path.sep): string {
  return separator === '/' ? file : file.replaceAll(separator, '/');
}

export class IgnoreRules {
  /** What is odd about the lines, for the user: lines that are no pattern and have no effect. */
  readonly warnings: string[] = [];
  private readonly patterns: Pattern[] = [];

  /** In: lines; the folder that paths are relative to (absent: the folder that is walked); name of the file, for warnings. */
  constructor(
    lines: readonly string[],
    readonly base?: string,
    file = 'the ignore file',
  ) {
    lines.forEach((line, index) => {
      const pattern = compile(line);
      if (typeof pattern === 'string') {
        const text = JSON.stringify(line.trim());
        this.warnings.push(`${file}:${index + 1}: ${text} is not a pattern (${pattern}); the line has no effect.`);
      } else if (pattern) this.patterns.push(pattern);
    });
  }

  /** Path of a file as the patterns see it: below the base, `..` where it is elsewhere, `.` for the base itself. */
  relative(file: string, base = this.base ?? ''): string {
    return toSlash(path.relative(base, file)) || '.';
  }

  /** Whether a file (path below the root, `/` between folders) is left out. */
  ignores(relative: string): boolean {
    let ignored = false;
    for (const pattern of this.patterns) if (pattern.regex.test(relative)) ignored = pattern.ignore;
    return ignored;
  }

  /** Whether nothing below a folder can be in the snapshot, so that it need not be entered. */
  prunes(folder: string): boolean {
    // A line break at the end may be matched or not, as in Python: such a folder is looked into.
    if (folder.includes('\n')) return false;
    const segments = folder.split('/');
    // From the last line up: a pattern that takes the whole folder decides, unless a later negation may bring something back.
    for (let index = this.patterns.length - 1; index >= 0; index--) {
      const pattern = this.patterns[index];
      if (pattern === undefined) continue;
      if (!pattern.ignore) {
        const reaches = ({ anchored, prefix }: Pattern): boolean =>
          !anchored || prefix.every((name, at) => at >= segments.length || segments[at] === name);
        if (reaches(pattern)) return false;
      } else if (pattern.regex.test(pattern.below ? `${folder}/` : folder)) return true;
    }
    return false;
  }
}

interface IgnoreOptions {
  /** Lines that always count besides (`__pycache__` for components). */
  extra?: readonly string[];
  /** What paths are relative to; absent: the folder where the ignore file really lies, a link followed. */
  base?: string;
}

/**
 * The rules of a folder: `.amlignore` in its root, else `.gitignore`, else none.
 * Errors: Failure when the file is not UTF-8; those of the file system.
 */
export function readIgnore(folder: string, options: IgnoreOptions = {}): IgnoreRules {
  for (const name of ['.amlignore', '.gitignore']) {
    try {
      return readIgnoreFile(path.join(folder, name), options);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR' && code !== 'ELOOP') throw error;
    }
  }
  return new IgnoreRules(options.extra ?? [], options.base);
}

/** The rules of one ignore file. */
export function readIgnoreFile(file: string, { extra = [], base }: IgnoreOptions = {}): IgnoreRules {
  let text: string;
  const bytes = readFileSync(file);
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    throw new Failure(`${file} is not UTF-8 text, so that what it leaves out cannot be told.`, {
      code: 'IgnoreFileInvalid',
      file,
      advice: 'Save the file as UTF-8.',
      cause: error,
    });
  }
  const lines = [...text.split(/\r\n|\r|\n/), ...extra];
  return new IgnoreRules(lines, base ?? path.dirname(realpathSync(file)), file);
}

/** What Python's `str.strip()` takes away; JavaScript's `trim` differs in U+FEFF and in controls. */
const BLANK =
  /^[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+|[\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+$/g;

/** A line as a pattern; undefined for none, a reason where it is no pattern. */
function compile(line: string): Pattern | string | undefined {
  let text = line.replace(BLANK, '');
  if (text === '' || text === '/' || text.startsWith('#')) return undefined;
  const ignore = !text.startsWith('!');
  if (!ignore) text = text.slice(1);
  const segments = text.split('/').filter((segment, index, all) => !(segment === '**' && all[index - 1] === '**'));
  if (segments.length === 2 && segments[0] === '**' && segments[1] === '') {
    return { regex: /^[^\n]+\/[^\n]*\n?$/u, ignore, below: true, prefix: [], anchored: false };
  }
  const single = segments.length === 1 || (segments.length === 2 && segments[1] === '');
  if (segments[0] === '') segments.shift();
  else if (single && segments[0] !== '**') segments.unshift('**');
  if (segments.length === 0) return 'nothing follows the !';
  if (segments.some((segment) => /(?:^|[^\\])(?:\\\\)*\\$/.test(segment))) return 'nothing follows the backslash';
  if (segments.length > 1 && segments[segments.length - 1] === '') segments[segments.length - 1] = '**';
  const last = segments.length - 1;
  let source = '^';
  let slash = false;
  segments.forEach((segment, index) => {
    if (segment === '**') {
      if (index === 0) source += index === last ? `${ANY}+` : `(?:${ANY}+/)?`;
      else source += index === last ? `/${ANY}*` : `(?:/${ANY}+)?`;
      slash = index !== 0 && index !== last;
      return;
    }
    source += `${slash ? '/' : ''}${segment === '*' ? '[^/]+' : glob(segment)}${index === last ? `(?:/${ANY}*)?` : ''}`;
    slash = true;
  });
  const fixed = segments.findIndex((segment) => /[*?[\\]/.test(segment));
  const prefix = segments.slice(0, fixed === -1 ? segments.length : fixed);
  try {
    // Python's `$` also stands before a line break at the end.
    const regex = new RegExp(`${source}\\n?$`, 'u');
    return { regex, ignore, below: last > 0 && segments[last] === '**', prefix, anchored: segments[0] !== '**' };
  } catch {
    return 'a range that runs backwards';
  }
}

/** Python's `.`. */
const ANY = '[^\\n]';
const ESCAPE = /[.*+?^${}()|[\]\\/]/g;

/** One segment of a pattern: `*` and `?` stop at `/`, `[…]` is a class, a backslash quotes the next character. */
function glob(segment: string): string {
  let source = '';
  for (let index = 0; index < segment.length; index++) {
    const char = segment[index] ?? '';
    if (char === '\\') {
      index++;
      source += (segment[index] ?? '\\').replace(ESCAPE, '\\$&');
    } else if (char === '*') source += '[^/]*';
    else if (char === '?') source += '[^/]';
    else if (char === '[') {
      let end = index + 1;
      if (segment[end] === '!') end++;
      if (segment[end] === ']') end++;
      while (end < segment.length && segment[end] !== ']') end++;
      if (end >= segment.length) source += '\\[';
      else {
        let body = segment.slice(index + 1, end);
        const negated = body.startsWith('!');
        if (negated) body = body.slice(1);
        source += `[${negated ? '^' : ''}${body.replaceAll('\\', '\\\\').replace(/^\^/, '\\^').replaceAll('[', '\\[').replace(/^\]/, '\\]')}]`;
        index = end;
      }
    } else source += char.replace(ESCAPE, '\\$&');
  }
  return source;
}
