/** Our tasks as their task.json describes them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isVisible as ruleHolds } from '../../agent/visible-rule.js';

export interface TaskInput {
  name: string;
  aliases?: string[];
  type: string;
  label?: string;
  required?: boolean;
  defaultValue?: string;
  options?: Record<string, string>;
  visibleRule?: string;
  properties?: Record<string, string>;
}

export interface TaskDefinition {
  name: string;
  version: { Major: number | string };
  inputs: TaskInput[];
  outputVariables?: { name: string }[];
}

/** The nearest folder above `from` that holds `tasks/`. */
function home(from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'tasks'))) return folder;
    if (dirname(folder) === folder) return undefined;
  }
}

/**
 * Reads the task.json of every task of this package.
 * @param from a folder inside the package (default: where this module is)
 */
export function taskDefinitions(from: string = import.meta.dirname): TaskDefinition[] {
  const root = home(from);
  if (root === undefined) return [];
  return readdirSync(join(root, 'tasks'))
    .map((name) => join(root, 'tasks', name, 'task.json'))
    .filter((file) => existsSync(file))
    .map((file) => JSON.parse(readFileSync(file, 'utf8')) as TaskDefinition);
}

/** The definition that `RunAmlPipeline@1` (also `publisher.extension.contribution.RunAmlPipeline@1`) names. */
export function definitionOf(definitions: readonly TaskDefinition[], reference: string): TaskDefinition | undefined {
  const name = (reference.split('@')[0]?.split('.').at(-1) ?? '').toLowerCase();
  return definitions.find((definition) => definition.name.toLowerCase() === name);
}

/** The value that an input has: as given (by name or alias, any case), else its default. */
export function inputValue(definition: TaskDefinition, inputs: Readonly<Record<string, string>>, name: string): string {
  const input = definition.inputs.find((other) => other.name.toLowerCase() === name.toLowerCase());
  if (!input) return '';
  const names = [input.name, ...(input.aliases ?? [])].map((other) => other.toLowerCase());
  return Object.entries(inputs).find(([key]) => names.includes(key.toLowerCase()))?.[1] ?? input.defaultValue ?? '';
}

/** Is an input shown, given the values of the others? */
export function isVisible(
  definition: TaskDefinition,
  inputs: Readonly<Record<string, string>>,
  rule: string | undefined,
): boolean {
  return ruleHolds(rule, (name) => inputValue(definition, inputs, name));
}
