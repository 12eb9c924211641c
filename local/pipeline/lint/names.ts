/** Names that the service takes without a word: tasks and connections that are nearly ours, moving templates, the job name `deploy`. */
import { nearest } from '../../../src/aml/compile/problems.js';
import type { EnvironmentsFile } from '../../../src/devops/environments-file.js';
import { checkNames, checkSyntax } from '../expressions/evaluate.js';
import { ExpressionError, type Value } from '../expressions/values.js';
import { type Catalogue, type ExpandedPipeline, type NormalMapping } from '../expand/index.js';
import type { TaskDefinition } from '../../agent/task-definition.js';
import { definitionOf } from './task-definitions.js';
import { everyStep, type PlacedStep, type Report } from './types.js';

interface NameOptions {
  catalogue?: Catalogue;
  environments?: EnvironmentsFile;
}

export function checkNamesOf(
  pipeline: ExpandedPipeline,
  definitions: readonly TaskDefinition[],
  options: NameOptions,
  report: Report,
): void {
  for (const placed of everyStep(pipeline)) {
    checkTaskName(placed, definitions, report);
    checkConnections(placed, definitions, options, report);
    checkStepCondition(placed, report);
  }
  for (const stage of pipeline.document.stages)
    for (const job of stage.jobs ?? [])
      if (job.deployment?.toLowerCase() === 'deploy')
        report(
          'reserved-name',
          'warning',
          "'deploy' is a keyword: a deployment job of this name may never start. Choose another name.",
          job,
          'deployment',
        );
  checkRepositories(pipeline, report);
}

function checkTaskName({ step }: PlacedStep, definitions: readonly TaskDefinition[], report: Report): void {
  if (definitionOf(definitions, step.task)) return;
  const name = step.task.split('@')[0]?.split('.').at(-1) ?? '';
  const meant = nearest(
    name,
    definitions.map((definition) => definition.name),
    3,
  );
  const near = definitions.find((definition) => definition.name === meant);
  if (near)
    report(
      'task-name',
      'error',
      `There is no task '${step.task}'. Did you mean '${near.name}@${near.version.Major}'?`,
      step,
      'task',
    );
}

/** With a catalogue the list is complete; the environments file names some connections, so only near misses are told. */
function checkConnections(
  { step }: PlacedStep,
  definitions: readonly TaskDefinition[],
  options: NameOptions,
  report: Report,
): void {
  const known = options.catalogue?.serviceConnections?.map(({ name }) => name);
  const names = known ?? (options.environments?.serviceConnections ?? []).map(({ name }) => name);
  const definition = definitionOf(definitions, step.task);
  for (const input of definition?.inputs ?? []) {
    const value = step.inputs?.[input.name] ?? '';
    if (!input.type.startsWith('connectedService') || value === '' || /\$[([]/.test(value)) continue;
    if (names.some((name) => name.toLowerCase() === value.toLowerCase())) continue;
    const near = nearest(
      value,
      names.filter((name) => letters(name) !== letters(value)),
      2,
    );
    const hint = near === undefined ? '' : ` Did you mean '${near}'?`;
    if (known || near !== undefined)
      report(
        'unknown-connection',
        known ? 'error' : 'warning',
        `The service connection '${value}' is not known.${hint}`,
        step.inputs ?? step,
        input.name,
      );
  }
}

/** Names that differ in their numbers only are names of different things, not slips of the keyboard. */
function letters(name: string): string {
  return name.toLowerCase().replace(/\d+/g, '');
}

const agentFunctions = ['always', 'canceled', 'failed', 'succeeded', 'succeededOrFailed'];

/** The service checks the syntax of a step's condition, the agent its names, when the step's turn comes. */
function checkStepCondition({ step }: PlacedStep, report: Report): void {
  const text = step.condition ?? '';
  if (text.trim() === '' || /\$\(/.test(text)) return;
  const none = { min: 0, max: 0, call: (): Value => null };
  const scope = {
    names: new Map<string, Value>([['variables', null]]),
    functions: new Map(agentFunctions.map((name) => [name.toLowerCase(), none])),
  };
  try {
    checkNames(checkSyntax(text, scope.functions), scope);
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    report(
      'step-condition',
      'error',
      `${text}: ${error.message} (The service takes it; the agent fails the step.)`,
      step,
      'condition',
    );
  }
}

const ours =
  /^\/templates\/(stages|jobs|steps)\/(train-and-promote|retrain-per-environment|promote|rollback|train|plan|run|register)\.yml$/;

/** Our templates from a branch: what runs changes without a change of the pipeline. Tags, commits and `vMAJOR` branches are fine. */
function checkRepositories(pipeline: ExpandedPipeline, report: Report): void {
  const used = new Set(pipeline.files.filter(({ path }) => ours.test(path)).map(({ repository }) => repository.toLowerCase()));
  const list = pipeline.document.resources?.['repositories'];
  for (const item of Array.isArray(list) ? (list as NormalMapping[]) : []) {
    const { repository: alias, ref } = item as { repository?: string; ref?: string };
    if (typeof alias !== 'string' || !used.has(alias.toLowerCase())) continue;
    if (/^(refs\/tags\/.+|refs\/heads\/v\d+|[0-9a-f]{40})$/i.test(ref ?? '')) continue;
    const follows = ref === undefined ? 'the default branch' : ref;
    report(
      'template-ref',
      'warning',
      `The templates of '${alias}' follow ${follows}: what this pipeline does changes with every push there. Pin a tag, e.g. ref: refs/tags/v1.0.0.`,
      item,
      ref === undefined ? 'repository' : 'ref',
    );
  }
}
