/**
 * Foreign text (a job's log, an error message, a name) on its way into the agent's log. The agent executes any line that holds `##vso[`
 * anywhere, on both streams, found by a culture-sensitive IndexOf that skips ignorable characters (reference task-contract B.6, D.1).
 */

/** Longer lines are cut into pieces of this length: the live console cuts at 1,024 characters. */
export const longestLine = 1000;
/** A line this long is noise (a progress bar without end, a binary): the rest is dropped, and said so. */
const mostPerLine = 16_000;

/** Ends of line that some reader honours: LF, CR, VT, FF, NEL, LS, PS. */
const lineEnds = /\r\n|[\n\r\v\f\u0085\u2028\u2029]/;
/** ANSI: CSI, OSC (to BEL or ST), other escapes; also with the 8-bit introducers. */
const ansi =
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]?|(?:\u001b\]|\u009d)[^\u0007\u001b\u009c]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]?/g;
/** Control, format (zero width, direction, soft hyphen, BOM), surrogate halves, unassigned in practice, variation selectors, fillers. */
const ignorable = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Default_Ignorable_Code_Point}]/gu;

/**
 * Two hash signs before `vso` (the agent warns of it even where it is no command) or `[`, in any case, with or without what weighs nothing
 * between them: marks, blanks, and the letters that collation skips (tatweel, lajanyalan and their like).
 */
const nothing = '[\\p{M}\\s\u0640\u07fa\u0824\u0828\u180a\u1cd3\u1cf2\u1cf3\ufe73]*';
const command = new RegExp(`#${nothing}#${nothing}(?=\\[|v${nothing}s${nothing}o)`, 'giu');
/** Full-width and other twins of `#` and `[`. */
const twins = /[\uff03\ufe5f\uff3b\u301a\u27e6]/g;

/**
 * One line of foreign text as one or more safe lines of at most `longest` characters. Never holds a logging command, a control character or
 * an ANSI sequence.
 */
export function sanitizeLine(line: string, longest = longestLine): string[] {
  const cut = line.length > mostPerLine ? line.slice(0, mostPerLine) : line;
  let text = disarm(cut.replace(ansi, '').replace(/\t/g, '    ').replace(ignorable, ''));
  const pieces: string[] = [];
  while (text.length > longest) {
    const at = /[\ud800-\udbff]/.test(text[longest - 1] ?? '') ? longest - 1 : longest;
    pieces.push(text.slice(0, at));
    text = text.slice(at);
  }
  pieces.push(text);
  if (line.length > mostPerLine) pieces.push(omitted(line.length - mostPerLine));
  return pieces;
}

function omitted(count: number): string {
  return `[... ${count} more characters in this line]`;
}

/** Breaks every logging command and look-alike, and group marks, with an underscore: `##_vso[`. Leaves all other text as it is. */
export function disarm(text: string): string {
  if (!/[#\uff03\ufe5f]/.test(text)) return text;
  const folded = text
    .replace(twins, (twin) => (twin === '\uff03' || twin === '\ufe5f' ? '#' : '['))
    .normalize('NFKD')
    .replace(ignorable, '');
  const safe = folded.replace(command, '##_');
  return safe === folded ? text : safe.normalize('NFC');
}

/** Any text as safe lines. */
export function sanitize(text: string): string[] {
  return text.split(lineEnds).flatMap((line) => sanitizeLine(line));
}

/** One safe line: for messages and titles, where a line end becomes a space. */
export function sanitizeInline(text: string): string {
  return sanitize(text).join(' ').trim();
}

/** Cuts a stream of chunks into lines; a line that arrives in pieces is put together before it is judged. */
export class LineSplitter {
  #rest = '';
  /** Characters left out of the line under way, whose beginning has been given. */
  #left = 0;

  /** Complete lines of what has arrived so far. A carriage return overwrites, as on a terminal: only the last text of such a line counts. */
  push(chunk: string): string[] {
    const parts = (this.#rest + chunk).split(/\r\n|[\n\v\f\u0085\u2028\u2029]/);
    let rest = parts.pop() ?? '';
    const lines = parts.map((part) => this.#whole(overwritten(part)));
    // A progress bar without a line end still shows; a CR at the very end may be half of CR LF.
    const bar = rest.length > 1 ? rest.lastIndexOf('\r', rest.length - 2) : -1;
    if (bar >= 0) {
      const shown = overwritten(rest.slice(0, bar));
      if (shown !== '' || this.#left > 0) lines.push(this.#whole(shown));
      rest = rest.slice(bar + 1);
    }
    if (this.#left > 0) {
      const kept = rest.endsWith('\r') ? '\r' : '';
      this.#left += rest.length - kept.length;
      rest = kept;
    } else if (rest.length > mostPerLine * 4) {
      lines.push(rest.slice(0, mostPerLine));
      this.#left = rest.length - mostPerLine;
      rest = '';
    }
    this.#rest = rest;
    return lines;
  }

  /** What came after the last line end. */
  end(): string[] {
    const rest = overwritten(this.#rest);
    this.#rest = '';
    return rest === '' && this.#left === 0 ? [] : [this.#whole(rest)];
  }

  /** The line, or how much of it was left out. */
  #whole(line: string): string {
    if (this.#left === 0) return line;
    const left = this.#left + line.length;
    this.#left = 0;
    return omitted(left);
  }
}

function overwritten(line: string): string {
  if (!line.includes('\r')) return line;
  return line.split('\r').findLast((part) => part !== '') ?? '';
}
