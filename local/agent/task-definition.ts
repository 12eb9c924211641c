/** task.json as the agent and the Marketplace read it (task-contract B.1). `checkDefinition` tells everything that is wrong with one. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { parseVisibleRule } from './visible-rule.js';

export interface TaskInput {
  name: string;
  aliases?: string[];
  label: string;
  type: string;
  defaultValue?: string | boolean | number;
  required?: boolean;
  helpMarkDown?: string;
  groupName?: string;
  visibleRule?: string;
  options?: Record<string, string>;
  properties?: Record<string, string>;
}

export interface TaskHandler {
  target: string;
  workingDirectory?: string;
  platforms?: string[];
}

export interface TaskDefinition {
  id: string;
  name: string;
  friendlyName: string;
  description: string;
  helpMarkDown?: string;
  helpUrl?: string;
  author: string;
  category: string;
  version: { Major: number; Minor: number; Patch: number };
  minimumAgentVersion?: string;
  instanceNameFormat: string;
  groups?: { name: string; displayName: string; isExpanded?: boolean; visibleRule?: string }[];
  inputs: TaskInput[];
  outputVariables?: { name: string; description: string }[];
  execution?: Record<string, TaskHandler>;
  prejobexecution?: Record<string, TaskHandler>;
  postjobexecution?: Record<string, TaskHandler>;
  dataSourceBindings?: { target: string; endpointId?: string; [key: string]: unknown }[];
  restrictions?: { commands?: { mode?: string }; settableVariables?: { allowed?: string[] } };
  messages?: Record<string, string>;
}

const text = { type: 'string', minLength: 1 } as const;
const name = { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9]*$' } as const;
const handlers = {
  type: 'object',
  minProperties: 1,
  additionalProperties: {
    type: 'object',
    required: ['target'],
    properties: { target: text, workingDirectory: text, argumentFormat: text, platforms: { type: 'array', items: text } },
    additionalProperties: false,
  },
} as const;
const inputType =
  '^(string|boolean|filePath|multiLine|pickList|radio|secureFile|int|identities|querycontrol|connectedService:[A-Za-z0-9:]+)$';

/** The members of task.json that mean something; a misspelt one is an error, because the service ignores it in silence. */
const taskSchema = {
  type: 'object',
  required: 'id name friendlyName description author category version instanceNameFormat inputs execution'.split(' '),
  properties: {
    $schema: text,
    id: { type: 'string', pattern: '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' },
    name: { type: 'string', pattern: '^[A-Za-z0-9-]+$' },
    friendlyName: { type: 'string', minLength: 1, maxLength: 40 },
    description: text,
    helpMarkDown: { type: 'string' },
    helpUrl: text,
    author: text,
    category: {
      enum: 'Azure Repos,Azure Boards,Azure Pipelines,Azure Test Plans,Azure Artifacts,Build,Utility,Test,Package,Deploy'.split(
        ',',
      ),
    },
    visibility: { type: 'array', items: { enum: ['Build', 'Release'] } },
    runsOn: { type: 'array', items: { enum: ['Agent', 'MachineGroup', 'DeploymentGroup', 'Server', 'ServerGate'] } },
    version: {
      type: 'object',
      required: ['Major', 'Minor', 'Patch'],
      properties: Object.fromEntries(['Major', 'Minor', 'Patch'].map((part) => [part, { type: 'integer', minimum: 0 }])),
      additionalProperties: false,
    },
    minimumAgentVersion: { type: 'string', pattern: '^\\d+\\.\\d+\\.\\d+$' },
    instanceNameFormat: text,
    releaseNotes: { type: 'string' },
    preview: { type: 'boolean' },
    deprecated: { type: 'boolean' },
    deprecationMessage: { type: 'string' },
    removalDate: { type: 'string', pattern: '^\\d{4}-\\d{2}-\\d{2}$' },
    showEnvironmentVariables: { type: 'boolean' },
    demands: { type: 'array', items: text },
    groups: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name', 'displayName'],
        properties: { name, displayName: text, isExpanded: { type: 'boolean' }, visibleRule: text, tags: { type: 'array' } },
        additionalProperties: false,
      },
    },
    inputs: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name', 'label', 'type'],
        properties: {
          name,
          aliases: { type: 'array', items: name },
          label: text,
          type: { type: 'string', pattern: inputType },
          defaultValue: { type: ['string', 'boolean', 'number'] },
          required: { type: 'boolean' },
          helpMarkDown: { type: 'string' },
          groupName: name,
          visibleRule: text,
          options: { type: 'object', minProperties: 1, additionalProperties: { type: 'string' } },
          properties: { type: 'object', additionalProperties: { type: 'string' } },
          validation: { type: 'object', required: ['expression', 'message'] },
        },
        additionalProperties: false,
      },
    },
    outputVariables: {
      type: 'array',
      items: {
        type: 'object',
        required: ['name', 'description'],
        properties: { name: text, description: text },
        additionalProperties: false,
      },
    },
    execution: handlers,
    prejobexecution: handlers,
    postjobexecution: handlers,
    dataSourceBindings: { type: 'array', items: { type: 'object', required: ['target'] } },
    sourceDefinitions: { type: 'array' },
    messages: { type: 'object', additionalProperties: { type: 'string' } },
    restrictions: {
      type: 'object',
      properties: {
        commands: { type: 'object', properties: { mode: { enum: ['any', 'restricted'] } }, additionalProperties: false },
        settableVariables: {
          type: 'object',
          properties: { allowed: { type: 'array', items: text } },
          additionalProperties: false,
        },
      },
      additionalProperties: false,
    },
  },
  additionalProperties: false,
};

