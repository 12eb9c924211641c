/** `$(step.variable)` and `variables['step.variable']` whose step is not in the job (sheet azure-pipelines-yaml 1.5). */
import { nearest } from '../../../src/aml/compile/problems.js';
import { type ExpandedJob, type ExpandedPipeline, type ExpandedStage, jobName, outputKey } from '../expand/index.js';
import type { TaskDefinition } from '../../agent/task-definition.js';
import { definitionOf } from './task-definitions.js';
import { everyStep, type PlacedStep, type Report } from './types.js';

/** First words of names that the service or the agent sets. */
const predefined = /^(agent|build|checks|common|endpoint|environment|pipeline|release|resources|strategy|system|task|tf)$/i;
const reference = /\$\((\w+)\.(\w+)\)|variables\['(\w+)\.(\w+)'\]/gi;

/** Reports reads of outputs that a step of another job sets, and names that no step of the job has. */
export function checkMacros(pipeline: ExpandedPipeline, definitions: readonly TaskDefinition[], report: Report): void {
  const all = [...everyStep(pipeline)];
  for (const placed of all) {
    const { stage, job, step } = placed;
    const scopes = [...(pipeline.document.variables ?? []), ...(stage.variables ?? []), ...(job.variables ?? [])];
    const own = all.filter((other) => other.job === job);
    for (const [node, property, text] of texts(placed)) {
      for (const match of text.matchAll(reference)) {
        const name = match[1] ?? match[3] ?? '';
        const variable = match[2] ?? match[4] ?? '';
        const whole = `${name}.${variable}`.toLowerCase();
        if (predefined.test(name) || scopes.some((other) => other.name?.toLowerCase() === whole)) continue;
        if (own.some((other) => other.step.name?.toLowerCase() === name.toLowerCase())) continue;
        const far = all.find(
          (other) => other.step.name?.toLowerCase() === name.toLowerCase() && sets(other, variable, definitions),
        );
        const producers = own.filter((other) => other.step !== step && sets(other, variable, definitions));
        const meant = nearest(
          name,
          producers.flatMap((other) => other.step.name ?? []),
          2,
        );
        const near = producers.find((other) => meant !== undefined && other.step.name === meant);
        if (far) report('output-reference', 'error', elsewhere(far, stage, job, variable), node, property);
        else if (near || (producers.length > 0 && !scopes.some(({ group }) => group !== undefined))) {
          const hint = `Did you mean '${near?.step.name ?? producers[0]?.step.name ?? ''}.${variable}'?`;
          report(
            'output-reference',
            'error',
            `No step of this job is named '${name}', so '${name}.${variable}' is empty. ${hint}`,
            node,
            property,
          );
        }
      }
    }
  }
}

function* texts({ step }: PlacedStep): Generator<[node: object, property: string, text: string]> {
  for (const [name, text] of Object.entries(step.inputs ?? {})) yield [step.inputs ?? step, name, text];
  for (const [name, text] of Object.entries(step.env ?? {})) yield [step.env ?? step, name, text];
  if (step.condition !== undefined) yield [step, 'condition', step.condition];
}

function sets({ step }: PlacedStep, variable: string, definitions: readonly TaskDefinition[]): boolean {
  const outputs = definitionOf(definitions, step.task)?.outputVariables ?? [];
  return step.name !== undefined && outputs.some(({ name }) => name.toLowerCase() === variable.toLowerCase());
}

function elsewhere({ stage, job, hook, step }: PlacedStep, here: ExpandedStage, reader: ExpandedJob, variable: string): string {
  const key = outputKey(job, step.name ?? '', variable, hook === undefined ? {} : { hook });
  const path = stage === here ? `dependencies.${jobName(job)}` : `stageDependencies.${stage.stage}.${jobName(job)}`;
  const depend =
    stage === here ? `dependsOn: ${jobName(job)} in job ${jobName(reader)}` : `dependsOn: ${stage.stage} in stage ${here.stage}`;
  return (
    `'${step.name ?? ''}.${variable}' is set in stage ${stage.stage} job ${jobName(job)} and is empty here. ` +
    `Map it with a variable of job ${jobName(reader)}: $[ ${path}.outputs['${key}'] ] (and ${depend}).`
  );
}
