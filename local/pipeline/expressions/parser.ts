/** Parser of expressions: functions, literals, names, members. No operators, no grouping. */
import { type Token, tokenize } from './lexer.js';
import { ExpressionError, type Version } from './values.js';

export type Expression =
  | { kind: 'literal'; value: string | number | boolean | Version }
  | { kind: 'name'; token: Token }
  | { kind: 'call'; token: Token; args: Expression[] }
  | { kind: 'member'; target: Expression; key: Expression | undefined };

/** Number of arguments of the functions that the parser knows. */
type Arity = ReadonlyMap<string, { min: number; max: number }>;

export interface Parsed {
  text: string;
  root: Expression;
  /** Names and functions in order of appearance; whether they exist is asked later (`resolve`). */
  words: { token: Token; call: boolean }[];
}

const maxDepth = 50;
const help = '. For more help, refer to https://go.microsoft.com/fwlink/?linkid=842996';

function problem(description: string, token: Token, text: string): ExpressionError {
  return new ExpressionError(
    `${description}: '${token.raw}'. Located at position ${token.position} within expression: '${text}'${help}`,
  );
}

/**
 * Parses the syntax; unknown names and functions are accepted, arguments of known functions are counted.
 * @throws ExpressionError in the service's words
 */
export function parse(text: string, arity: Arity): Parsed {
  const trimmed = text.trim();
  if (trimmed === '') throw new ExpressionError('An expression was expected');
  const parser = new Parser(trimmed, arity);
  return { text: trimmed, root: parser.all(), words: parser.words };
}

/** @throws ExpressionError for the first name or function that does not exist in this position */
export function resolve(parsed: Parsed, names: (name: string) => boolean, functions: (name: string) => boolean): void {
  for (const { token, call } of parsed.words) {
    if (!(call ? functions : names)(token.raw.toLowerCase())) throw problem('Unrecognized value', token, parsed.text);
  }
}

class Parser {
  readonly words: Parsed['words'] = [];
  private readonly tokens: Token[];
  private index = 0;

  constructor(
    private readonly text: string,
    private readonly arity: Arity,
  ) {
    this.tokens = tokenize(text);
  }

  all(): Expression {
    const root = this.expression(1);
    const left = this.peek();
    if (left) throw this.unexpected(left);
    return root;
  }

  private peek(): Token | undefined {
    return this.tokens[this.index];
  }

  private unexpected(token: Token): ExpressionError {
    return problem(token.kind === 'malformed' ? 'Unrecognized value' : 'Unexpected symbol', token, this.text);
  }

  private expression(depth: number): Expression {
    if (depth > maxDepth) throw new ExpressionError(`Exceeded max expression depth ${maxDepth}${help}`);
    const token = this.peek();
    if (!token) throw new ExpressionError('An expression was expected');
    this.index++;
    if (token.kind === 'literal') return { kind: 'literal', value: token.value as string };
    if (token.kind !== 'word') throw this.unexpected(token);
    if (this.peek()?.raw === '(') return this.members(this.call(token, depth), depth);
    if (this.arity.has(token.raw.toLowerCase())) throw problem("Expected '(' to follow a function", token, this.text);
    this.words.push({ token, call: false });
    return this.members({ kind: 'name', token }, depth);
  }

  private call(token: Token, depth: number): Expression {
    this.words.push({ token, call: true });
    const { min, max } = this.arity.get(token.raw.toLowerCase()) ?? { min: 0, max: Infinity };
    const args: Expression[] = [];
    this.index++;
    if (this.peek()?.raw === ')') return this.close(token, args, min, max);
    for (;;) {
      const first = this.peek();
      if (!first) throw problem('Unclosed function', token, this.text);
      args.push(this.expression(depth + 1));
      const after = this.peek();
      if (!after) throw problem('Unclosed function', token, this.text);
      if (after.raw === ')' && after.kind === 'punctuation') return this.close(token, args, min, max);
      if (after.raw !== ',' || after.kind !== 'punctuation' || args.length >= max) throw this.unexpected(after);
      this.index++;
    }
  }

  private close(token: Token, args: Expression[], min: number, max: number): Expression {
    if (args.length < min || args.length > max) throw this.unexpected(this.peek() as Token);
    this.index++;
    return { kind: 'call', token, args };
  }

  private members(start: Expression, depth: number): Expression {
    let target = start;
    for (;;) {
      const token = this.peek();
      if (token?.kind !== 'punctuation' || (token.raw !== '.' && token.raw !== '[')) return target;
      this.index++;
      target = { kind: 'member', target, key: token.raw === '.' ? this.property(token) : this.indexer(token, depth) };
    }
  }

  private property(dot: Token): Expression | undefined {
    const token = this.peek();
    if (!token) throw problem("Expected a property name to follow the dereference operator '.'", dot, this.text);
    if (token.kind !== 'wildcard' && (token.kind !== 'word' || !/^[A-Za-z_]\w*$/.test(token.raw))) {
      throw problem('Unexpected symbol', token, this.text);
    }
    this.index++;
    return token.kind === 'wildcard' ? undefined : { kind: 'literal', value: token.raw };
  }

  private indexer(bracket: Token, depth: number): Expression | undefined {
    if (!this.peek()) throw problem('Unclosed indexer', bracket, this.text);
    let key: Expression | undefined;
    if (this.peek()?.kind === 'wildcard') this.index++;
    else key = this.expression(depth + 1);
    const close = this.peek();
    if (!close) throw problem('Unclosed indexer', bracket, this.text);
    if (close.raw !== ']' || close.kind !== 'punctuation') throw this.unexpected(close);
    this.index++;
    return key;
  }
}
