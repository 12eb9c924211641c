/** What is refused before anything runs, and which protected resources each stage uses. */
import { nearest } from '../../../src/aml/compile/problems.js';
import { Failure } from '../../../src/azure/errors.js';
import { findInput, missingInputs } from '../../agent/inputs.js';
import { readDefinition } from '../../agent/task-folder.js';
import type { TaskDefinition } from '../../agent/task-definition.js';
import type { Project } from '../devops/project.js';
import type { ResourceRef } from '../devops/types.js';
import {
  formatMessage,
  type ExpandedPipeline,
  type ExpandedJob,
  type ExpandedStage,
  type ExpandedStep,
  type Position,
} from '../expand/types.js';
import { builtInSteps } from './builtin.js';
import { jobKey, stepLists } from './names.js';

export interface Prepared {
  /** Stage index → its protected resources: environments, service connections, variable groups. */
  resources: ResourceRef[][];
  warnings: string[];
}

type PositionOf = ExpandedPipeline['positionOf'];

/**
 * @param tasks folder of task folders, or a VSIX
 * @param given where in the user's own file a text stands that a template was given, when it is there once
 * @throws Failure `PipelineRefused` with every problem: file, line, column and what this runner has instead
 */
export function prepare(
  stages: ExpandedStage[],
  groups: string[],
  project: Project,
  tasks: string,
  positionOf: PositionOf,
  given: (text: string) => Position | undefined = () => undefined,
): Prepared {
  const problems: string[] = [];
  const warnings: string[] = [];
  const definitions = new Map<string, TaskDefinition | undefined>();
  const say = (node: object, property: string | undefined, text: string): void => {
    const own = positionOf(node, property) ?? positionOf(node);
    const value = property === undefined ? undefined : (node as Record<string, unknown>)[property];
    const caller = typeof value === 'string' ? given(value) : undefined;
    const position = caller && own?.file !== caller.file ? caller : own;
    problems.push(formatMessage(position ? { text, position } : { text }));
  };
  const define = (name: string): TaskDefinition | undefined => {
    if (!definitions.has(name)) definitions.set(name, definitionOf(tasks, name));
    return definitions.get(name);
  };
  const resources = stages.map((stage) => {
    const found = new Map<string, ResourceRef>();
    const add = (resource: ResourceRef): void => void found.set(`${resource.type}/${resource.id}`, resource);
    for (const name of [...groups, ...groupNames(stage)]) {
      const group = project.now.variableGroups.find((known) => known.name.toLowerCase() === name.toLowerCase());
      if (group) add({ type: 'variablegroup', id: String(group.id), name: group.name });
      else warnings.push(`Variable group '${name}' is not known here: its variables are not set. Name it in --catalogue FILE.`);
    }
    for (const [index, job] of (stage.jobs ?? []).entries()) {
      checkJob(job, say);
      const environment = job.environment?.name === undefined ? undefined : project.environment(job.environment.name);
      if (environment) add({ type: 'environment', id: String(environment.id), name: environment.name });
      for (const { steps } of stepLists(job))
        for (const step of steps) {
          if (builtInSteps.has(step.task.toLowerCase())) continue;
          const definition = define(step.task);
          if (!definition) say(step, 'task', unknownTask(step.task));
          else checkTask(step, definition, jobKey(stage, index), project, add, say);
        }
    }
    return [...found.values()];
  });
  if (problems.length > 0)
    throw new Failure([...new Set(problems)].join('\n'), {
      code: 'PipelineRefused',
      advice: 'Nothing was run.',
    });
  return { resources, warnings: [...new Set(warnings)] };
}

function groupNames(stage: ExpandedStage): string[] {
  return [...(stage.variables ?? []), ...(stage.jobs ?? []).flatMap((job) => job.variables ?? [])].flatMap(({ group }) =>
    group ? [group] : [],
  );
}

