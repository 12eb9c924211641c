/**
 * `.amlignore` / `.gitignore` of a folder's root, with the client's semantics: patterns of git, tested against the path of each file,
 * the last matching pattern decides, negation included, also below an ignored folder (reference azure-ml-rest, corrections).
 */
import { readFileSync } from 'node:fs';
import path from 'node:path';

interface Pattern {
  regex: RegExp;
  ignore: boolean;
  /** Leading folder names without wildcards: what an un-ignoring pattern may be below. */
  prefix: string[];
  anchored: boolean;
}

/** Turns path separators of this machine into `/`. */
export function toSlash(file: string, separator = path.sep): string {
  return separator === '/' ? file : file.replaceAll(separator, '/');
}

export class IgnoreRules {
  private readonly patterns: Pattern[];
  private readonly negations: Pattern[];

  constructor(lines: readonly string[]) {
    this.patterns = lines.map(compile).filter((pattern): pattern is Pattern => pattern !== undefined);
    this.negations = this.patterns.filter((pattern) => !pattern.ignore);
  }

  /** Whether a file (path below the root, `/` between folders) is left out. */
  ignores(relative: string): boolean {
    let ignored = false;
    for (const pattern of this.patterns) if (pattern.regex.test(relative)) ignored = pattern.ignore;
    return ignored;
  }

  /** Whether nothing below a folder can be in the snapshot, so that it need not be entered. */
  prunes(folder: string): boolean {
    // A pattern that ignores a folder ignores what is below it; only a negation can bring something back.
    if (!this.ignores(`${folder}/\u0000`)) return false;
    if (this.negations.length === 0) return true;
    const segments = folder.split('/');
    return !this.negations.some(({ anchored, prefix }) => {
      if (!anchored) return true;
      return prefix.every((name, index) => index >= segments.length || segments[index] === name);
    });
  }
}

/**
 * The rules of a folder: `.amlignore` in its root, else `.gitignore`, else none.
 * In: absolute folder; lines that always count besides (`__pycache__` for components).
 */
export function readIgnore(folder: string, extra: readonly string[] = []): IgnoreRules {
  for (const name of ['.amlignore', '.gitignore']) {
    try {
      const text = readFileSync(path.join(folder, name), 'utf8');
      return new IgnoreRules([...text.replace(/^\uFEFF/, '').split(/\r\n|\r|\n/), ...extra]);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'EISDIR') throw error;
    }
  }
  return new IgnoreRules(extra);
}

function compile(line: string): Pattern | undefined {
  let text = line.trim();
  if (text === '' || text === '/' || text.startsWith('#')) return undefined;
  const ignore = !text.startsWith('!');
  if (!ignore) text = text.slice(1);
  const segments = text.split('/').filter((segment, index, all) => !(segment === '**' && all[index - 1] === '**'));
  if (segments.length === 2 && segments[0] === '**' && segments[1] === '') {
    return { regex: /^.+\/.*$/, ignore, prefix: [], anchored: false };
  }
  const single = segments.length === 1 || (segments.length === 2 && segments[1] === '');
  if (segments[0] === '') segments.shift();
  else if (single && segments[0] !== '**') segments.unshift('**');
  if (segments.length === 0) return undefined;
  if (segments.length > 1 && segments[segments.length - 1] === '') segments[segments.length - 1] = '**';
  const last = segments.length - 1;
  let source = '^';
  let slash = false;
  segments.forEach((segment, index) => {
    if (segment === '**') {
      if (index === 0) source += index === last ? '.+' : '(?:.+/)?';
      else source += index === last ? '/.*' : '(?:/.+)?';
      slash = index !== 0 && index !== last;
      return;
    }
    source += `${slash ? '/' : ''}${segment === '*' ? '[^/]+' : glob(segment)}${index === last ? '(?:/.*)?' : ''}`;
    slash = true;
  });
  const fixed = segments.findIndex((segment) => /[*?[\\]/.test(segment));
  const prefix = segments.slice(0, fixed === -1 ? segments.length : fixed);
  return { regex: new RegExp(`${source}$`, 's'), ignore, prefix, anchored: segments[0] !== '**' };
}

const ESCAPE = /[.*+?^${}()|[\]\\/-]/g;

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
