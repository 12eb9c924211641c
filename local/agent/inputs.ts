/** From the step's inputs to INPUT_ variables: defaults, aliases, macros, connections, paths (task-contract B.5, input pipeline). */
import { isAbsolute, join, normalize } from 'node:path';
import { Failure } from '../../src/azure/errors.js';
import type { TaskDefinition, TaskInput } from './task-definition.js';
import type { AgentEndpoint, SecureFile } from './types.js';
import { toEnvironmentName, type JobVariables } from './variables.js';
import { isVisible } from './visible-rule.js';

export interface PreparedInputs {
  /** By the input's own name. */
  values: Record<string, string>;
  environment: Record<string, string>;
  /** Connections that the inputs name: the agent hands over these and no others. */
  endpoints: AgentEndpoint[];
  /** So with secure files. */
  secureFiles: SecureFile[];
}

interface InputContext {
  variables: JobVariables;
  endpoints: AgentEndpoint[];
  secureFiles?: SecureFile[];
  sourcesFolder: string;
}

/** The input that a name or alias speaks of. */
export function findInput(definition: TaskDefinition, name: string): TaskInput | undefined {
  const wanted = name.toLowerCase();
  return definition.inputs.find((input) =>
    [input.name, ...(input.aliases ?? [])].some((known) => known.toLowerCase() === wanted),
  );
}

/**
 * Applies the agent's input pipeline. Errors: Failure `InputUnknown` (no such input; connection that does not exist): the server
 * refuses both before a job starts.
 */
export function prepareInputs(definition: TaskDefinition, given: Record<string, string>, context: InputContext): PreparedInputs {
  const values: Record<string, string> = {};
  for (const input of definition.inputs) values[input.name] = String(input.defaultValue ?? '').trim();
  for (const [name, value] of Object.entries(given)) {
    const input = findInput(definition, name);
    if (!input) {
      const known = definition.inputs.map((entry) => entry.name).join(', ');
      throw new Failure(`${definition.name}@${definition.version.Major} has no input "${name}".`, {
        code: 'InputUnknown',
        input: name,
        advice: `Its inputs are: ${known}.`,
      });
    }
    values[input.name] = value.trim();
  }
  const endpoints = new Map<string, AgentEndpoint>();
  const secureFiles = new Map<string, SecureFile>();
  for (const input of definition.inputs) {
    let value = context.variables.expand(values[input.name] ?? '');
    if (input.type.startsWith('connectedService:') && value !== '') {
      const found = value.split(',').map((wanted) => find(context.endpoints, wanted.trim(), input.name, 'service connection'));
      for (const endpoint of found) endpoints.set(endpoint.id, endpoint);
      value = found.map(({ id }) => id).join(',');
    }
    if (input.type === 'secureFile' && value !== '') {
      const found = value.split(',').map((wanted) => find(context.secureFiles ?? [], wanted.trim(), input.name, 'secure file'));
      for (const file of found) secureFiles.set(file.id, file);
      value = found.map(({ id }) => id).join(',');
    }
    if (input.type === 'filePath') value = isAbsolute(value) ? normalize(value) : join(context.sourcesFolder, value);
    values[input.name] = value;
  }
  const environment: Record<string, string> = {};
  for (const [name, value] of Object.entries(values)) environment[`INPUT_${toEnvironmentName(name)}`] = value;
  for (const { id, name, ticket } of secureFiles.values()) {
    environment[`SECUREFILE_NAME_${id}`] = name;
    environment[`SECUREFILE_TICKET_${id}`] = ticket;
  }
  return { values, environment, endpoints: [...endpoints.values()], secureFiles: [...secureFiles.values()] };
}

function find<Known extends { id: string; name: string }>(all: Known[], wanted: string, input: string, what: string): Known {
  const lower = wanted.toLowerCase();
  const found = all.find(({ id, name }) => id.toLowerCase() === lower || name.toLowerCase() === lower);
  if (found) return found;
  const known = all.flatMap(({ id, name }) => (id === 'SystemVssConnection' ? [] : name)).join(', ') || 'none';
  throw new Failure(`Input ${input}: the ${what} ${wanted} could not be found.`, {
    code: 'InputUnknown',
    input,
    advice: `${what[0]?.toUpperCase()}${what.slice(1)}s here: ${known}.`,
  });
}

/** The value that an input has: as given (by name or alias, in any case), else its default; '' when the task has no such input. */
export function inputValue(definition: TaskDefinition, given: Readonly<Record<string, string>>, name: string): string {
  const input = findInput(definition, name);
  if (!input) return '';
  const key = Object.keys(given).find((entry) => findInput(definition, entry) === input);
  return (key === undefined ? String(input.defaultValue ?? '') : (given[key] ?? '')).trim();
}

/** Names of required inputs that are shown and empty: what the server refuses before a job starts, and the agent does not look at. */
export function missingInputs(definition: TaskDefinition, given: Readonly<Record<string, string>>): string[] {
  const valueOf = (name: string): string => inputValue(definition, given, name);
  const groupRule = (input: TaskInput): string | undefined =>
    definition.groups?.find((group) => group.name === input.groupName)?.visibleRule;
  return definition.inputs
    .filter((input) => input.required === true && valueOf(input.name) === '')
    .filter((input) => isVisible(input.visibleRule, valueOf) && isVisible(groupRule(input), valueOf))
    .map((input) => input.name);
}

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** How service connections reach the process (task-contract B.5). */
export function endpointEnvironment(endpoints: AgentEndpoint[]): Record<string, string> {
  const environment: Record<string, string> = {};
  for (const { id, url, scheme, parameters, data } of endpoints) {
    const real = guid.test(id);
    const key = real ? id.toLowerCase() : id.toUpperCase();
    environment[`ENDPOINT_URL_${key}`] = url;
    environment[`ENDPOINT_AUTH_${key}`] = JSON.stringify({ parameters, scheme });
    environment[`ENDPOINT_AUTH_SCHEME_${key}`] = scheme;
    for (const [name, value] of Object.entries(parameters)) {
      environment[`ENDPOINT_AUTH_PARAMETER_${key}_${toEnvironmentName(name)}`] = value;
    }
    if (!real) continue;
    environment[`ENDPOINT_DATA_${key}`] = JSON.stringify(data);
    for (const [name, value] of Object.entries(data)) environment[`ENDPOINT_DATA_${key}_${toEnvironmentName(name)}`] = value;
  }
  return environment;
}