function definitionOf(tasks: string, name: string): TaskDefinition | undefined {
  try {
    return readDefinition(tasks, name);
  } catch (error) {
    if (error instanceof Failure && error.code === 'TaskUnknown') return undefined;
    throw error;
  }
}

function unknownTask(name: string): string {
  return (
    `Task '${name}' cannot be run here. The local runner has the tasks of this extension (RunAmlPipeline, RegisterModel, PromoteModel) and ` +
    'CmdLine@2, Bash@3, checkout, publish, download, PublishPipelineArtifact@1, DownloadPipelineArtifact@2, PublishTestResults@2, UsePythonVersion@0. ' +
    'Leave the step out with a parameter, or use `amlops lint` to check the file alone.'
  );
}

type Say = (node: object, property: string | undefined, text: string) => void;

function checkJob(job: ExpandedJob, say: Say): void {
  const name = job.deployment ?? job.job ?? '';
  if (job.strategy?.rolling)
    say(
      job,
      'strategy',
      `Job ${name}: the rolling strategy needs virtual machines of an environment and cannot be run here; use runOnce.`,
    );
  if (job.strategy?.canary)
    say(job, 'strategy', `Job ${name}: the canary strategy needs a Kubernetes resource and cannot be run here; use runOnce.`);
  if (job.deployment !== undefined && job.strategy?.runOnce === undefined && !job.strategy?.rolling && !job.strategy?.canary)
    say(job, 'deployment', `Job ${name}: a deployment job needs a strategy.`);
  if (job.container) say(job, 'container', `Job ${name}: container jobs cannot be run here.`);
  if (job.services) say(job, 'services', `Job ${name}: service containers cannot be run here.`);
  const pools = [
    job.pool,
    ...Object.values(job.strategy?.runOnce ?? {}).map((hook) => (hook as { pool?: ExpandedJob['pool'] } | undefined)?.pool),
  ];
  for (const pool of pools) {
    const called = typeof pool === 'string' ? pool : pool?.['name'];
    if (typeof called === 'string' && called.toLowerCase() === 'server')
      say(job, 'pool', `Job ${name}: agentless jobs (pool: server) run in the service and cannot be run here.`);
  }
}

function checkTask(
  step: ExpandedStep,
  definition: TaskDefinition,
  job: string,
  project: Project,
  add: (resource: ResourceRef) => void,
  say: Say,
): void {
  const inputs = step.inputs ?? {};
  for (const missing of missingInputs(definition, inputs))
    say(step, 'task', `Job ${job}: Step ${step.name ?? ''} of task ${definition.name} needs input '${missing}'.`);
  for (const [name, value] of Object.entries(inputs)) {
    const input = findInput(definition, name);
    if (!input) {
      const known = definition.inputs.map((other) => other.name).join(', ');
      say(inputs, name, `Job ${job}: ${definition.name} has no input '${name}'; it has ${known}.`);
      continue;
    }
    if (!input.type.startsWith('connectedService') || value.trim() === '') continue;
    if (/\$\(/.test(value)) {
      say(
        inputs,
        name,
        `Job ${job}: input ${name} names the service connection '${value}'. Service connections must be known when the YAML is expanded; use a parameter instead of a variable.`,
      );
      continue;
    }
    const endpoint = project.endpoint(value);
    if (endpoint) add({ type: 'endpoint', id: endpoint.id, name: endpoint.name });
    else
      say(
        inputs,
        name,
        `Job ${job}: Step ${step.name ?? ''} input ${name} references service connection ${value} which could not be found. The service connection does not exist, has been disabled or has not been authorized for use.${instead(
          value,
          project.now.endpoints.map((known) => known.name),
        )}`,
      );
  }
}

/** What a name may have been meant to be. */
function instead(name: string, known: readonly string[]): string {
  if (known.length === 0) return '';
  const near = nearest(name, known, 2);
  return near === undefined ? ` Here there are ${known.join(', ')}.` : ` Did you mean ${near}?`;
}
