/** Values of expressions and their conversions (sheet azure-pipelines-yaml 2.4 "Coercion"). */

/** An object: authored order is kept (also of integer-like keys), and identity decides equality. */
export class ObjectValue {
  readonly entries: Map<string, Value>;
  /** Top-level `variables` and `parameters` fold case; objects of parameters do not. */
  readonly foldCase: boolean;
  /** `parameters` refuses a name that it does not know; everything else answers Null. */
  readonly strict: boolean;
  private folded: Map<string, string> | undefined;

  constructor(entries: Iterable<readonly [string, Value]> = [], options: { foldCase?: boolean; strict?: boolean } = {}) {
    this.entries = new Map(entries);
    this.foldCase = options.foldCase ?? false;
    this.strict = options.strict ?? false;
  }

  get(key: string): Value {
    if (this.entries.has(key)) return this.entries.get(key) as Value;
    if (this.foldCase) {
      this.folded ??= new Map([...this.entries.keys()].map((name) => [name.toLowerCase(), name]));
      const name = this.folded.get(key.toLowerCase());
      if (name !== undefined) return this.entries.get(name) as Value;
    }
    if (this.strict) throw new ExpressionError(`Key not found '${key}'`);
    return null;
  }
}

export class Version {
  /** Two to four segments. */
  constructor(readonly segments: readonly number[]) {}
  static parse(text: string): Version | undefined {
    const parts = text.trim().split('.');
    if (parts.length < 2 || parts.length > 4 || !parts.every((part) => /^\d{1,10}$/.test(part) && Number(part) <= 2147483647))
      return;
    return new Version(parts.map(Number));
  }
  compare(other: Version): number {
    for (let i = 0; i < 4; i++) {
      const difference = (this.segments[i] ?? -1) - (other.segments[i] ?? -1);
      if (difference !== 0) return Math.sign(difference);
    }
    return 0;
  }
  toString(): string {
    return this.segments.join('.');
  }
}

/** The result of `.*`: an array whose members are looked up element by element. */
export class FilteredArray extends Array<Value> {}

export type Value = null | boolean | number | string | Version | ObjectValue | Value[];

type Kind = 'Null' | 'Boolean' | 'Number' | 'String' | 'Version' | 'Object' | 'Array';

/** An expression that cannot be parsed or evaluated; `message` is the service's sentence without a place. */
export class ExpressionError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'ExpressionError';
  }
}

export function kindOf(value: Value): Kind {
  if (value === null) return 'Null';
  if (typeof value === 'boolean') return 'Boolean';
  if (typeof value === 'number') return 'Number';
  if (typeof value === 'string') return 'String';
  if (value instanceof Version) return 'Version';
  return Array.isArray(value) ? 'Array' : 'Object';
}

/** Invariant text of a double, never with an exponent. */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity';
  if (Object.is(value, -0)) return '0';
  const text = Number(value.toPrecision(15)).toString();
  if (!/e/i.test(text)) return text;
  const [mantissa = '0', exponent = '0'] = text.toLowerCase().split('e');
  if (Number(exponent) > 0) return BigInt(value).toString();
  const negative = mantissa.startsWith('-');
  const digits = mantissa.replace('-', '').replace('.', '');
  const text15 = `0.${'0'.repeat(-Number(exponent) - 1)}${digits}`.slice(0, 17).replace(/\.?0+$/, '');
  return negative && text15 !== '0' ? `-${text15}` : text15;
}

function failed(value: Value, to: Kind): ExpressionError {
  const kind = kindOf(value);
  const shown =
    kind === 'String'
      ? `'${(value as string).replaceAll("'", "''")}'`
      : kind === 'Object' || kind === 'Array' || kind === 'Null'
        ? kind
        : toText(value);
  return new ExpressionError(`Unable to convert from ${kind} to ${to}. Value: ${shown}`);
}

/** Truthiness: '', 0, Null and false are false; arrays and objects are true even when empty. */
export function toBoolean(value: Value): boolean {
  return value !== null && value !== '' && value !== 0 && value !== false;
}

/** @throws ExpressionError for arrays and objects */
export function toText(value: Value): string {
  if (value === null) return '';
  if (typeof value === 'string') return value;
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return formatNumber(value);
  if (value instanceof Version) return value.toString();
  throw failed(value, 'String');
}

