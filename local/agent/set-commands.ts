/** setvariable, settaskvariable, setendpoint, prependpath: what a step changes for the steps after it (task-contract B.6.2). */
import { EOL } from 'node:os';
import type { CommandHandler } from './command-handlers.js';
import type { LoggingCommand } from './command.js';
import type { Restrictions } from './restrictions.js';
import type { StepState } from './step-state.js';

const isTrue = (command: LoggingCommand, key: string): boolean => command.properties.get(key)?.trim().toLowerCase() === 'true';

const name = (command: LoggingCommand): string => {
  const value = command.properties.get('variable');
  if (!value) throw new Error(`Required field 'variable' is missing in ##vso[task.${command.event}] command.`);
  return value;
};

/** Also a variable called `__proto__`. */
const keep = <Value>(into: Record<string, Value>, key: string, value: Value): void => {
  Object.defineProperty(into, key, { value, configurable: true, enumerable: true, writable: true });
};

/** A secret has one line, unless the job allows more. */
function refuseLines({ data }: LoggingCommand, { job }: StepState): void {
  const allowed = job.variables.byEnvironmentName('SYSTEM_UNSAFEALLOWMULTILINESECRET')?.value.toLowerCase() === 'true';
  if (data.includes(EOL) && !allowed) throw new Error('Secrets cannot contain multiple lines.');
}

function mayBeSet(variable: string, state: StepState, restrictions: Restrictions): boolean {
  if (restrictions.variableAllowed(variable)) return true;
  state.warn(`Setting variable '${variable}' has been disabled by the task or build definition.`);
  return false;
}

/** A variable that is read-only is set all the same, until the job asks that it is not. */
function tellReadOnly(what: string, variable: string, state: StepState): void {
  if (state.job.variables.get('agent.readonlyvariables')?.value.toLowerCase() === 'true')
    throw new Error(`Overwriting readonly ${what} '${variable}' is not permitted.`);
  state.warn(`Overwriting readonly ${what} '${variable}'. This behavior will be disabled in the future.`);
}

export const setVariable: CommandHandler = (command, state, restrictions) => {
  const variable = name(command);
  const value = command.data;
  const { variables } = state.job;
  const said = isTrue(command, 'issecret');
  const isOutput = isTrue(command, 'isoutput');
  const listed = state.definition?.outputVariables?.some(({ name: output }) => output.toLowerCase() === variable.toLowerCase());
  const plain = !isOutput && !listed;
  // Once secret, secret for good; an output has a name of its own.
  const isSecret = said || (plain && variables.get(variable)?.isSecret === true);
  // Before the checks, whose words quote the command: whatever becomes of it.
  if (isSecret) state.job.hide(value);
  if (variables.isReadOnly(variable)) tellReadOnly('variable', variable, state);
  if (said) refuseLines(command, state);
  if (!mayBeSet(variable, state, restrictions)) return;
  const isReadOnly = isTrue(command, 'isreadonly');
  const preserveCase = isTrue(command, 'preservecase');
  if (plain) {
    variables.set(variable, { value, isSecret, isReadOnly, preserveCase });
    keep(state.result.variables, variable, { value, isSecret });
    return;
  }
  // Later steps of the job read it as `<step>.<name>`, never under its plain name.
  variables.set(`${state.step}.${variable}`, { value, isSecret, isReadOnly: isOutput || isReadOnly, preserveCase });
  keep(state.result.outputVariables, variable, { value, isSecret });
};

/** Task variables are for the same step's work before and after the job, of which our tasks have none: nobody reads them. */
export const setTaskVariable: CommandHandler = (command, state) => {
  const variable = name(command);
  const known = state.taskVariables.get(variable.toLowerCase());
  const isSecret = isTrue(command, 'issecret');
  if (isSecret) state.job.hide(command.data);
  if (known?.isReadOnly) tellReadOnly('task variable', variable, state);
  if (isSecret) refuseLines(command, state);
  const isReadOnly = isTrue(command, 'isreadonly') || known?.isReadOnly === true;
  state.taskVariables.set(variable.toLowerCase(), { value: command.data, isReadOnly });
};

const fields = ['url', 'dataparameter', 'authparameter'];

export const setEndpoint: CommandHandler = (command, state) => {
  const { properties, data } = command;
  const missing = (field: string): Error => new Error(`Required field '${field}' is missing in ##vso[task.setendpoint] command.`);
  if (data === '') throw new Error('Enter a valid value for setendpoint.');
  const field = properties.get('field')?.toLowerCase();
  if (!field) throw missing('field');
  // Before anything else can go wrong with it.
  if (field === 'authparameter') state.job.hide(data);
  const id = properties.get('id')?.toLowerCase();
  if (!id) throw missing('id');
  if (id === 'systemvssconnection') throw new Error('The endpoint SystemVssConnection cannot be changed.');
  const endpoint = state.job.endpoints.find((one) => one.id.toLowerCase() === id);
  if (!endpoint) throw new Error(`Unable to find endpoint ${id}.`);
  if (field === 'url') {
    endpoint.url = new URL(data).href;
    return;
  }
  const key = properties.get('key');
  if (!key) throw missing('key');
  if (!fields.includes(field)) throw new Error("'field' is not one of url, dataParameter, authParameter.");
  const target = field === 'authparameter' ? endpoint.parameters : endpoint.data;
  const spelling = Object.keys(target).find((one) => one.toLowerCase() === key.toLowerCase()) ?? key;
  target[spelling] = data;
};

/** PATH is a variable like others: who may not set it may not add to it. A path that is added again moves to the front. */
export const prependPath: CommandHandler = ({ data }, state, restrictions) => {
  if (!mayBeSet('PATH', state, restrictions)) return;
  if (data === '') throw new Error('Path to prepend is required.');
  const { prependedPaths } = state.job;
  const before = prependedPaths.indexOf(data);
  if (before >= 0) prependedPaths.splice(before, 1);
  prependedPaths.push(data);
};
