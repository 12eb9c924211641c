/**
 * Inputs of a task, read once and judged all together (design §3): the agent enforces neither required nor type nor options
 * (reference task-contract B.1), so this does, and reports every problem of every input in one go.
 */
import { Failure } from '../azure/errors.js';
import type { Platform, ServiceEndpoint } from './platform.js';

/** What Azure ML takes as the name of a model. */
export const modelNamePattern = /^[A-Za-z0-9][A-Za-z0-9._-]{0,254}$/;

/** Names of a resource group and of a workspace as Azure takes them; both become parts of addresses, so nothing else may. */
const resourceGroupPattern = /^[\p{L}\p{N}_.()-]{0,89}[\p{L}\p{N}_()-]$/u;
const workspacePattern = /^[A-Za-z0-9][A-Za-z0-9_-]{0,32}$/;

/** Every problem of a task's inputs. The host reports each as an issue of its own. */
export class InputProblems extends Error {
  constructor(readonly problems: readonly Failure[]) {
    super(problems.map(({ message }) => message).join(' '));
    this.name = 'InputProblems';
  }
}

export interface Mapped {
  /** Text exactly as it was written: `0.10` stays `0.10`. Lists and mappings are JSON text. */
  text: string;
  kind: 'string' | 'number' | 'boolean' | 'null' | 'json';
}

/** What `problem` says of an input that is needed and empty. */
export const missing = 'is required but was not given.';

const unexpanded = /\$\(([A-Za-z_][\w.\- ]*)\)/;

/**
 * One task's inputs. Readers return a value even after a problem (the default, or ''), so that parsing goes on;
 * `done()` throws `InputProblems` when there was any.
 */
export class InputReader {
  readonly #platform: Platform;
  readonly #problems: Failure[] = [];

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  problem(input: string, what: string, advice: string): void {
    // A variable that is not set is told once: the input is not missing besides.
    if (what === missing && this.#problems.some(({ details }) => details.input === input)) return;
    this.#problems.push(
      new Failure(`Input ${input}${what === missing ? '' : ':'} ${what}`, { code: 'InputInvalid', input, advice }),
    );
  }

  done(): void {
    if (this.#problems.length > 0) throw new InputProblems(this.#problems);
  }

  /** The input's text, or undefined when it is empty. An unexpanded macro is a problem and counts as empty. */
  optional(name: string): string | undefined {
    return this.#checked(name, this.#platform.input(name));
  }

  /** A file path; undefined when the user gave none. */
  path(name: string): string | undefined {
    return this.#checked(name, this.#platform.pathInput(name));
  }

  #checked(name: string, value: string | undefined): string | undefined {
    const macro = value === undefined ? undefined : unexpanded.exec(value);
    if (!macro) return value;
    this.problem(
      name,
      `the variable $(${macro[1]}) is not set.`,
      `Set the variable ${macro[1]} for this job, or give the value itself. Output variables of another job are reached through dependencies, not $( ).`,
    );
    return undefined;
  }

  required(name: string, what: string): string {
    const value = this.optional(name);
    if (value === undefined) this.problem(name, missing, `Give ${what}.`);
    return value ?? '';
  }

  /** The name of a resource group; undefined when it is not given or cannot be one. */
  resourceGroup(name: string): string | undefined {
    const rule = 'Letters, digits, - _ . ( and ); at most 90 characters, the last no full stop.';
    return this.#named(name, resourceGroupPattern, 'resource group', rule);
  }

  /** The name of a workspace; undefined when it is not given or cannot be one. */
  workspace(name: string): string | undefined {
    const rule = 'Letters, digits, - and _; it begins with a letter or digit and has at most 33 characters.';
    return this.#named(name, workspacePattern, 'workspace', rule);
  }

  #named(name: string, pattern: RegExp, what: string, rule: string): string | undefined {
    const value = this.optional(name);
    if (value === undefined || pattern.test(value)) return value;
    this.problem(name, `"${value}" is no name of a ${what}.`, rule);
    return undefined;
  }

  choice<T extends string>(name: string, values: readonly [T, ...T[]], fallback: T): T {
    const value = this.optional(name);
    if (value === undefined) return fallback;
    const found = values.find((one) => one.toLowerCase() === value.toLowerCase());
    if (found === undefined) this.problem(name, `"${value}" is not one of its values.`, `Accepted: ${values.join(', ')}.`);
    return found ?? fallback;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.optional(name)?.toLowerCase();
    if (value === undefined) return fallback;
    if (value === 'true' || value === 'false') return value === 'true';
    this.problem(name, `"${value}" is neither true nor false.`, 'Accepted: true, false.');
    return fallback;
  }

  /** A whole number from `least` to `most`; undefined when not given. */
  integer(name: string, least: number, most = Number.MAX_SAFE_INTEGER): number | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (/^[+-]?\d+$/.test(value) && number >= least && number <= most) return number;
    const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
    this.problem(name, `"${value}" is not a whole number ${range}.`, `Give a whole number ${range}.`);
    return undefined;
  }

  /** Lines without the empty ones and without `# comments` of their own line. */
  lines(name: string): string[] {
    return (this.optional(name) ?? '')
      .split(/\r?\n/)
      .map((line) => line.trim())
      .filter((line) => line !== '' && !line.startsWith('#'));
  }

  /** Names separated by commas or line ends. */
  names(name: string): string[] {
    return this.lines(name).flatMap((line) =>
      line
        .split(',')
        .map((part) => part.trim())
        .filter(Boolean),
    );
  }

  /** A YAML or JSON mapping; scalars keep the text that was written. The YAML parser is loaded only when the input is given. */
  async mapping(name: string): Promise<Record<string, Mapped>> {
    const text = this.optional(name);
    if (text === undefined) return {};
    const { readMapping } = await import('./mapping.js');
    const { values, problems } = readMapping(text);
    for (const { where, what } of problems) {
      this.problem(
        name,
        `${where}${what}`,
        'Expected a mapping, one `name: value` a line: `learning_rate: 0.1` (with a space after the colon), or JSON.',
      );
    }
    return values;
  }

  /** A mapping of texts: tags and the like, which hold nothing else. Lists and mappings in it are told. */
  async texts(name: string): Promise<Record<string, string>> {
    const mapped = Object.entries(await this.mapping(name));
    for (const [key, { kind }] of mapped)
      if (kind === 'json') this.problem(name, `"${key}" is a list or a mapping.`, 'One `name: value` a line, each value a text.');
    return Object.fromEntries(mapped.map(([key, { text }]) => [key, text]));
  }

  /** The service connection that a connectedService input names. */
  endpoint(name: string, required = true): ServiceEndpoint | undefined {
    const id = required ? this.required(name, 'the Azure Resource Manager service connection to use') : this.optional(name);
    if (!id) return undefined;
    const endpoint = this.#platform.endpoint(id);
    if (!endpoint) {
      this.problem(
        name,
        `the service connection ${id} did not reach this task.`,
        'Give the name of an Azure Resource Manager service connection of this project, and allow this pipeline to use it.',
      );
    }
    return endpoint;
  }
}
