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

export class JobVariables {
  readonly #byName = new Map<string, NamedVariable>();

  constructor(initial: Record<string, JobVariable> = {}) {
    for (const [name, variable] of Object.entries(initial)) this.set(name, variable);
  }

  get(name: string): NamedVariable | undefined {
    return this.#byName.get(name.toLowerCase());
  }

  /** A variable that is set again keeps the spelling of its first name. */
  set(name: string, variable: JobVariable): void {
    this.#byName.set(name.toLowerCase(), { ...variable, name: this.get(name)?.name ?? name });
  }

  all(): NamedVariable[] {
    return [...this.#byName.values()];
  }

  /** The variable whose environment name this is; for users who say `BUILD_BUILDID`. */
  byEnvironmentName(name: string): NamedVariable | undefined {
    return this.all().find((variable) => toEnvironmentName(variable.name) === name.toUpperCase());
  }

  /**
   * Replaces `$(name)` once, without looking into what was put in; unknown ones stay as they are (agent: VarUtil.ExpandValues).
   * `$(a$(b))` finds `b` because `a$(b` is unknown.
   */
  expand(text: string): string {
    let done = '';
    let from = 0;
    for (;;) {
      const open = text.indexOf('$(', from);
      const close = open < 0 ? -1 : text.indexOf(')', open + 2);
      if (close < 0) return done + text.slice(from);
      const value = this.get(text.slice(open + 2, close))?.value;
      if (value === undefined) {
        done += text.slice(from, open + 1);
        from = open + 1;
      } else {
        done += text.slice(from, open) + value;
        from = close + 1;
      }
    }
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
