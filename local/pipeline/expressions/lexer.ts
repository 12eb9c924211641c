/** Tokens of the expression language (sheet azure-pipelines-yaml 2.4 "Expression grammar" and the last section, 5). */
import { Version } from './values.js';

type TokenKind = 'punctuation' | 'wildcard' | 'literal' | 'word' | 'malformed';

export interface Token {
  kind: TokenKind;
  /** As written; messages repeat it. */
  raw: string;
  /** 1-based position within the expression. */
  position: number;
  value?: string | number | boolean | Version;
}

const boundary = /[[\](),.\s]/;

/** Splits an expression into tokens. Never throws: a malformed number or an unclosed string is a token of its own kind. */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  let index = 0;
  while (index < text.length) {
    const character = text[index] as string;
    if (/\s/.test(character)) {
      index++;
      continue;
    }
    const token = next(text, index, tokens.at(-1));
    tokens.push(token);
    index += token.raw.length;
  }
  return tokens;
}

function next(text: string, index: number, previous: Token | undefined): Token {
  const position = index + 1;
  const character = text[index] as string;
  if ('[](),'.includes(character)) return { kind: 'punctuation', raw: character, position };
  if (character === '*') return { kind: 'wildcard', raw: character, position };
  if (character === "'") return quoted(text, index);
  const startsValue = previous === undefined || previous.raw === '(' || previous.raw === '[' || previous.raw === ',';
  if (character === '.' && !startsValue) return { kind: 'punctuation', raw: character, position };
  if (character === '.' || character === '-' || (character >= '0' && character <= '9')) return number(text, index);
  let end = index + 1;
  while (end < text.length && !boundary.test(text[end] as string)) end++;
  const raw = text.slice(index, end);
  if (previous?.raw !== '.' && /^(true|false)$/i.test(raw)) {
    return { kind: 'literal', raw, position, value: raw.toLowerCase() === 'true' };
  }
  return { kind: 'word', raw, position };
}

function quoted(text: string, index: number): Token {
  let end = index + 1;
  let value = '';
  for (; end < text.length; end++) {
    if (text[end] === "'") {
      if (text[end + 1] !== "'") return { kind: 'literal', raw: text.slice(index, end + 1), position: index + 1, value };
      end++;
    }
    value += text[end];
  }
  return { kind: 'malformed', raw: text.slice(index), position: index + 1 };
}

function number(text: string, index: number): Token {
  let end = index + 1;
  while (end < text.length && (text[end] === '.' || !boundary.test(text[end] as string))) end++;
  const raw = text.slice(index, end);
  const position = index + 1;
  if (/^-?(\d+\.?\d*|\.\d+)$/.test(raw)) return { kind: 'literal', raw, position, value: Number(raw) };
  const version = raw.split('.').length > 2 ? Version.parse(raw) : undefined;
  return version ? { kind: 'literal', raw, position, value: version } : { kind: 'malformed', raw, position };
}