/** @returns undefined when there is no conversion */
export function tryNumber(value: Value): number | undefined {
  if (value === null) return 0;
  if (typeof value === 'number') return value;
  if (typeof value === 'boolean') return value ? 1 : 0;
  if (typeof value !== 'string') return undefined;
  const text = value.trim();
  if (text === '') return 0;
  // decimal point, leading sign and thousands separators; no exponent, no hexadecimal
  if (!/^[+-]?(\d[\d,]*\.?\d*|\.\d+)$/.test(text)) return undefined;
  return Number(text.replaceAll(',', ''));
}

export function toNumber(value: Value): number {
  const number = tryNumber(value);
  if (number === undefined) throw failed(value, 'Number');
  return number;
}

function tryVersion(value: Value): Version | undefined {
  if (value instanceof Version) return value;
  if (typeof value === 'string') return Version.parse(value);
  // a number converts when it has a decimal part: 1.2 is version 1.2
  if (typeof value === 'number' && value > 0 && !Number.isInteger(value)) return Version.parse(formatNumber(value));
  return undefined;
}

/** Upper or lower case character by character, as .NET's invariant culture does: `ß` stays `ß`. */
function mapCase(text: string, convert: (character: string) => string): string {
  return Array.from(text, (character) => {
    const mapped = convert(character);
    return mapped.length === character.length ? mapped : character;
  }).join('');
}

export function upper(text: string): string {
  return mapCase(text, (character) => character.toUpperCase());
}

export function lower(text: string): string {
  return mapCase(text, (character) => character.toLowerCase());
}

/** `eq`: the right side takes the kind of the left; what cannot be converted is not equal. */
export function equal(left: Value, right: Value): boolean {
  switch (kindOf(left)) {
    case 'Null':
      return right === null || right === '';
    case 'Boolean':
      return left === toBoolean(right);
    case 'Number':
      return left === tryNumber(right);
    case 'String':
      return kindOf(right) !== 'Object' && kindOf(right) !== 'Array' && upper(left as string) === upper(toText(right));
    case 'Version': {
      const other = tryVersion(right);
      return other !== undefined && (left as Version).compare(other) === 0;
    }
    default:
      return left === right;
  }
}

/** `lt`, `gt`, …: like `equal`, but a failing conversion raises. @returns negative, zero or positive */
export function compare(left: Value, right: Value): number {
  switch (kindOf(left)) {
    case 'Boolean':
      return Number(left) - Number(toBoolean(right));
    case 'String': {
      const a = upper(left as string);
      const b = upper(toText(right));
      return a < b ? -1 : a > b ? 1 : 0;
    }
    case 'Version': {
      const other = tryVersion(right);
      if (other === undefined) throw failed(right, 'Version');
      return (left as Version).compare(other);
    }
    default:
      return toNumber(left) - toNumber(right);
  }
}

/** Two-space JSON as `convertToJson` writes it. */
export function toJson(value: Value, indent = ''): string {
  if (value === null) return 'null';
  if (typeof value === 'boolean') return value ? 'true' : 'false';
  if (typeof value === 'number') return formatNumber(value);
  // line separators are escaped as well, as the service's serializer does
  if (typeof value === 'string')
    return JSON.stringify(value).replace(/[\u0085\u2028\u2029]/g, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
  if (value instanceof Version) return JSON.stringify(value.toString());
  const inner = `${indent}  `;
  if (Array.isArray(value)) {
    if (value.length === 0) return '[]';
    return `[\n${value.map((item) => inner + toJson(item, inner)).join(',\n')}\n${indent}]`;
  }
  if (value.entries.size === 0) return '{}';
  const pairs = [...value.entries].map(([key, item]) => `${inner}${JSON.stringify(key)}: ${toJson(item, inner)}`);
  return `{\n${pairs.join(',\n')}\n${indent}}`;
}

/** Plain JSON data or strings → values. */
export function fromData(data: unknown): Value {
  if (data === null || data === undefined) return null;
  if (Array.isArray(data)) return data.map(fromData);
  if (typeof data === 'object') return new ObjectValue(Object.entries(data).map(([key, item]) => [key, fromData(item)]));
  if (typeof data === 'boolean' || typeof data === 'number' || typeof data === 'string') return data;
  throw new ExpressionError(`A value of type ${typeof data} has no place in an expression`);
}
