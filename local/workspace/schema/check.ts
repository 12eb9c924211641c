/**
 * Checks a body's members against the compact ARM schema (arm.json, made by scripts/schema.mjs), in the service's words
 * (azure-ml-observed §0: "Could not find member …"; the other texts are those of the same JSON library and not recorded).
 */
import type { ErrorDetail } from '../errors.js';
import arm from './arm.json' with { type: 'json' };

interface Definition {
  /** Member to type: s text, b boolean, n number, `*` anything, `e:a|b`, `[type`, `{type`, `@Definition`; `>version type` from that api-version on. */
  members: Record<string, string>;
  required?: string[];
  /** Member that tells the kinds apart. */
  by?: string;
  kinds?: Record<string, string>;
}

const schema = arm as unknown as Record<string, Definition>;

/** What is wrong, one detail a member; empty when nothing is. `text` is the body as sent, for positions. Unknown definitions check nothing. */
export function schemaProblems(
  definition: string,
  value: Record<string, unknown>,
  apiVersion: string,
  text: string,
): ErrorDetail[] {
  const details: ErrorDetail[] = [];
  if (schema[definition]) new Check(apiVersion, text, details).object(definition, value, 'properties');
  return details;
}

class Check {
  constructor(
    readonly apiVersion: string,
    readonly text: string,
    readonly details: ErrorDetail[],
  ) {}

  #add(message: string, path: string): void {
    const name = path.split('.').at(-1) ?? path;
    const at = this.text.indexOf(JSON.stringify(name));
    this.details.push({
      code: 'RequestInvalid',
      message: `${message} Path '${path}', line 1, position ${at < 0 ? 1 : at + name.length + 3}.`,
    });
  }

  /** Type of a member that this api-version knows. A preview may know members that no stable version does. */
  #known(definition: Definition, member: string): string | undefined {
    const name = Object.keys(definition.members).find((key) => key.toLowerCase() === member.toLowerCase());
    const type = name === undefined ? undefined : definition.members[name];
    const later = type === undefined ? null : /^>(\S+) (.*)$/.exec(type);
    if (!later) return type;
    const [, since = '', then] = later;
    return this.apiVersion === '' || this.apiVersion >= since || this.apiVersion.includes('preview') ? then : undefined;
  }

  object(name: string, value: Record<string, unknown>, path: string): void {
    const base = schema[name];
    if (!base) return;
    let kind: Definition | undefined;
    let type = name;
    let at = path;
    if (base.by !== undefined && base.kinds) {
      const given = value[Object.keys(value).find((key) => key.toLowerCase() === base.by?.toLowerCase()) ?? ''];
      const chosen = Object.keys(base.kinds).find((key) => key.toLowerCase() === String(given as string).toLowerCase());
      if (chosen !== undefined) {
        type = base.kinds[chosen] ?? name;
        kind = schema[type];
        at = ''; // The service reads such an object on its own: paths begin there.
      }
    }
    const join = (member: string) => (at ? `${at}.${member}` : member);
    for (const [member, entry] of Object.entries(value)) {
      const known = this.#known(base, member) ?? (kind && this.#known(kind, member));
      if (known === undefined) this.#add(`Could not find member '${member}' on object of type '${plain(type)}'.`, join(member));
      else if (entry !== null) this.#value(known, entry, join(member));
    }
    const required = new Set([...(base.required ?? []), ...(kind?.required ?? [])]);
    for (const member of required) {
      const given = Object.entries(value).find(([key]) => key.toLowerCase() === member.toLowerCase());
      if (given?.[1] == null) this.#add(`Required property '${member}' not found in JSON.`, at);
    }
  }

  #value(type: string, value: unknown, path: string): void {
    const rest = type.slice(1);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    if (type === 's') {
      if (typeof value === 'object')
        this.#add(`Unexpected character encountered while parsing value: ${Array.isArray(value) ? '[' : '{'}.`, path);
    } else if (type === 'b') {
      if (typeof value !== 'boolean' && !/^(true|false)$/i.test(String(value)))
        this.#add(`Could not convert ${kindOf(value)} to boolean: ${JSON.stringify(value)}.`, path);
    } else if (type === 'n') {
      if (Number.isNaN(Number(value)) || typeof value === 'object')
        this.#add(`Could not convert ${kindOf(value)} to number: ${JSON.stringify(value)}.`, path);
    } else if (type.startsWith('e:')) {
      const allowed = type.slice(2).split('|');
      if (!allowed.some((entry) => entry.toLowerCase() === String(value).toLowerCase()))
        this.#add(`Error converting value ${JSON.stringify(value)}: it is not one of ${allowed.join(', ')}.`, path);
    } else if (type.startsWith('[')) {
      if (!Array.isArray(value)) this.#add(`Cannot deserialize the current JSON ${kindOf(value)}: an array is needed.`, path);
      else value.forEach((entry, index) => this.#value(rest, entry, `${path}[${index}]`));
    } else if (type.startsWith('{')) {
      if (!isObject) this.#add(`Cannot deserialize the current JSON ${kindOf(value)}: an object is needed.`, path);
      else for (const [key, entry] of Object.entries(value)) if (entry !== null) this.#value(rest, entry, `${path}.${key}`);
    } else if (type.startsWith('@')) {
      if (!isObject) this.#add(`Cannot deserialize the current JSON ${kindOf(value)}: an object is needed.`, path);
      else this.object(rest, value as Record<string, unknown>, path);
    }
  }
}

function kindOf(value: unknown): string {
  return Array.isArray(value) ? 'array' : typeof value;
}

/** Name of the service's own type: `ModelVersionProperties` is `ModelVersion` there. */
function plain(name: string): string {
  return name.replace(/(Base)?Properties$/, '');
}
