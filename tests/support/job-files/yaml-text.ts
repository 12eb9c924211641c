/** YAML text from values, in the many ways in which people write it. */
import type { Random } from './random.js';

/** A scalar as it stands in the file. */
export class Plain {
  constructor(readonly text: string) {}
}
/** A value with an anchor; `*name` and `<<: *name` may follow it. */
export class Anchored {
  constructor(
    readonly name: string,
    readonly value: Yaml,
  ) {}
}
export type Yaml = string | number | boolean | null | Plain | Anchored | Yaml[] | { [key: string]: Yaml | undefined };
export type YamlMap = { [key: string]: Yaml | undefined };

export const isMap = (value: Yaml | undefined): value is YamlMap =>
  typeof value === 'object' &&
  value !== null &&
  !Array.isArray(value) &&
  !(value instanceof Plain) &&
  !(value instanceof Anchored);

const SAFE = /^[A-Za-z./$][\w./@$+-]*( [\w./@$+-]+)*$/;
const WORDS = /^(?:y|n|yes|no|on|off|true|false|null)$/i;

/** In: a value, choices of style. Out: the text of a file. */
export function yamlText(value: Yaml, random: Random): string {
  return `${random.chance(0.1) ? '---\n' : ''}${random.chance(0.1) ? '# a comment\n' : ''}${block(value, 0, random).replace(/^\n/, '')}\n`;
}

function block(value: Yaml, depth: number, random: Random): string {
  const indent = '  '.repeat(depth);
  if (value instanceof Anchored) return ` &${value.name}${block(value.value, depth, random)}`;
  if (Array.isArray(value)) {
    if (value.length === 0 || random.chance(0.3)) return ` ${flow(value, random)}`;
    return value.map((item) => `\n${indent}-${block(item, depth + 1, random)}`).join('');
  }
  if (isMap(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined) as [string, Yaml][];
    if (entries.length === 0) return ' {}';
    if (depth > 1 && random.chance(0.15)) return ` ${flow(value, random)}`;
    return entries.map(([key, item]) => `\n${indent}${keyText(key)}:${block(item, depth + 1, random)}`).join('');
  }
  if (typeof value === 'string' && value.includes('\n') && /^[^\s]/.test(value) && random.chance(0.8)) {
    const lines = value.replace(/\n+$/, '').split('\n');
    const end = /\n*$/.exec(value)?.[0].length ?? 0;
    const sign = end === 0 ? '-' : end === 1 ? '' : '+';
    return ` |${sign}\n${lines.map((line) => (line === '' ? '' : `${indent}${line}`)).join('\n')}${'\n'.repeat(Math.max(0, end - 1))}`;
  }
  return ` ${scalar(value, random)}`;
}

function flow(value: Yaml, random: Random): string {
  if (value instanceof Anchored) return `&${value.name} ${flow(value.value, random)}`;
  if (Array.isArray(value)) return `[${value.map((item) => flow(item, random)).join(', ')}]`;
  if (isMap(value)) {
    const entries = Object.entries(value).filter(([, item]) => item !== undefined) as [string, Yaml][];
    return `{${entries.map(([key, item]) => `${keyText(key)}: ${flow(item, random)}`).join(', ')}}`;
  }
  if (value instanceof Plain && /[,[\]{}]/.test(value.text)) return `'${value.text.replaceAll("'", "''")}'`;
  return scalar(value, random);
}

function scalar(value: string | number | boolean | null | Plain, random: Random): string {
  if (value instanceof Plain) return value.text;
  if (value === null) return random.pick(['null', '~', 'null']);
  if (typeof value === 'boolean') return random.pick(value ? ['true', 'True', 'yes'] : ['false', 'FALSE', 'no']);
  if (typeof value === 'number') return String(value);
  if (SAFE.test(value) && !WORDS.test(value) && random.chance(0.7)) return value;
  if (!value.includes('\n') && random.chance(0.5)) return `'${value.replaceAll("'", "''")}'`;
  return JSON.stringify(value);
}

function keyText(key: string): string {
  return key === '<<' || (/^[A-Za-z_$][\w.-]*$/.test(key) && !WORDS.test(key)) ? key : JSON.stringify(key);
}

/** Scalars that YAML 1.1, Python and JSON read differently. */
export const ODD = (
  '017 0o17 08 0x1F 0b11 1_000 1e3 1.0e+3 1e-3 .5 5. -0.0 +7 1.0 1.50 0.1 1:30 12:30:45 190:20:30.15 1:99 .inf -.INF .nan yes no on off Yes OFF ' +
  'y N true True TRUE ~ null Null NULL 2024-01-01 2001-12-14t21:59:43.10-05:00 2024-1-1 2024-01-01T10:00:00Z 123456789012345678901234567890 ' +
  `9007199254740993 00 0 -1 1 "" '' "1" 'true' '1.0' !!str 5 é 漢字 😀 a#b "a\\tb" "\\u00e9" = -- azureml: \${{}} "\${{parent.inputs.nothing}}" "{inputs.a}" http://x file:x`
)
  .replace('!!str 5', '!!str_5')
  .split(' ')
  .map((text) => text.replace('_5', ' 5'));
