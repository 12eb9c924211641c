/** Our tasks as their task.json describes them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { TaskDefinition } from '../../agent/task-definition.js';

/** The nearest folder above `from` that holds `tasks/`. */
function home(from: string): string | undefined {
  for (let folder = from; ; folder = dirname(folder)) {
    if (existsSync(join(folder, 'package.json')) && existsSync(join(folder, 'tasks'))) return folder;
    if (dirname(folder) === folder) return undefined;
  }
}

/** The task.json of every task of this package. */
export function taskDefinitions(): TaskDefinition[] {
  const root = home(import.meta.dirname);
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
