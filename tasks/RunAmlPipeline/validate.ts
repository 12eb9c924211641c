/** `action: validate`: the file is compiled; with a connection what it names, the rights, the network and the storage are looked at. Nothing is written. */
import { connectAzure } from '../../src/azure/azure.js';
import { Failure } from '../../src/azure/errors.js';
import { compileJob, offlineTarget, type CompiledJob, type CompileWarning } from '../../src/aml/compile/index.js';
import { openDatastore } from '../../src/aml/datastore.js';
import { missingRights } from '../../src/aml/rights.js';
import { openWorkspace, type Workspace } from '../../src/aml/workspace.js';
import { shown } from '../../src/aml/compile/problems.js';
import { wording } from '../../src/task/outcome.js';
import type { Outcome, Platform } from '../../src/task/platform.js';
import type { Inputs } from './inputs.js';
import { counted } from './words.js';

/** Stands in for the workspace where there is none. */
const nowhere = { subscriptionId: '00000000-0000-0000-0000-000000000000', resourceGroup: 'none', workspace: 'none' };

export async function validate(inputs: Inputs, platform: Platform): Promise<Outcome> {
  const subscriptionId = inputs.connection?.azure.subscriptionId;
  if (!inputs.connection || !subscriptionId) {
    const compiled = await compile(inputs, platform, offlineTarget(nowhere));
    say(compiled, platform);
    platform.info('Checked without a connection: what the file names in the workspace was not looked up.');
    return passed(`${shown(inputs.file)} is valid.`, platform);
  }
  const azure = connectAzure(inputs.connection.azure, { clock: platform.clock, onSecret: (value) => platform.secret(value) });
  const workspace = openWorkspace(azure, { subscriptionId, resourceGroup: inputs.resourceGroup, workspace: inputs.workspace });
  const { lookups } = await import('../../src/aml/assets-online.js');
  // Without the workspace itself nothing in it can be judged: then only the file is.
  const unreachable = await workspace.facts(platform.cancelled).then(
    () => undefined,
    (error: unknown) => error,
  );
  // Every check speaks for itself: all that is wrong is said in one go.
  const results = await Promise.allSettled([
    compile(inputs, platform, unreachable ? offlineTarget(workspace) : offlineTarget(workspace, lookups(workspace))),
    ...(unreachable
      ? [Promise.reject(unreachable as Error)]
      : [network(workspace, platform.cancelled), rights(workspace, platform.cancelled), storage(workspace, platform.cancelled)]),
  ]);
  platform.cancelled.throwIfAborted();
  const [job, ...checks] = results;
  if (job.status === 'fulfilled') say(job.value, platform);
  for (const check of checks) if (check.status === 'fulfilled') platform.info(check.value);
  const wrong = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
  for (const error of wrong) if (!(error instanceof Failure)) throw error;
  const seen = new Set<string>();
  for (const error of wrong as Failure[]) {
    if (seen.has(error.message)) continue;
    seen.add(error.message);
    const { file, line, column } = error.details;
    const place = { ...(file ? { sourcePath: file } : {}), ...(line ? { line } : {}), ...(column ? { column } : {}) };
    platform.issue({ type: 'error', message: wording(error), code: error.code, ...place });
  }
  if (seen.size === 0)
    return passed(`${shown(inputs.file)} can be submitted to ${workspace.workspace}. Nothing was submitted.`, platform);
  return {
    result: 'Failed',
    message: `${shown(inputs.file)} cannot be submitted to ${workspace.workspace} as things are. Nothing was submitted.`,
  };
}

function passed(message: string, platform: Platform): Outcome {
  platform.info(message);
  return { result: 'Succeeded', message };
}

function compile(inputs: Inputs, platform: Platform, target: Parameters<typeof compileJob>[1]): Promise<CompiledJob> {
  return compileJob(
    {
      file: inputs.file,
      name: inputs.jobName ?? 'validate',
      overrides: inputs.overrides,
      inputs: inputs.jobInputs,
      tags: inputs.tags,
      ...(inputs.experimentName ? { experimentName: inputs.experimentName } : {}),
      signal: platform.cancelled,
    },
    target,
  );
}

function say(compiled: CompiledJob, platform: Platform): void {
  for (const warning of compiled.warnings) warn(warning, platform);
  const registered = kinds.flatMap(([path, thing]) => {
    const count = new Set(compiled.requests.filter(({ path: own }) => own.includes(path)).map(({ path: own }) => own)).size;
    return count > 0 ? [counted(count, thing)] : [];
  });
  platform.info(
    `${compiled.type} job, experiment ${compiled.experimentName}. Submitting it would register ${registered.join(', ') || 'nothing else'}; what is there already is reused.`,
  );
}

/** What a submission may register before the job itself. */
const kinds = [
  ['/codes/', 'code folder'],
  ['/components/', 'component'],
  ['/environments/', 'environment'],
  ['/data/', 'data asset'],
] as const;

function warn({ message, file, line, column }: CompileWarning, platform: Platform): void {
  const place = { ...(file ? { sourcePath: file } : {}), ...(line ? { line } : {}), ...(column ? { column } : {}) };
  platform.issue({ type: 'warning', message, ...place });
}

async function network(workspace: Workspace, signal: AbortSignal): Promise<string> {
  const facts = await workspace.facts(signal);
  const access = facts.publicNetworkAccess ?? 'not stated';
  return `Workspace ${workspace.workspace} in ${facts.location}; public network access: ${access}; data plane ${new URL(facts.api).host} answers.`;
}

async function rights(workspace: Workspace, signal: AbortSignal): Promise<string> {
  const missing = await missingRights(workspace, signal);
  if (missing === undefined) {
    return 'The rights of the service principal could not be listed; they show when the job is submitted.';
  }
  if (missing.length === 0) {
    return 'Rights on the workspace: sufficient.';
  }
  const { name } = workspace.azure.connection;
  const actions = missing.map((action) => action.replace(/^Microsoft\.MachineLearningServices\/workspaces\//, '')).join(', ');
  throw new Failure(`Service connection ${name} lacks rights on workspace ${workspace.workspace}: ${actions}.`, {
    code: 'AuthorizationFailed',
    advice: 'Give its service principal the role "AzureML Data Scientist" on the workspace.',
  });
}

async function storage(workspace: Workspace, signal: AbortSignal): Promise<string> {
  const { name, access, account, container } = await openDatastore(workspace, undefined, signal);
  const how = { key: 'with an account key', sas: 'with a SAS', identity: 'with the identity of the service principal' }[access];
  for await (const _item of container.list('azureml/amlops-probe/', signal)) break;
  return `Default datastore ${name} (storage account ${account}) is reached ${how}.`;
}
