/** Variables of a job: root, stage and job layers, groups, secrets, runtime expressions, and what the server adds (sheet task-contract B.5). */
import type { JobVariable } from '../../agent/types.js';
import { expandVariables } from '../../agent/variables.js';
import type { Project } from '../devops/project.js';
import type { RunState } from '../devops/run-state.js';
import type { ExpandedVariable } from '../expand/types.js';
import { evaluateRuntime, type RuntimeContext } from '../expressions/runtime.js';
import type { SourceFacts } from './source.js';

export type Variables = Record<string, JobVariable>;

/** Adds a layer: a later definition of the same name (any case) takes the place of the earlier one. */
function put(into: Variables, name: string, variable: JobVariable): void {
  const known = Object.keys(into).find((other) => other.toLowerCase() === name.toLowerCase());
  if (known !== undefined && known !== name) delete into[known];
  into[name] = variable;
}

/**
 * One level of `variables:` as written; groups become their variables. A secret of a group has the value that `--secret` gives.
 */
export function layer(
  variables: readonly ExpandedVariable[] | undefined,
  project: Project,
  secrets: Record<string, string>,
): Variables {
  const made: Variables = {};
  for (const { name, value, group, readonly } of variables ?? []) {
    if (group !== undefined) {
      const found = project.now.variableGroups.find((known) => known.name.toLowerCase() === group.toLowerCase());
      for (const [key, variable] of Object.entries(found?.variables ?? {})) {
        const secret = Object.entries(secrets).find(([other]) => other.toLowerCase() === key.toLowerCase())?.[1];
        if (variable.isSecret) put(made, key, { value: secret ?? '', isSecret: true });
        else put(made, key, { value: variable.value ?? '' });
      }
    } else if (name !== undefined)
      put(made, name, { value: value ?? '', ...(readonly?.toLowerCase() === 'true' ? { isReadOnly: true } : {}) });
  }
  return made;
}

export function merge(...layers: Variables[]): Variables {
  const all: Variables = {};
  for (const one of layers) for (const [name, variable] of Object.entries(one)) put(all, name, variable);
  return all;
}

export function values(variables: Variables): Record<string, string> {
  return Object.fromEntries(Object.entries(variables).map(([name, { value }]) => [name, value]));
}

/**
 * Evaluates `$[ ]` of stage and job variables when the job starts. `$(x)` of other variables is the agent's to put in.
 * @param secretOutputs values of secret output variables: what is made from one is a secret
 * @throws ExpressionError; the job is then abandoned
 */
export function settle(variables: Variables, context: RuntimeContext, secretOutputs: ReadonlySet<string>): Variables {
  const settled: Variables = {};
  for (const [name, variable] of Object.entries(variables)) {
    const value = evaluateRuntime(variable.value, 'jobVariable', context);
    const isSecret = variable.isSecret === true || (value !== '' && secretOutputs.has(value));
    settled[name] = { ...variable, value, ...(isSecret ? { isSecret } : {}) };
  }
  return settled;
}

/**
 * `$(other)` inside values, as agents put it in; for what is read before an agent is there. The agent itself gets values as they are
 * written: what a stage, a job, a leg of a matrix or a step sets counts in all values that name it.
 */
export function nested(variables: Variables): Variables {
  const written = new Map(Object.entries(variables).map(([name, variable]) => [name.toLowerCase(), { ...variable, name }]));
  return Object.fromEntries([...expandVariables(written).expanded.values()].map(({ name, ...variable }) => [name, variable]));
}

/** What is known of a run before any job: for compile time, root variables, conditions. */
export function runVariables(project: Project, source: SourceFacts, definitionName: string, run?: RunState): Variables {
  const short = source.branch.split('/').slice(2).join('/');
  const all: Record<string, string> = {
    'System.TeamProject': project.name,
    'System.TeamProjectId': project.id,
    'System.HostType': 'build',
    'System.DefinitionName': definitionName,
    'Build.DefinitionName': definitionName,
    'Build.Reason': 'Manual',
    'Build.RequestedFor': 'local user',
    'Build.QueuedBy': 'local user',
    'Build.Repository.Name': source.repository,
    'Build.Repository.Provider': 'TfsGit',
    'Build.SourceBranch': source.branch,
    'Build.SourceBranchName': short.split('/').at(-1) ?? short,
    'Build.SourceVersion': source.commit,
    'Build.SourceVersionMessage': source.message,
  };
  if (run) {
    Object.assign(all, {
      'Build.BuildId': String(run.id),
      'Build.BuildUri': `vstfs:///Build/Build/${run.id}`,
      'Build.BuildNumber': run.run.buildNumber,
      'Build.ContainerId': String(run.id),
      'Build.Repository.Id': run.run.repository.id,
      'System.DefinitionId': String(run.run.definitionId),
      'System.PlanId': run.run.planId,
      'System.TimelineId': run.run.timelineId,
    });
  }
  return Object.fromEntries(
    Object.entries(all).map(([name, value]) => [name, { value, ...(name === 'Build.BuildNumber' ? {} : { isReadOnly: true }) }]),
  );
}

/** Where the job stands in the run. */
export interface JobPlace {
  stage: string;
  stageTitle: string;
  stageAttempt: number;
  phase: string;
  phaseTitle: string;
  job: string;
  jobTitle: string;
  attempt: number;
  jobId: string;
}

export function jobVariables(place: JobPlace): Variables {
  const all: Record<string, string> = {
    'System.StageName': place.stage,
    'System.StageDisplayName': place.stageTitle,
    'System.StageAttempt': String(place.stageAttempt),
    'System.PhaseName': place.phase,
    'System.PhaseDisplayName': place.phaseTitle,
    'System.PhaseAttempt': String(place.attempt),
    'System.JobName': place.job,
    'System.JobDisplayName': place.jobTitle,
    'System.JobAttempt': String(place.attempt),
    'System.JobId': place.jobId,
    'Agent.JobName': place.jobTitle,
  };
  return Object.fromEntries(Object.entries(all).map(([name, value]) => [name, { value, isReadOnly: true }]));
}
