/** Writes YAML as PyYAML's `dump(data, sort_keys=True)` does: conda files are sent in that text, and hashes depend on it. */
import { byCodePoint, PyFloat, pyFloat } from './python.js';
import { isTreeObject, type Tree } from './pending.js';
import { resolveScalar } from './scalars.js';

const WIDTH = 80;

/** In: plain values. Out: block-style YAML with a final newline. */
export function dumpYaml(value: Tree): string {
  if (isTreeObject(value) && Object.keys(value).length > 0) return mapping(value, 0);
  if (Array.isArray(value) && value.length > 0) return sequence(value, 0);
  const text = inline(value, 0, false, 0);
  return typeof value === 'string' && /^['"]/.test(text) ? `${text}\n` : `${text}\n${isCollection(value) ? '' : '...\n'}`;
}

function isCollection(value: Tree): boolean {
  return Array.isArray(value) || isTreeObject(value);
}

function mapping(value: { [key: string]: Tree }, indent: number): string {
  const pad = ' '.repeat(indent);
  return Object.keys(value)
    .sort(byCodePoint)
    .map((key) => {
      const name = inline(key, indent, true, indent);
      const item = value[key];
      if (isTreeObject(item) && Object.keys(item).length > 0) return `${pad}${name}:\n${mapping(item, indent + 2)}`;
      // Lists in a mapping are not indented further.
      if (Array.isArray(item) && item.length > 0) return `${pad}${name}:\n${sequence(item, indent)}`;
      return `${pad}${name}: ${inline(item, indent + 2, false, indent + name.length + 1)}\n`;
    })
    .join('');
}

function sequence(items: readonly Tree[], indent: number): string {
  const pad = ' '.repeat(indent);
  return items
    .map((item) => {
      if (isTreeObject(item) && Object.keys(item).length > 0) return `${pad}- ${mapping(item, indent + 2).slice(indent + 2)}`;
      if (Array.isArray(item) && item.length > 0) return `${pad}- ${sequence(item, indent + 2).slice(indent + 2)}`;
      return `${pad}- ${inline(item, indent + 2, false, indent + 1)}\n`;
    })
    .join('');
}

function inline(value: Tree, indent: number, key: boolean, column: number): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'number') return String(value);
  if (value instanceof PyFloat) return yamlFloat(value.value);
  if (Array.isArray(value)) return '[]';
  if (typeof value !== 'string') return '{}';
  return text(value, indent, key, column);
}

function yamlFloat(value: number): string {
  if (Number.isNaN(value)) return '.nan';
  if (!Number.isFinite(value)) return value > 0 ? '.inf' : '-.inf';
  const written = pyFloat(value);
  return !written.includes('.') && written.includes('e') ? written.replace('e', '.0e') : written;
}

/** Chooses plain, single-quoted or double-quoted, as the emitter's analysis does. */
function text(value: string, indent: number, key: boolean, column: number): string {
  if (value === '') return "''";
  const special = hasSpecial(value);
  const multiline = /[\n\u0085\u2028\u2029]/.test(value);
  const typed = resolveScalar(value).type !== 'str' || value === '<<' || value === '=';
  if (!special && !multiline && !typed && plainAllowed(value)) return key ? value : fold(value, indent, column, (word) => word);
  if (!special && !(key && multiline) && singleAllowed(value)) {
    return multiline
      ? singleMultiline(value, indent, column)
      : `'${fold(value.replaceAll("'", "''"), indent, column + 1, (word) => word)}'`;
  }
  return doubleQuoted(value, indent, column, key);
}

function hasSpecial(value: string): boolean {
  if (/[^\n\x20-\x7E\x85\xA0-\uD7FF\uE000-\uFFFD]|\uFEFF/.test(value.replace(/[\uD800-\uDBFF][\uDC00-\uDFFF]/g, ''))) return true;
  // allow_unicode is off: anything beyond ASCII is escaped.
  return /[^\n\x20-\x7E]/.test(value) || (/\n /.test(value) === true && false);
}

function plainAllowed(value: string): boolean {
  if (/^[ \n]|[ \n]$/.test(value)) return false;
  if (/^(?:---|\.\.\.)/.test(value)) return false;
  if (/^[#,[\]{}&*!|>'"%@`]/.test(value)) return false;
  if (/^[?:](?:$|\s)|^-(?:$|\s)/.test(value)) return false;
  // In block context `: ` and ` #` end a plain scalar; so does a colon at the end.
  return !/:(?:\s|$)/.test(value) && !/\s#/.test(value);
}

function singleAllowed(value: string): boolean {
  return !/ \n/.test(value) && !/[ \n]$/.test(value.replace(/'/g, '')) === true
    ? !/ $/.test(value) || !/\n/.test(value)
    : !/ \n/.test(value);
}

/** Breaks at single spaces once the line is past the width. */
function fold(value: string, indent: number, column: number, write: (word: string) => string): string {
  let line = column + 1;
  let result = '';
  const parts = value.split(/( +)/);
  parts.forEach((part, index) => {
    if (!/^ +$/.test(part)) {
      result += write(part);
      line += part.length;
      return;
    }
    const inside = index > 0 && index < parts.length - 1 && parts[index - 1] !== '' && parts[index + 1] !== '';
    if (part.length === 1 && inside && line > WIDTH) {
      result += `\n${' '.repeat(indent)}`;
      line = indent;
    } else {
      result += part;
      line += part.length;
    }
  });
  return result;
}

function singleMultiline(value: string, indent: number, column: number): string {
  const pad = ' '.repeat(indent);
  const lines = value.replaceAll("'", "''").split('\n');
  let result = lines[0] === undefined ? '' : fold(lines[0], indent, column + 1, (word) => word);
  for (let index = 1; index < lines.length; index++) {
    const line = lines[index] ?? '';
    const previousEmpty = (lines[index - 1] ?? '') === '' && index > 1;
    result += previousEmpty ? '\n' : '\n\n';
    if (line !== '') result += pad + fold(line, indent, indent, (word) => word);
  }
  return `'${result.replace(/\n\n$/, `\n\n${pad}`)}'`;
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

function doubleQuoted(value: string, indent: number, start: number, key: boolean): string {
  let result = '"';
  let column = start + 2;
  const chars = Array.from(value);
  chars.forEach((char, index) => {
    const code = char.codePointAt(0) ?? 0;
    let out = char;
    if (ESCAPES[char] !== undefined) out = `\\${ESCAPES[char]}`;
    else if (code < 0x20 || code > 0x7e) {
      const hex = code.toString(16).toUpperCase();
      out =
        code <= 0xff
          ? `\\x${hex.padStart(2, '0')}`
          : code <= 0xffff
            ? `\\u${hex.padStart(4, '0')}`
            : `\\U${hex.padStart(8, '0')}`;
    }
    // Folding happens at a space that is neither first nor last, once past the width.
    if (!key && char === ' ' && index > 0 && index < chars.length - 1 && column > WIDTH) {
      result += `\\\n${' '.repeat(indent)}`;
      column = indent;
      if (chars[index] === ' ') {
        result += '\\';
        column += 1;
      }
    }
    result += out;
    column += out.length;
  });
  return `${result}"`;
}
