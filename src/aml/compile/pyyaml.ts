/**
 * Writes YAML as PyYAML's `dump(data, sort_keys=True)` does: conda files are sent in that text, and hashes depend on it. The choices of quotes
 * and of places to break lines are those of its emitter: block style, width 80, ASCII only. Source: conformance/jobs (condaFile).
 */
import { byCodePoint, PyDate, PyFloat, pyFloat } from './python.js';
import { asText, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { resolveScalar } from './scalars.js';

const WIDTH = 80;
const STEP = 2;

/** In: a mapping or list of plain values. Out: block-style YAML with a final newline. */
export function dumpYaml(value: TreeObject | Tree[]): string {
  const emitter = new Emitter();
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]\n';
    emitter.sequence(value, 0, true);
  } else {
    if (Object.keys(value).length === 0) return '{}\n';
    emitter.mapping(value, 0, true);
  }
  return `${emitter.text}\n`;
}

class Emitter {
  text = '';
  private column = 0;

  private write(data: string): void {
    this.text += data;
    this.column += data.length;
  }

  private line(indent: number): void {
    this.text += `\n${' '.repeat(indent)}`;
    this.column = indent;
  }

  /** `inline`: the first key stands where the cursor is. */
  mapping(value: TreeObject, indent: number, inline: boolean): void {
    Object.keys(value)
      .sort(byCodePoint)
      .forEach((key, index) => {
        if (index > 0 || !inline) this.line(indent);
        this.scalar(key, indent + STEP, true);
        this.write(':');
        this.member(value[key], indent);
      });
  }

  private member(item: Tree, indent: number): void {
    if (isTreeObject(item) && Object.keys(item).length > 0) this.mapping(item, indent + STEP, false);
    // A list in a mapping is not indented further.
    else if (Array.isArray(item) && item.length > 0) this.sequence(item, indent, false);
    else this.value(item, indent + STEP);
  }

  sequence(items: readonly Tree[], indent: number, inline: boolean): void {
    items.forEach((item, index) => {
      if (index > 0 || !inline) this.line(indent);
      this.write('-');
      if (isTreeObject(item) && Object.keys(item).length > 0) {
        this.write(' ');
        this.mapping(item, indent + STEP, true);
      } else if (Array.isArray(item) && item.length > 0) {
        this.write(' ');
        this.sequence(item, indent + STEP, true);
      } else this.value(item, indent + STEP);
    });
  }

  private value(item: Tree, indent: number): void {
    this.write(' ');
    if (typeof item === 'string') this.scalar(item, indent, false);
    else if (item === null || item === undefined) this.write('null');
    else if (item instanceof PyFloat) this.write(yamlFloat(item.value));
    else if (item instanceof PyDate) this.write(item.toString());
    else if (Array.isArray(item)) this.write('[]');
    else if (isTreeObject(item)) this.write('{}');
    else this.write(asText(item));
  }

  private scalar(value: string, indent: number, key: boolean): void {
    const facts = analyse(value);
    const typed = resolveScalar(value).type !== 'str' || value === '<<' || value === '=';
    if (!typed && facts.plain && !(key && facts.multiline)) this.plain(value, indent, !key);
    else if (facts.single && !(key && facts.multiline)) this.singleQuoted(value, indent, !key);
    else this.doubleQuoted(value, indent, !key);
  }

  private plain(value: string, indent: number, split: boolean): void {
    for (const part of value.split(/( +)/)) {
      if (part === ' ' && split && this.column > WIDTH) this.line(indent);
      else this.write(part);
    }
  }

  private singleQuoted(value: string, indent: number, split: boolean): void {
    this.write("'");
    let at = 0;
    for (const part of value.split(/( +|\n+)/)) {
      const end = at + part.length;
      if (part === ' ' && split && this.column > WIDTH && at !== 0 && end !== value.length) this.line(indent);
      else if (part.startsWith('\n')) {
        this.text += `\n${part}`.slice(0, -1);
        this.line(indent);
      } else this.write(part.replaceAll("'", "''"));
      at = end;
    }
    this.write("'");
  }

  private doubleQuoted(value: string, indent: number, split: boolean): void {
    const chars = Array.from(value);
    this.write('"');
    let start = 0;
    for (let end = 0; end <= chars.length; end++) {
      const char = chars[end];
      if (char === undefined || mustEscape(char)) {
        if (start < end) this.write(chars.slice(start, end).join(''));
        start = end;
        if (char !== undefined) {
          this.write(escape(char));
          start = end + 1;
        }
      }
      const inside = end > 0 && end < chars.length - 1;
      if (inside && (char === ' ' || start >= end) && this.column + (end - start) > WIDTH && split) {
        this.write(`${chars.slice(start, end).join('')}\\`);
        if (start < end) start = end;
        this.line(indent);
        if (chars[start] === ' ') this.write('\\');
      }
    }
    this.write('"');
  }
}

interface Facts {
  plain: boolean;
  single: boolean;
  multiline: boolean;
}

/** What a text may be written as in block context. */
function analyse(value: string): Facts {
  const special = /[^\n\x20-\x7E]/.test(value);
  const multiline = value.includes('\n');
  const edge = /^[ \n]|[ \n]$/.test(value);
  const breakSpace = value.includes('\n ');
  const spaceBreak = value.includes(' \n');
  const indicators =
    /^(?:---|\.\.\.)/.test(value) ||
    /^[#,[\]{}&*!|>'"%@`]/.test(value) ||
    /^[?:-](?:\s|$)/.test(value) ||
    /.:(?:\s|$)/s.test(value) ||
    /\s#/.test(value);
  const quotable = !breakSpace && !spaceBreak && !special;
  return { plain: quotable && !edge && !multiline && !indicators, single: quotable, multiline };
}

const ESCAPES: Record<string, string> = {
  '\0': '0',
  '\x07': 'a',
  '\b': 'b',
  '\t': 't',
  '\n': 'n',
  '\x0B': 'v',
  '\f': 'f',
  '\r': 'r',
  '\x1B': 'e',
  '"': '"',
  '\\': '\\',
  '\x85': 'N',
  '\xA0': '_',
  '\u2028': 'L',
  '\u2029': 'P',
};

const mustEscape = (char: string): boolean => char === '"' || char === '\\' || !/^[\x20-\x7E]$/.test(char);

function escape(char: string): string {
  if (ESCAPES[char] !== undefined) return `\\${ESCAPES[char]}`;
  const code = char.codePointAt(0) ?? 0;
  const hex = code.toString(16).toUpperCase();
  if (code <= 0xff) return `\\x${hex.padStart(2, '0')}`;
  return code <= 0xffff ? `\\u${hex.padStart(4, '0')}` : `\\U${hex.padStart(8, '0')}`;
}

function yamlFloat(value: number): string {
  if (Number.isNaN(value)) return '.nan';
  if (!Number.isFinite(value)) return value > 0 ? '.inf' : '-.inf';
  const written = pyFloat(value);
  return !written.includes('.') && written.includes('e') ? written.replace('e', '.0e') : written;
}
