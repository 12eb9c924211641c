/** Which step of which run this is: the key of idempotent submission (design §3 `jobName`). Nothing in it changes with an attempt. */
import { Failure } from '../azure/errors.js';
import type { Platform } from './platform.js';

/**
 * From the agent's variables (reference task-contract B.5). The step is its name in the job: record ids (System.TaskInstanceId, JobId) are
 * new in every attempt of a stage. `asked` tells steps apart that have no name of their own: what the step was asked for. Errors: `Failure`
 * outside a run, where two runs could not be told apart.
 */
export function identityOf(platform: Platform, asked = '') {
  const variable = (name: string) => platform.variable(name) ?? '';
  const release = variable('Release.ReleaseId');
  const runId = release ? `release-${release}` : variable('Build.BuildId');
  if (!runId) {
    throw new Failure('Neither Build.BuildId nor Release.ReleaseId is set: this task does not know which run it belongs to.', {
      code: 'NoRun',
      advice: 'Run the task in Azure Pipelines, or with `amlops task`.',
    });
  }
  return {
    // The id: an organization's address has two spellings (dev.azure.com, visualstudio.com), and may change.
    organization: variable('System.CollectionId') || variable('System.CollectionUri'),
    project: variable('System.TeamProjectId') || variable('System.TeamProject'),
    pipeline: variable('Build.DefinitionName') || variable('System.DefinitionName') || variable('Release.DefinitionName'),
    runId,
    stage: variable('System.StageName') || variable('Release.EnvironmentName'),
    job: [variable('System.PhaseName'), variable('System.JobName')].join('/'),
    step:
      variable('System.TaskInstanceName') ||
      [variable('System.TaskDisplayName') || variable('Task.DisplayName'), asked].filter(Boolean).join('\n'),
  };
}
