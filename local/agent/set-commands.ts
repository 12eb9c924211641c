/** setvariable, settaskvariable, setendpoint: what a step changes for the steps after it (task-contract B.6.2). */
import type { CommandHandler } from './command-handlers.js';
import type { LoggingCommand } from './command.js';

const isTrue = (command: LoggingCommand, key: string): boolean => command.properties.get(key)?.toLowerCase() === 'true';

const name = (command: LoggingCommand): string => {
  const value = command.properties.get('variable');
  if (!value) throw new Error(`Required field 'variable' is missing in ##vso[task.${command.event}] command.`);
  return value;
};

export const setVariable: CommandHandler = (command, state, restrictions) => {
  const variable = name(command);
  const value = command.data;
  const { variables, masker } = state.job;
  const isSecret = isTrue(command, 'issecret') || (variables.get(variable)?.isSecret ?? false);
  if (isSecret) {
    const allowed = variables.byEnvironmentName('SYSTEM_UNSAFEALLOWMULTILINESECRET')?.value.toLowerCase() === 'true';
    // Before the refusal, whose words quote the command.
    masker.add(value);
    if (/[\r\n]/.test(value) && !allowed) {
      throw new Error('Secrets cannot contain multiple lines.');
    }
  }
  if (!restrictions.variableAllowed(variable)) {
    state.warn(`Setting variable '${variable}' has been disabled by the task or build definition.`);
    return;
  }
  const listed = state.definition?.outputVariables?.some((known) => known.name.toLowerCase() === variable.toLowerCase());
  if (isTrue(command, 'isoutput') || listed) {
    state.result.outputVariables[variable] = { value, isSecret };
    // Later steps of the job read it as `<step>.<name>`, never under its plain name.
    if (state.step) variables.set(`${state.step}.${variable}`, { value, isSecret, isReadOnly: true });
    return;
  }
  if (variables.get(variable)?.isReadOnly) {
    if (variables.get('agent.readonlyvariables')?.value.toLowerCase() === 'true') {
      throw new Error(`Overwriting readonly variable '${variable}' is not permitted.`);
    }
    state.warn(`Overwriting readonly variable '${variable}'. This behavior will be disabled in the future.`);
  }
  state.result.variables[variable] = { value, isSecret };
  variables.set(variable, {
    value,
    isSecret,
    isReadOnly: isTrue(command, 'isreadonly'),
    preserveCase: isTrue(command, 'preservecase'),
  });
};

export const setTaskVariable: CommandHandler = (command, state) => {
  const variable = name(command);
  const isSecret = isTrue(command, 'issecret');
  if (isSecret) state.job.masker.add(command.data);
  const id = state.definition?.id ?? '';
  state.job.taskVariables.set(id, { ...state.job.taskVariables.get(id), [variable]: command.data });
};

export const setEndpoint: CommandHandler = (command, state) => {
  const { properties, data } = command;
  const field = properties.get('field')?.toLowerCase();
  if (!field || !['url', 'dataparameter', 'authparameter'].includes(field)) {
    throw new Error(
      "Required field 'field' is missing or not one of url, dataParameter, authParameter in ##vso[task.setendpoint] command.",
    );
  }
  const id = properties.get('id')?.toLowerCase();
  if (!id) throw new Error("Required field 'id' is missing in ##vso[task.setendpoint] command.");
  if (id === 'systemvssconnection') throw new Error('The endpoint SystemVssConnection cannot be changed.');
  const endpoint = state.job.endpoints.find((known) => known.id.toLowerCase() === id);
  if (!endpoint) throw new Error(`Unable to find endpoint ${id}.`);
  if (field === 'url') {
    endpoint.url = new URL(data).href;
    return;
  }
  const key = properties.get('key');
  if (!key) throw new Error("Required field 'key' is missing in ##vso[task.setendpoint] command.");
  const target = field === 'authparameter' ? endpoint.parameters : endpoint.data;
  const spelling = Object.keys(target).find((known) => known.toLowerCase() === key.toLowerCase()) ?? key;
  target[spelling] = data;
  if (field === 'authparameter') state.job.masker.add(data);
};
