/** Variables of a job: names without regard to case, macros, and how they reach a task's environment (task-contract B.5). */
import type { JobVariable } from './types.js';

interface NamedVariable extends JobVariable {
  name: string;
}

/** `.` and blank become `_`, in upper case (agent: VarUtil.ConvertToEnvVariableFormat). */
export const toEnvironmentName = (name: string, preserveCase = false): string => {
  const plain = name.replaceAll(/[. ]/g, '_');
  return preserveCase ? plain : plain.toUpperCase();
};

/**
 * Replaces `$(name)` once, without looking into what was put in; what `valueOf` does not know stays as it is (agent: VarUtil.ExpandValues).
 * `$(a$(b))` finds `b` because `a$(b` is unknown.
 */
function replaceMacros(text: string, valueOf: (name: string) => string | undefined): string {
  let done = '';
  let from = 0;
  for (;;) {
    const open = text.indexOf('$(', from);
    const close = open < 0 ? -1 : text.indexOf(')', open + 2);
    if (close < 0) return done + text.slice(from);
    const value = valueOf(text.slice(open + 2, close));
    if (value === undefined) {
      done += text.slice(from, open + 1);
      from = open + 1;
    } else {
      done += text.slice(from, open) + value;
      from = close + 1;
    }
  }
}

/** Variables that may stand in each other's values, one below the other. */
const mostNested = 50;
/** Variables that may stand in one value, those in their values counted. No limit of agents: theirs is memory. */
const mostInOne = 10_000;

/**
 * Puts the values of variables into each other (agent: Variables.RecalculateExpanded). What holds a secret's value is a secret from then on. A
 * variable that leads back to itself, or through more than 50, stays as it is written, with a warning.
 * @param variables by name in lower case
 */
export function expandVariables<Kind extends JobVariable>(
  variables: ReadonlyMap<string, Kind & { name: string }>,
): { expanded: Map<string, Kind & { name: string }>; warnings: string[] } {
  const expanded = new Map(variables);
  const warnings: string[] = [];
  for (const [key, variable] of variables) {
    if (!variable.value.includes('$(')) continue;
    let isSecret = variable.isSecret === true;
    let wrong: string | undefined;
    let left = mostInOne;
    const resolve = (text: string, path: string[]): string =>
      replaceMacros(text, (name) => {
        const inner = name.toLowerCase();
        const found = variables.get(inner);
        if (!found || wrong !== undefined) return undefined;
        if (path.length === mostNested) wrong = `The max expansion depth (${mostNested}) was exceeded.`;
        else if (path.includes(inner)) wrong = 'A cyclical reference was detected.';
        else if (left-- === 0) wrong = `More than ${mostInOne} variables stand in its value.`;
        if (wrong !== undefined) return undefined;
        isSecret ||= found.isSecret === true;
        return resolve(found.value, [...path, inner]);
      });
    const value = resolve(variable.value, [key]);
    if (wrong !== undefined) warnings.push(`Unable to expand variable '${variable.name}'. ${wrong}`);
    else if (value !== variable.value) expanded.set(key, { ...variable, value, ...(isSecret ? { isSecret } : {}) });
  }
  return { expanded, warnings };
}

/** Names that no step may set, whoever gave them their value (agent: Constants.Variables.ReadOnlyVariables; those that a job here can hold). */
const alwaysReadOnly = new Set(
  (
    'Agent.Diagnostic Agent.JobStatus Agent.ReadOnlyVariables Agent.RetainDefaultEncoding Agent.RunMode Agent.WorkingDirectory ' +
    'Build.BuildNumber Build.Clean Build.SyncSources System.AccessToken System.Debug System.EnableAccessToken System.HostType ' +
    'System.PreferGitFromPath System.SelfManageGitCreds System.WorkFolder Task.DisplayName'
  )
    .toLowerCase()
    .split(' '),
);

