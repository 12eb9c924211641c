/** Carries out the logging commands of one step (task-contract B.6): strict, with every trap that the agent has. */
import { parseCommand, mentionsCommand, type LoggingCommand } from './command.js';
import { handlers, hostsOf } from './command-handlers.js';
import type { Restrictions } from './restrictions.js';
import type { StepState } from './step-state.js';

/** A member of its own: `constructor` is no command. */
const own = <Value>(of: Record<string, Value>, key: string): Value | undefined => (Object.hasOwn(of, key) ? of[key] : undefined);

const reference = 'Please reference documentation (http://go.microsoft.com/fwlink/?LinkId=817296)';

export class CommandEngine {
  constructor(
    private readonly state: StepState,
    private readonly restrictions: Restrictions,
    private readonly print: (line: string) => void,
  ) {}

  /** One line of the process. Prints it, or carries out the command in it. True when it held a command that was carried out. */
  line(text: string): boolean {
    if (this.state.dropOutput) return false;
    const command = parseCommand(text, this.state.job.decodesPercents);
    if (!command) {
      if (mentionsCommand(text)) {
        this.state.warn(
          `'${text}' contains logging command keyword '##vso', but it's not a legal command. Please see the list of accepted commands: https://go.microsoft.com/fwlink/?LinkId=817296`,
        );
      }
      this.print(text);
      return false;
    }
    return this.#carryOut(command, text);
  }

  #carryOut(command: LoggingCommand, text: string): boolean {
    const name = `${command.area}.${command.event}`;
    const area = own(handlers, command.area);
    if (!area) {
      this.state.warn(`Can't find command extension for ##vso[${name}]. ${reference}`);
      return false;
    }
    try {
      const handler = own(area, command.event);
      if (!handler)
        throw new Error(`##vso[${name}] is not a recognized command for ${command.area} command extension. ${reference}`);
      if (!this.restrictions.commandAllowed(command.area, command.event)) {
        this.state.warn(`##vso[${name}] is not allowed in this step due to policy restrictions. ${reference}`);
        return false;
      }
      const host = this.state.job.variables.get('System.HostType')?.value.toLowerCase() ?? 'build';
      const hosts = hostsOf[command.area] ?? [host];
      if (!hosts.includes(host)) throw new Error(`##vso[${name}] is for a ${hosts.join(' or ')}; this is a ${host}.`);
      handler(command, this.state, this.restrictions);
    } catch (error) {
      this.state.error(`Unable to process command '${text}' successfully. ${reference}`);
      this.state.error(error instanceof Error ? error.message : String(error));
      this.state.commandFailed = true;
      this.#processed(name, text);
      return true;
    }
    this.state.result.commands[name] = (this.state.result.commands[name] ?? 0) + 1;
    this.#processed(name, text);
    return true;
  }

  /** Commands do not show in the log, but for debugging (B.6.1 rule 7): as they were written, so that they stay one line. */
  #processed(name: string, text: string): void {
    if (this.state.debugging && name !== 'task.debug') this.print(`##[debug]Processed: ${text}`);
  }
}