/** Handlers that agents know (B.3); any other key (`Node20`) is ignored by them without a word. */
const knownHandlers = new Set(
  'Node24 Node20_1 Node16 Node10 Node PowerShell3 PowerShell AzurePowerShell PowerShellExe Process'.split(' '),
);

const repeated = (names: string[]): string[] => names.filter((entry, index) => names.indexOf(entry) !== index);

/** Where a handler's target lies; the agent knows this one macro in it (B.3). */
export const handlerTarget = (folder: string, { target }: TaskHandler): string =>
  join(folder, target.replaceAll(/\$\(currentDirectory\)/gi, '.'));

/** Everything wrong with a task.json (parsed) and the folder it stands in; empty when it is fine. */
export function checkDefinition(json: unknown, folder: string): string[] {
  const validate = new Ajv({ allErrors: true, strict: false }).compile(taskSchema);
  if (!validate(json)) {
    return (validate.errors ?? []).map(({ instancePath, message, params }) => {
      const extra = (params as { additionalProperty?: string }).additionalProperty;
      return `task.json${instancePath || '/'}: ${message ?? 'invalid'}${extra ? ` ("${extra}")` : ''}`;
    });
  }
  const task = json as unknown as TaskDefinition;
  const wrong: string[] = [];
  const names = task.inputs.flatMap((input) => [input.name, ...(input.aliases ?? [])].map((entry) => entry.toLowerCase()));
  for (const twice of repeated(names)) wrong.push(`input "${twice}" is declared twice`);
  const groups = new Set((task.groups ?? []).map((group) => group.name));
  for (const input of task.inputs) {
    const at = `input "${input.name}"`;
    if (input.groupName && !groups.has(input.groupName)) wrong.push(`${at}: there is no group "${input.groupName}"`);
    if ((input.type === 'pickList' || input.type === 'radio') && !input.options && !bound(task, input.name)) {
      wrong.push(`${at}: a ${input.type} needs options or a data source`);
    }
    if (input.options && input.defaultValue !== undefined && !(String(input.defaultValue) in input.options)) {
      if (input.defaultValue !== '') wrong.push(`${at}: the default "${input.defaultValue}" is none of its options`);
    }
  }
  for (const { visibleRule, name: owner } of [...task.inputs, ...(task.groups ?? [])]) {
    if (visibleRule === undefined) continue;
    const rule = parseVisibleRule(visibleRule);
    if (typeof rule === 'string') wrong.push(`visibleRule of "${owner}": ${rule}`);
    else
      for (const { input } of rule.terms) {
        if (!names.includes(input.toLowerCase())) wrong.push(`visibleRule of "${owner}": there is no input "${input}"`);
      }
  }
  for (const binding of task.dataSourceBindings ?? []) {
    if (!names.includes(binding.target.toLowerCase())) wrong.push(`data source for "${binding.target}": no such input`);
    const endpoint = /^\$\((.+)\)$/.exec(binding.endpointId ?? '')?.[1];
    if (endpoint && !names.includes(endpoint.toLowerCase()))
      wrong.push(`data source for "${binding.target}": no input ${endpoint}`);
  }
  for (const macro of task.instanceNameFormat.matchAll(/\$\(([^)]+)\)/g)) {
    if (!names.includes((macro[1] ?? '').toLowerCase())) wrong.push(`instanceNameFormat: there is no input "${macro[1]}"`);
  }
  for (const phase of [task.prejobexecution, task.execution, task.postjobexecution]) {
    for (const [key, handler] of Object.entries(phase ?? {})) {
      if (!knownHandlers.has(key)) wrong.push(`handler "${key}" is not a handler that agents know`);
      if (!existsSync(handlerTarget(folder, handler))) wrong.push(`handler "${key}": ${handler.target} is not there`);
    }
  }
  return wrong;
}

const bound = (task: TaskDefinition, input: string): boolean =>
  (task.dataSourceBindings ?? []).some((binding) => binding.target.toLowerCase() === input.toLowerCase());