export class JobVariables {
  /** As they were set. */
  readonly #written = new Map<string, NamedVariable>();
  /** As everybody sees them: values put into each other by `expandAll`. */
  #expanded = new Map<string, NamedVariable>();
  #onSecret: (value: string) => void = () => undefined;

  /** Later layers take the place of earlier ones, whatever those were. */
  constructor(...layers: Record<string, JobVariable>[]) {
    for (const layer of layers)
      for (const [name, variable] of Object.entries(layer)) {
        if (name.trim() === '') continue;
        const key = name.toLowerCase();
        this.#written.set(key, { ...variable, name: this.#written.get(key)?.name ?? name });
      }
    this.expandAll();
  }

  /** `tell` hears of every value that is a secret, now and later. */
  watchSecrets(tell: (value: string) => void): void {
    this.#onSecret = tell;
    for (const { isSecret, value } of [...this.#written.values(), ...this.#expanded.values()]) if (isSecret) tell(value);
  }

  get(name: string): NamedVariable | undefined {
    return this.#expanded.get(name.toLowerCase());
  }

  /** A secret stays one when it is set again, and so does a variable that is read-only; macros in the value wait for the next `expandAll`. */
  set(name: string, variable: JobVariable): void {
    const known = this.get(name);
    const isSecret = variable.isSecret === true || known?.isSecret === true;
    const isReadOnly = variable.isReadOnly === true || known?.isReadOnly === true;
    const kept = { ...variable, name, ...(isSecret ? { isSecret } : {}), ...(isReadOnly ? { isReadOnly } : {}) };
    if (isSecret) this.#onSecret(variable.value);
    this.#written.set(name.toLowerCase(), kept);
    this.#expanded.set(name.toLowerCase(), kept);
  }

  /** Takes a variable away: those of a step end with it. */
  unset(name: string): void {
    this.#written.delete(name.toLowerCase());
    this.#expanded.delete(name.toLowerCase());
  }

  isReadOnly(name: string): boolean {
    return this.get(name)?.isReadOnly === true || (this.get(name) !== undefined && alwaysReadOnly.has(name.toLowerCase()));
  }

  all(): NamedVariable[] {
    return [...this.#expanded.values()];
  }

  /** The variable whose environment name this is; for users who say `BUILD_BUILDID`. */
  byEnvironmentName(name: string): NamedVariable | undefined {
    return this.all().find((variable) => toEnvironmentName(variable.name) === name.toUpperCase());
  }

  /** Puts values into each other anew, as agents do when a job and when each of its steps starts. Gives the agent's warnings. */
  expandAll(): string[] {
    const { expanded, warnings } = expandVariables(this.#written);
    this.#expanded = expanded;
    for (const [key, { isSecret, value }] of expanded)
      if (isSecret && value !== this.#written.get(key)?.value) this.#onSecret(value);
    return warnings;
  }

  /** A text with the variables it names put in, once. */
  expand(text: string): string {
    return replaceMacros(text, (name) => this.get(name)?.value);
  }

  /** What of them a task's process sees. */
  toEnvironment(): Record<string, string> {
    const environment: Record<string, string> = {};
    const open: string[] = [];
    const secret: string[] = [];
    // The pipeline may ask for the job's token as a plain variable.
    const openToken = this.get('system.enableAccessToken')?.value.toLowerCase() === 'true';
    for (const { name, value, isSecret, preserveCase } of this.all()) {
      if (isSecret && !(openToken && name.toLowerCase() === 'system.accesstoken')) {
        secret.push(name);
        environment[`SECRET_${toEnvironmentName(name, preserveCase)}`] = value;
      } else {
        open.push(name);
        environment[toEnvironmentName(name, preserveCase)] = value;
        if (name.toLowerCase() === 'agent.jobstatus') environment['agent.jobstatus'] = value;
      }
    }
    environment['VSTS_PUBLIC_VARIABLES'] = JSON.stringify(open);
    environment['VSTS_SECRET_VARIABLES'] = JSON.stringify(secret);
    return environment;
  }
}
