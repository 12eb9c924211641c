/** The functions of expressions (sheet azure-pipelines-yaml 2.4 "Functions"). Arguments come as thunks: some functions are lazy. */
import {
  compare,
  equal,
  ExpressionError,
  kindOf,
  lower,
  ObjectValue,
  toBoolean,
  toJson,
  toNumber,
  toText,
  upper,
  type Value,
} from './values.js';

export type Thunk = () => Value;

export interface FunctionDefinition {
  min: number;
  max: number;
  call(args: readonly Thunk[]): Value;
}

type Eager = (...values: Value[]) => Value;

function eager(min: number, max: number, call: Eager): FunctionDefinition {
  return { min, max, call: (args) => call(...args.map((arg) => arg())) };
}

function fold(value: Value): string {
  return upper(toText(value));
}

function isIn(args: readonly Thunk[]): boolean {
  const left = args[0]?.() ?? null;
  return args.slice(1).some((arg) => equal(left, arg()));
}

function elements(value: Value): Value[] {
  if (Array.isArray(value)) return value;
  return value instanceof ObjectValue ? [...value.entries.values()] : [];
}

function coalesce(args: readonly Thunk[]): Value {
  for (const arg of args) {
    const value = arg();
    if (value !== null && value !== '') return value;
  }
  return null;
}

/** Texts that grow without bound (a format of a format of a format…) end here; the service has a memory limit. */
const longest = 10_000_000;

function bounded(length: number): void {
  if (length > longest) throw new ExpressionError('Maximum object size exceeded');
}

function join(separator: Value, value: Value): Value {
  if (!Array.isArray(value)) return toText(value);
  bounded(value.length * toText(separator).length);
  return value.map((item) => (kindOf(item) === 'Object' || kindOf(item) === 'Array' ? '' : toText(item))).join(toText(separator));
}

function split(value: Value, delimiter: Value): Value {
  const by = toText(delimiter);
  return by === '' ? [toText(value)] : toText(value).split(by);
}

function replace(value: Value, search: Value, by: Value): Value {
  const what = toText(search);
  if (what === '') return toText(value);
  const parts = toText(value).split(what);
  bounded(toText(value).length + parts.length * toText(by).length);
  return parts.join(toText(by));
}

function length(value: Value): Value {
  if (Array.isArray(value)) return value.length;
  return value instanceof ObjectValue ? value.entries.size : toText(value).length;
}

/**
 * `format`: `{0}` takes an argument, `{{` and `}}` are braces.
 * @throws ExpressionError for a malformed format string and for an index without an argument
 */
function format(pattern: string, args: readonly Value[]): string {
  let result = '';
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern[index] as string;
    if (character !== '{' && character !== '}') result += character;
    else if (pattern[index + 1] === character) {
      result += character;
      index++;
    } else {
      const match = character === '{' ? /^\{(\d{1,6})(?::([^{}]*))?\}/.exec(pattern.slice(index)) : null;
      if (!match) throw new ExpressionError(`The following format string is invalid: ${pattern}`);
      const position = Number(match[1]);
      if (position >= args.length) {
        throw new ExpressionError(`The following format string references more arguments than were supplied: ${pattern}`);
      }
      result += specified(args[position] ?? null, match[2]);
      bounded(result.length);
      index += match[0].length - 1;
    }
  }
  return result;
}

/** `{0:yyyyMMdd}` of a date such as `pipeline.startTime`. */
function specified(value: Value, specifier: string | undefined): string {
  if (specifier === undefined || specifier === '') return toText(value);
  const date = typeof value === 'string' ? new Date(value) : new Date(NaN);
  if (Number.isNaN(date.getTime())) {
    throw new ExpressionError(`The format specifiers '${specifier}' are not valid for objects of type '${kindOf(value)}'`);
  }
  const two = (number: number): string => String(number).padStart(2, '0');
  const parts: Record<string, string> = {
    yyyy: String(date.getUTCFullYear()),
    yy: two(date.getUTCFullYear() % 100),
    MM: two(date.getUTCMonth() + 1),
    dd: two(date.getUTCDate()),
    HH: two(date.getUTCHours()),
    mm: two(date.getUTCMinutes()),
    ss: two(date.getUTCSeconds()),
  };
  return specifier.replaceAll(/yyyy|yy|MM|dd|HH|mm|ss/g, (part) => parts[part] ?? part);
}

function json(value: Value): string {
  const text = toJson(value);
  bounded(text.length);
  return text;
}

/** Functions that every position knows, by lower-case name. */
export const generalFunctions: ReadonlyMap<string, FunctionDefinition> = new Map<string, FunctionDefinition>([
  ['and', { min: 2, max: Infinity, call: (args) => args.every((arg) => toBoolean(arg())) }],
  ['or', { min: 2, max: Infinity, call: (args) => args.some((arg) => toBoolean(arg())) }],
  ['not', eager(1, 1, (value = null) => !toBoolean(value))],
  ['xor', eager(2, 2, (left = null, right = null) => toBoolean(left) !== toBoolean(right))],
  ['eq', eager(2, 2, (left = null, right = null) => equal(left, right))],
  ['ne', eager(2, 2, (left = null, right = null) => !equal(left, right))],
  ['lt', eager(2, 2, (left = null, right = null) => compare(left, right) < 0)],
  ['le', eager(2, 2, (left = null, right = null) => compare(left, right) <= 0)],
  ['gt', eager(2, 2, (left = null, right = null) => compare(left, right) > 0)],
  ['ge', eager(2, 2, (left = null, right = null) => compare(left, right) >= 0)],
  ['in', { min: 2, max: Infinity, call: isIn }],
  ['notin', { min: 2, max: Infinity, call: (args) => !isIn(args) }],
  ['contains', eager(2, 2, (left = null, right = null) => fold(left).includes(fold(right)))],
  // the element takes the kind of the value that is looked for
  ['containsvalue', eager(2, 2, (left = null, right = null) => elements(left).some((item) => equal(right, item)))],
  ['startswith', eager(2, 2, (left = null, right = null) => fold(left).startsWith(fold(right)))],
  ['endswith', eager(2, 2, (left = null, right = null) => fold(left).endsWith(fold(right)))],
  ['coalesce', { min: 2, max: Infinity, call: coalesce }],
  ['iif', eager(3, 3, (condition = null, yes = null, no = null) => (toBoolean(condition) ? yes : no))],
  ['format', eager(1, Infinity, (pattern = null, ...args) => format(toText(pattern), args))],
  ['join', eager(2, 2, (separator = null, value = null) => join(separator, value))],
  ['split', eager(2, 2, (value = null, delimiter = null) => split(value, delimiter))],
  ['replace', eager(3, 3, (value = null, search = null, by = null) => replace(value, search, by))],
  ['lower', eager(1, 1, (value = null) => lower(toText(value)))],
  ['upper', eager(1, 1, (value = null) => upper(toText(value)))],
  ['trim', eager(1, 1, (value = null) => toText(value).trim())],
  ['length', eager(1, 1, (value = null) => length(value))],
  ['converttojson', eager(1, 1, (value = null) => json(value))],
]);

/** `counter(prefix, seed)`: only in root variables, at run time. */
export function counterFunction(count: (prefix: string, seed: number) => number): FunctionDefinition {
  return eager(1, 2, (prefix = null, seed = null) => count(toText(prefix), toNumber(seed)));
}
