/**
 * The client is Python: texts and hashes that it makes from values depend on Python's formatting (reference azure-ml-rest, corrections).
 * Values of a compiled body: string, number (a Python int), PyFloat, boolean, null, arrays and plain objects.
 */

import { randomUUID } from 'node:crypto';

/** A Python float: written `1.0` where an int is written `1`. */
export class PyFloat {
  constructor(readonly value: number) {}
  toJSON(): number | null {
    return Number.isFinite(this.value) ? this.value : null;
  }
}

/** A date of YAML, kept as it is written until it is written again. */
export class PyDate {
  constructor(readonly text: string) {}
  /** `str(value)`: a date, or date and time with the offset. */
  toString(): string {
    const parts =
      /^(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?(?:[ \t]*(Z|[-+]\d\d?(?::\d\d)?))?)?$/.exec(
        this.text,
      );
    if (!parts) return this.text;
    const [, year = '', month = '', day = '', hour, minute = '', second = '', fraction = '', zone] = parts;
    const two = (text: string): string => text.padStart(2, '0');
    const date = `${year}-${two(month)}-${two(day)}`;
    if (hour === undefined) return date;
    const micro = fraction.slice(0, 6).padEnd(6, '0');
    const [sign = '', offset = ''] = zone === undefined ? [] : zone === 'Z' ? ['+', '00:00'] : [zone.slice(0, 1), zone.slice(1)];
    const [hours = '', minutes = '00'] = offset.split(':');
    const shift = sign === '' ? '' : `${sign}${two(hours)}:${minutes}`;
    return `${date} ${two(hour)}:${minute}:${second}${Number(micro) === 0 ? '' : `.${micro}`}${shift}`;
  }
  toJSON(): string {
    return this.toString();
  }
}

export type Json = string | number | boolean | null | undefined | PyFloat | PyDate | Json[] | { [key: string]: Json };
export type JsonObject = { [key: string]: Json };

/** `repr(float)`: shortest digits, exponent below 1e-4 and from 1e16 on. */
export function pyFloat(value: number): string {
  if (Number.isNaN(value)) return 'nan';
  if (!Number.isFinite(value)) return value > 0 ? 'inf' : '-inf';
  if (value === 0) return Object.is(value, -0) ? '-0.0' : '0.0';
  const [mantissa = '0', power = '0'] = Math.abs(value).toExponential().split('e');
  const sign = value < 0 ? '-' : '';
  const exponent = Number(power);
  const digits = mantissa.replace('.', '');
  if (exponent < -4 || exponent >= 16) {
    const rest = digits.slice(1);
    const size = String(Math.abs(exponent)).padStart(2, '0');
    return `${sign}${digits[0] ?? '0'}${rest ? `.${rest}` : ''}e${exponent < 0 ? '-' : '+'}${size}`;
  }
  if (exponent < 0) return `${sign}0.${'0'.repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, '0');
  return `${sign}${whole}.${digits.slice(exponent + 1) || '0'}`;
}

/** `str(value)` as literal inputs are written. */
export function pyStr(value: Json): string {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  // Python writes every digit of a whole number.
  if (typeof value === 'number') return Number.isInteger(value) ? BigInt(value).toString() : String(value);
  if (value instanceof PyFloat) return pyFloat(value.value);
  if (value instanceof PyDate) return value.toString();
  return pyRepr(value);
}

function pyRepr(value: Json): string {
  if (typeof value === 'string') {
    const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
    const escaped = value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('\r', '\\r').replaceAll('\t', '\\t');
    return quote + (quote === "'" ? escaped.replaceAll("'", "\\'") : escaped) + quote;
  }
  if (Array.isArray(value)) return `[${value.map(pyRepr).join(', ')}]`;
  if (value !== null && typeof value === 'object' && !(value instanceof PyFloat || value instanceof PyDate)) {
    return `{${Object.entries(value)
      .map(([key, item]) => `${pyRepr(key)}: ${pyRepr(item)}`)
      .join(', ')}}`;
  }
  return pyStr(value);
}

/** Order of Python strings: by code points. */
export function byCodePoint(a: string, b: string): number {
  const left = Array.from(a);
  const right = Array.from(b);
  for (let index = 0; index < Math.min(left.length, right.length); index++) {
    const difference = (left[index]?.codePointAt(0) ?? 0) - (right[index]?.codePointAt(0) ?? 0);
    if (difference !== 0) return difference;
  }
  return left.length - right.length;
}

const SHORT: Record<string, string> = {
  '"': '\\"',
  '\\': '\\\\',
  '\b': '\\b',
  '\f': '\\f',
  '\n': '\\n',
  '\r': '\\r',
  '\t': '\\t',
};

function pyJsonString(text: string): string {
  return `"${text.replace(
    /["\\\u0000-\u001f]|[^\u0000-\u007f]/g,
    (char) => SHORT[char] ?? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )}"`;
}

/** `json.dumps(value, sort_keys=…)` with Python's defaults; undefined members are absent. */
export function pyJson(value: Json, sortKeys = true): string {
  if (value === null || value === undefined) return 'null';
  if (typeof value === 'string') return pyJsonString(value);
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'number') return String(value);
  if (value instanceof PyFloat) {
    const text = pyFloat(value.value);
    return text === 'nan' ? 'NaN' : text === 'inf' ? 'Infinity' : text === '-inf' ? '-Infinity' : text;
  }
  if (value instanceof PyDate) return pyJsonString(value.toString());
  if (Array.isArray(value)) return `[${value.map((item) => pyJson(item, sortKeys)).join(', ')}]`;
  const keys = Object.keys(value).filter((key) => value[key] !== undefined);
  if (sortKeys) keys.sort(byCodePoint);
  return `{${keys.map((key) => `${pyJsonString(key)}: ${pyJson(value[key], sortKeys)}`).join(', ')}}`;
}

/** `separator.join(text)` on Python strings: the separator between the characters. */
export function pyJoin(separator: string, text: string): string {
  return Array.from(text).join(separator);
}

/** Drops undefined members, and turns PyFloat into a number: what is sent. `floats`: whole ones stay, for `bodyText`. */
export function plain(value: Json, floats = false): unknown {
  if (floats && value instanceof PyFloat && Number.isInteger(value.value)) return value;
  if (value instanceof PyFloat || value instanceof PyDate) return value.toJSON();
  if (Array.isArray(value)) return value.map((item) => plain(item, floats));
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value)
        .filter(([, item]) => item !== undefined)
        .map(([key, item]) => [key, plain(item, floats)]),
    );
  }
  return value;
}

/** JSON as the client writes it: a float that is whole keeps its `.0`, so that what is compared byte by byte is the same. */
export function bodyText(value: unknown, indent?: number): string {
  // What no text of a user's can be.
  const mark = randomUUID();
  const marked = JSON.stringify(
    value,
    function (this: Record<string, unknown>, key: string, item: unknown) {
      const before = this[key];
      return before instanceof PyFloat && Number.isInteger(before.value) ? mark + pyFloat(before.value) : item;
    },
    indent,
  );
  return marked.replace(new RegExp(`"${mark}([-+.e\\d]+)"`, 'g'), '$1');
}

export function isObject(value: unknown): value is JsonObject {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof PyFloat || value instanceof PyDate)
  );
}
