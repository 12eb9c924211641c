/** YAML text that PyYAML reads and the parser here does not, or the other way round: bounded, made readable, refused. */
import { CST, Lexer, LineCounter, parseDocument, visit } from 'yaml';
import type { Document, YAMLParseError } from 'yaml';

export const MAX_DEPTH = 200;

/**
 * The parser is recursive, and can end the process on thousands of levels: depth is bounded before it starts. Counts open brackets and steps of
 * indentation; text in block scalars counts too, which never comes near the bound. Out: the line where it is reached.
 */
export function tooDeep(text: string): number | undefined {
  const indents: number[] = [];
  let open = 0;
  let line = 0;
  for (const content of text.split('\n')) {
    line++;
    const lead = /^[ ]*(?:- +)*/.exec(content)?.[0] ?? '';
    if (lead.length < content.length) {
      while (indents.length > 0 && (indents[indents.length - 1] ?? 0) >= lead.length) indents.pop();
      indents.push(lead.length);
    }
    for (const char of content) {
      if (char === '[' || char === '{') open++;
      else if ((char === ']' || char === '}') && open > 0) open--;
      if (open > MAX_DEPTH) return line;
    }
    if (indents.length > MAX_DEPTH || lead.split('-').length > MAX_DEPTH) return line;
  }
  return undefined;
}

type Parsed = Document.Parsed;
const OPTIONS = { schema: 'failsafe', prettyErrors: false, uniqueKeys: false } as const;

/** Where the quote or the outermost bracket was opened that an error says is not closed. */
export function openingOf({ message, pos }: YAMLParseError, document: Parsed): number | undefined {
  const bracket = UNINDENTED_FLOW.test(message);
  if (!bracket && !UNINDENTED_QUOTE.test(message)) return undefined;
  let at: number | undefined;
  visit(document, {
    Scalar: (_key, { type, range }) => {
      if (!bracket && range && (type === 'QUOTE_DOUBLE' || type === 'QUOTE_SINGLE') && range[1] >= pos[0]) at ??= range[0];
    },
    Collection: (_key, { flow, range }) => {
      if (bracket && flow && range && range[0] < pos[0] && range[1] >= pos[0]) at ??= range[0];
    },
  });
  return at;
}

/** What the parser found, in words for who wrote the file. */
export function wordsOf({ code, message }: YAMLParseError): string {
  if (UNINDENTED_FLOW.test(message)) return 'Not valid YAML: the bracket that opens here is not closed.';
  if (code === 'BLOCK_AS_IMPLICIT_KEY')
    return 'Not valid YAML: a key follows where the value is complete already (is the next line indented too deep, or a : not in quotes?).';
  if (code === 'MULTIPLE_DOCS') return 'A second document begins here (---); a file holds one.';
  return `Not valid YAML: ${message.replace(/\s+/g, ' ').replace(/\.$/, '')}.`;
}

const UNINDENTED_FLOW = /in block collection must be sufficiently indented/;
const UNINDENTED_QUOTE = /^Missing closing ["']quote/;

/**
 * PyYAML also takes quoted text, lists and mappings in brackets whose further lines are not indented past their key; the parser here does
 * not. White space at the start of such a line means nothing, so it is indented and read again. Lines keep their numbers. Out: the document,
 * with the errors that are left, and the text that it was read from.
 */
export function parseLeniently(text: string, lines: LineCounter): { document: Parsed; read: string } {
  let read = text;
  let document = parseDocument(read, { ...OPTIONS, lineCounter: lines });
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const error = document.errors.find(({ message }) => UNINDENTED_QUOTE.test(message) || UNINDENTED_FLOW.test(message));
    if (!error) break;
    const from = openingOf(error, document);
    const padded = from === undefined ? undefined : padLines(read, from);
    if (padded === undefined) break;
    read = padded;
    const counter = new LineCounter();
    document = parseDocument(read, { ...OPTIONS, lineCounter: counter });
    // What was put in front of a line does not count in its columns.
    lines.lineStarts = counter.lineStarts.map((start) => (padded.startsWith(PAD, start) ? start + PAD.length : start));
  }
  return { document, read };
}
const MAX_ROUNDS = 500;
const PAD = ' '.repeat(80);

/** Indents the lines from the quote or bracket at `from` up to the one that closes it; undefined when there is none or nothing to do. */
function padLines(text: string, from: number): string | undefined {
  const end = closing(text, from);
  const start = text.indexOf('\n', from);
  if (end === undefined || start < 0 || start > end) return undefined;
  const inside = text.slice(start, end);
  const padded = inside.replace(/\n(?! {80}|\n)/g, `\n${PAD}`);
  return padded === inside ? undefined : text.slice(0, start) + padded + text.slice(end);
}

/** Position of the quote or bracket that closes the one at `from`. */
function closing(text: string, from: number): number | undefined {
  let depth = 0;
  for (let at = from; at < text.length; at++) {
    const char = text[at] ?? '';
    const before = at === from ? ' ' : (text[at - 1] ?? ' ');
    if ((char === '"' || char === "'") && /[\s,:[{]/.test(before)) {
      const end = closingQuote(text, at, char);
      if (end === undefined) return undefined;
      at = end;
    } else if (char === '#' && /\s/.test(before)) {
      at = text.indexOf('\n', at);
      if (at < 0) return undefined;
    } else if (char === '[' || char === '{') depth++;
    else if (char === ']' || char === '}') depth--;
    if (depth === 0) return at;
  }
  return undefined;
}

function closingQuote(text: string, from: number, quote: string): number | undefined {
  for (let at = from + 1; at < text.length; at++) {
    if (quote === '"' && text[at] === '\\') at++;
    else if (text[at] === quote) {
      if (quote === "'" && text[at + 1] === "'") at++;
      else return at;
    }
  }
  return undefined;
}

/** A tab that is neither in quotes, a block of text nor a comment: PyYAML refuses it. Out: its position. */
export function strayTab(text: string): number | undefined {
  if (!text.includes('\t')) return undefined;
  let offset = 0;
  let block = false;
  let scalar = false;
  for (const lexeme of new Lexer().lex(text)) {
    const type = scalar ? 'scalar' : CST.tokenType(lexeme);
    if (scalar ? !block : type === 'space' || type === 'newline') {
      const tab = lexeme.indexOf('\t');
      if (tab >= 0) return offset + tab;
    }
    if (scalar) block = false;
    if (type === 'block-scalar-header') block = true;
    scalar = !scalar && lexeme === CST.SCALAR;
    if (!ZERO_WIDTH.includes(lexeme)) offset += lexeme.length;
  }
  return undefined;
}
/** Marks of the lexer that stand for no text. */
const ZERO_WIDTH: readonly string[] = [CST.DOCUMENT, CST.FLOW_END, CST.SCALAR];
