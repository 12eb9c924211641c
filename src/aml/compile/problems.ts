/** Collects every problem of a file (and the files it names), so that a user sees them in one go. */
import path from 'node:path';
import { Failure } from '../../azure/errors.js';
import type { CompileWarning } from './types.js';

/** Where something stands. `line` and `column` are 1-based; overrides have `input` instead of a file. */
export interface Place {
  file: string;
  line: number;
  column: number;
  input?: string;
}

interface Problem {
  message: string;
  place: Place;
  /** What would be accepted there. */
  accepted?: string;
}

const SHOWN = 50;

export class Problems {
  readonly list: Problem[] = [];
  readonly warnings: CompileWarning[] = [];

  private readonly seen = new Set<string>();

  add(place: Place, message: string, accepted?: string): void {
    const key = `${place.file}\n${place.line}\n${place.column}\n${message}`;
    if (this.seen.has(key)) return;
    this.seen.add(key);
    this.list.push(accepted === undefined ? { message, place } : { message, place, accepted });
  }

  warn(place: Place, message: string): void {
    if (place.input !== undefined) {
      const said = `${place.input}: ${message}`;
      if (!this.warnings.some((other) => other.message === said)) this.warnings.push({ message: said });
      return;
    }
    if (this.warnings.some((other) => other.message === message && other.file === place.file && other.line === place.line))
      return;
    this.warnings.push({ message, file: place.file, line: place.line, column: place.column });
  }

  /** Throws one Failure that lists all problems, the first one's place in its details. */
  throwIfAny(file: string): void {
    const sorted = inReadingOrder(this.list, file);
    const first = sorted[0];
    if (!first) return;
    const count = sorted.length;
    const lines = sorted.slice(0, SHOWN).map(describe);
    if (count > SHOWN) lines.push(`… and ${count - SHOWN} more.`);
    throw new Failure(
      `${shown(file)} cannot be submitted: ${count === 1 ? 'one problem' : `${count} problems`}.\n${lines.join('\n')}`,
      {
        code: 'JobInvalid',
        advice: 'Correct the places named above and run again. Nothing was submitted.',
        ...(first.place.input === undefined
          ? { file: first.place.file, line: first.place.line, column: first.place.column }
          : { input: inputOf(first.place.input) }),
      },
    );
  }
}

/** Which input of the task an override or a job's input was given in. */
export const inputOf = (said: string): 'overrides' | 'jobInputs' => (said.startsWith('override ') ? 'overrides' : 'jobInputs');

/** The named file first, then the others as they were met; each from top to bottom. */
function inReadingOrder(list: readonly Problem[], file: string): Problem[] {
  const order = [...new Set([file, ...list.map(({ place }) => place.file)])];
  return [...list].sort(
    (a, b) =>
      order.indexOf(a.place.file) - order.indexOf(b.place.file) || a.place.line - b.place.line || a.place.column - b.place.column,
  );
}

function describe({ message, place, accepted }: Problem): string {
  const where = place.input === undefined ? `${shown(place.file)}:${place.line}:${place.column}` : place.input;
  return `  ${where}: ${message}${accepted === undefined ? '' : ` Accepted: ${accepted}.`}`;
}

/** Short name of a file for messages: relative to the process's folder when it is below it. */
export function shown(
  file: string,
  folder = process.cwd(),
  paths: Pick<typeof path, 'relative' | 'isAbsolute' | 'sep'> = path,
): string {
  const relative = paths.relative(folder, file);
  const outside = relative === '' || relative === '..' || relative.startsWith(`..${paths.sep}`) || paths.isAbsolute(relative);
  return outside ? file : relative;
}

/** `a`, `b` or `c`. */
export function oneOf(values: readonly string[]): string {
  if (values.length < 2) return values.join('');
  return `${values.slice(0, -1).join(', ')} or ${values[values.length - 1] ?? ''}`;
}

/** The candidate nearest to a mistyped word in any case, if one is within `most` edits (default: a third of the word). */
export function nearest(
  word: string,
  candidates: readonly string[],
  most = Math.max(1, Math.floor(word.length / 3)),
): string | undefined {
  let best: string | undefined;
  let least = most + 1;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase(), least);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Letters put in, left out, replaced, or two neighbours swapped (optimal string alignment). */
function editDistance(a: string, b: string, limit: number): number {
  if (Math.abs(a.length - b.length) >= limit) return limit;
  let above: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (above[j - 2] ?? 0) + 1 : Infinity;
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, swapped));
    }
    [above, row] = [row, next];
  }
  return row[b.length] ?? limit;
}
