/** Environments that exist, and production behind an environment that asks somebody. */
import type { EnvironmentsFile } from '../../../src/devops/environments-file.js';
import { type Catalogue, type ExpandedPipeline, jobName } from '../expand/index.js';
import { inputValue } from '../../agent/inputs.js';
import type { TaskDefinition } from '../../agent/task-definition.js';
import { definitionOf } from './task-definitions.js';
import { everyStep, type Report } from './types.js';

/** What counts as production when nothing else is said: a word `prod`, `production`, `prd` or `live` in a name. */
const productionPattern = /(^|[^a-z0-9])(prod|production|prd|live)([^a-z0-9]|$)/i;

interface ProtectionOptions {
  catalogue?: Catalogue;
  environments?: EnvironmentsFile;
  production?: RegExp;
}

const placeInputs = ['azureSubscription', 'workspaceName', 'targetAzureSubscription', 'targetWorkspaceName', 'targetRegistry'];

export function checkProtection(
  pipeline: ExpandedPipeline,
  definitions: readonly TaskDefinition[],
  options: ProtectionOptions,
  report: Report,
): void {
  checkEnvironments(pipeline, options, report);
  const pattern = options.production ?? productionPattern;
  const told = new Set<object>();
  for (const { stage, job, step } of everyStep(pipeline)) {
    const definition = definitionOf(definitions, step.task);
    const inputs = step.inputs ?? {};
    if (!definition || told.has(job)) continue;
    if (['plan', 'validate'].includes(inputValue(definition, inputs, 'action').toLowerCase())) continue;
    const target = definition.inputs.some(({ name }) => name === 'targetWorkspaceName');
    const relevant = target ? placeInputs.slice(2) : placeInputs.slice(0, 2);
    const reached = relevant
      .map((name) => [name, inputValue(definition, inputs, name)] as const)
      .find(([, value]) => pattern.test(value));
    if (!reached) continue;
    const why = unprotected(job.deployment === undefined ? undefined : job.environment?.name, options);
    if (why === undefined || connectionAsks(inputs, options)) continue;
    told.add(job);
    const [name, value] = reached;
    const where = `Stage ${stage.stage} job ${jobName(job)} reaches production (${name} ${value})`;
    report('unprotected-production', 'error', `${where} ${why}`, step.inputs ?? step, name);
  }
}

function unprotected(environment: string | undefined, { environments }: ProtectionOptions): string | undefined {
  if (environment === undefined || environment === '') {
    return 'without an environment: make it a `deployment:` job bound to an environment with approvals.';
  }
  if (!environments) return undefined;
  const spec = environments.environments.find(({ name }) => name.toLowerCase() === environment.toLowerCase());
  if (spec && (spec.approvals?.length ?? 0) > 0) return undefined;
  return `and its environment ${environment} asks nobody: give it approvals in the environments file.`;
}

/** An approval on the service connection protects as well, whatever the environment. */
function connectionAsks(inputs: Readonly<Record<string, string>>, { environments }: ProtectionOptions): boolean {
  const used = [inputs['azureSubscription'], inputs['targetAzureSubscription']].map((name) => name?.toLowerCase());
  return (environments?.serviceConnections ?? []).some(
    (spec) => used.includes(spec.name.toLowerCase()) && (spec.approvals?.length ?? 0) > 0,
  );
}

function checkEnvironments(pipeline: ExpandedPipeline, { environments }: ProtectionOptions, report: Report): void {
  for (const stage of pipeline.document.stages) {
    for (const job of stage.jobs ?? []) {
      const name = job.environment?.name;
      if (name === undefined || name === '') continue;
      const node = job.environment ?? job;
      if (/\$[([]/.test(name)) {
        report(
          'compile-time-name',
          'error',
          `The environment '${name}' must be known when the YAML is compiled: use a template parameter.`,
          node,
          'name',
        );
      } else if (environments && !environments.environments.some((spec) => spec.name.toLowerCase() === name.toLowerCase())) {
        report(
          'unknown-environment',
          'error',
          `Job ${jobName(job)}: Environment ${name} could not be found. The environment does not exist or has not been authorized for use. (It is not in the environments file.)`,
          node,
          'name',
        );
      }
    }
  }
}
