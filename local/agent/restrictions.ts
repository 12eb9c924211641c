/** Commands and variables that a task.json or the step's `target` forbids (task-contract B.6.4). */
import type { TaskDefinition } from './task-definition.js';
import type { CommandRestrictions } from './types.js';

const whenRestricted = new Set(
  (
    'task.logdetail task.logissue task.issue task.complete task.setprogress task.setsecret task.setvariable task.debug ' +
    'task.settaskvariable task.prependpath telemetry.publish'
  ).split(' '),
);

const glob = (pattern: string): RegExp =>
  new RegExp(
    `^${pattern
      .replace(/[.+^${}()|[\]\\]/g, '\\$&')
      .replaceAll('*', '.*')
      .replaceAll('?', '.')}$`,
    'i',
  );

export interface Restrictions {
  commandAllowed(area: string, event: string): boolean;
  variableAllowed(name: string): boolean;
}

/** Both sources bind: what either forbids is forbidden. */
export function combineRestrictions(definition: TaskDefinition | undefined, target: CommandRestrictions = {}): Restrictions {
  const restricted = definition?.restrictions?.commands?.mode === 'restricted' || target.commands === 'restricted';
  const lists = [definition?.restrictions?.settableVariables?.allowed, target.settableVariables]
    .filter((list) => list !== undefined)
    .map((list) => list.map(glob));
  return {
    commandAllowed: (area, event) => !restricted || whenRestricted.has(`${area}.${event}`),
    variableAllowed: (name) => lists.every((list) => list.some((pattern) => pattern.test(name))),
  };
}
