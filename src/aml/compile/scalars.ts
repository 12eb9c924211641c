/** Plain YAML scalars as PyYAML (YAML 1.1) reads them: `1e-3` and `08` are strings, `yes` is true, `0o17` is a string, `017` is 15. */
import { PyFloat } from './python.js';

export type ScalarType = 'str' | 'int' | 'float' | 'bool' | 'null' | 'timestamp';

const BOOL = /^(?:yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF)$/;
const NULL = /^(?:~|null|Null|NULL|)$/;
const INT = /^(?:[-+]?0b[01_]+|[-+]?0[0-7_]+|[-+]?(?:0|[1-9][0-9_]*)|[-+]?0x[0-9a-fA-F_]+|[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+)$/;
const FLOAT =
  /^(?:[-+]?[0-9][0-9_]*\.[0-9_]*(?:[eE][-+][0-9]+)?|\.[0-9][0-9_]*(?:[eE][-+][0-9]+)?|[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+\.[0-9_]*|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$/;
const TIMESTAMP =
  /^(?:\d{4}-\d\d-\d\d|\d{4}-\d\d?-\d\d?(?:[Tt]|[ \t]+)\d\d?:\d\d:\d\d(?:\.\d*)?(?:[ \t]*(?:Z|[-+]\d\d?(?::\d\d)?))?)$/;

interface ResolvedScalar {
  type: ScalarType;
  value: string | number | boolean | null | PyFloat;
}

/** In: the text of a plain scalar. Out: its type and value (an int too large for a double stays text). */
export function resolveScalar(text: string): ResolvedScalar {
  if (NULL.test(text)) return { type: 'null', value: null };
  if (BOOL.test(text)) return { type: 'bool', value: /^(?:yes|true|on)$/i.test(text) };
  if (INT.test(text)) return { type: 'int', value: readInt(text) };
  if (FLOAT.test(text)) return { type: 'float', value: new PyFloat(readFloat(text)) };
  if (TIMESTAMP.test(text)) return { type: 'timestamp', value: text };
  return { type: 'str', value: text };
}

/**
 * A scalar with an explicit tag, as PyYAML constructs it: `!!null x` is empty, `!!int "5"` is 5. Out: its text as well (of `!!binary` the
 * decoded one); undefined when the tag is not known or the text does not fit it.
 */
export function resolveTagged(tag: string, text: string): (ResolvedScalar & { text: string }) | undefined {
  switch (tag) {
    case 'tag:yaml.org,2002:str':
      return { type: 'str', value: text, text };
    case 'tag:yaml.org,2002:null':
      return { type: 'null', value: null, text };
    case 'tag:yaml.org,2002:bool':
      return /^(?:yes|no|true|false|on|off)$/i.test(text)
        ? { type: 'bool', value: /^(?:yes|true|on)$/i.test(text), text }
        : undefined;
    case 'tag:yaml.org,2002:int':
      return INT.test(text) ? { type: 'int', value: readInt(text), text } : undefined;
    case 'tag:yaml.org,2002:float':
      return FLOAT.test(text) || /^[-+]?\d+(?:[eE][-+]?\d+)?$/.test(text)
        ? { type: 'float', value: new PyFloat(readFloat(text)), text }
        : undefined;
    case 'tag:yaml.org,2002:timestamp':
      return TIMESTAMP.test(text) ? { type: 'timestamp', value: text, text } : undefined;
    case 'tag:yaml.org,2002:binary': {
      const decoded = Buffer.from(text, 'base64').toString('utf8');
      return { type: 'str', value: decoded, text: decoded };
    }
    default:
      return undefined;
  }
}

function readInt(text: string): number | string {
  const negative = text.startsWith('-');
  const digits = text.replace(/^[-+]/, '').replaceAll('_', '');
  let value: bigint;
  if (/^0b/.test(digits) || /^0x/.test(digits)) value = BigInt(digits);
  else if (digits.includes(':')) value = digits.split(':').reduce((sum, part) => sum * 60n + BigInt(part), 0n);
  else if (digits.startsWith('0') && digits.length > 1) value = BigInt(`0o${digits}`);
  else value = BigInt(digits);
  if (negative) value = -value;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value.toString();
}

function readFloat(text: string): number {
  const clean = text.replaceAll('_', '').toLowerCase();
  const sign = clean.startsWith('-') ? -1 : 1;
  const body = clean.replace(/^[-+]/, '');
  if (body === '.inf') return sign * Infinity;
  if (body === '.nan') return NaN;
  if (body.includes(':')) return sign * body.split(':').reduce((sum, part) => sum * 60 + Number(part), 0);
  return sign * Number(body);
}

/** A YAML timestamp as the client's JSON has it: `2024-01-01T09:00:00.500000Z`; a day alone as `2024-01-01`. */
export function timeText(text: string): string {
  const match =
    /^(\d{4})-(\d\d?)-(\d\d?)(?:(?:[Tt]|[ \t]+)(\d\d?):(\d\d):(\d\d)(?:\.(\d*))?(?:[ \t]*(?:Z|([-+])(\d\d?)(?::(\d\d))?))?)?$/.exec(
      text,
    );
  if (!match) return text;
  const part = (index: number): number => Number(match[index] ?? 0);
  const east = (match[8] === '-' ? -1 : 1) * (part(9) * 60 + part(10));
  const time = Date.UTC(part(1), part(2) - 1, part(3), part(4), part(5) - east, part(6));
  if (Number.isNaN(time)) return text;
  const iso = new Date(time).toISOString();
  if (match[4] === undefined) return iso.slice(0, 10);
  const micro = (match[7] ?? '').slice(0, 6).padEnd(6, '0');
  return `${iso.slice(0, 19)}${Number(micro) === 0 ? '' : `.${micro}`}Z`;
}
