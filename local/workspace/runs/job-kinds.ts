/** What ARM shows of each kind of job; members come and go with the api-version (azure-ml-observed.md §1). */
import { asObject, type Json } from '../engine/json.js';

/** Members that come and go with the api-version. */
export function atLeast(apiVersion: string, date: string): boolean {
  return apiVersion.slice(0, 10) >= date;
}

/** Nulls are explicit in the service's answers. */
export const nulls = (object: Json, names: string): Json => ({
  ...Object.fromEntries(names.split(' ').map((name) => [name, null])),
  ...object,
});

/** What a command job shows besides what all jobs do. `placed`: its compute is known. */
export function commandBody(properties: Json, inputs: Json, outputs: Json, version: string, placed: boolean): Json {
  const newest = atLeast(version, '2025-01-01');
  const early = !atLeast(version, '2022-06-01');
  const resources = {
    instanceCount: 1,
    instanceType: null,
    properties: null,
    ...(!early && { shmSize: '2g', dockerArgs: null }),
    ...(newest && { dockerArgsList: null }),
    ...asObject(properties['resources']),
  };
  const serverless = properties['computeId'] == null;
  const queueSettings = properties['queueSettings']
    ? nulls(asObject(properties['queueSettings']), serverless ? 'jobTier priority' : 'jobTier')
    : serverless
      ? { jobTier: 'Standard', priority: null }
      : { jobTier: 'Null' };
  return {
    resources,
    // The versions of 2022 tell of the queue only while no compute is known.
    ...((!placed || atLeast(version, '2023')) && { queueSettings }),
    codeId: properties['codeId'] ?? null,
    command: properties['command'],
    environmentId: properties['environmentId'],
    inputs,
    outputs,
    distribution: properties['distribution'] ?? null,
    ...(version.startsWith('2022-12') || version.startsWith('2023-0')
      ? { autologgerSettings: properties['autologgerSettings'] ?? null }
      : {}),
    limits: properties['limits'] ?? null,
    environmentVariables: properties['environmentVariables'] ?? {},
    parameters: {},
  };
}

export function pipelineBody(properties: Json, inputs: Json, outputs: Json): Json {
  const settings = { ...asObject(properties['settings']) };
  // Answered as properties, not as settings.
  for (const name of [
    'continue_on_step_failure',
    'continueOnStepFailure',
    'force_rerun',
    'forceRerun',
    'continue_on_failed_optional_input',
  ])
    delete settings[name];
  return { settings, jobs: properties['jobs'] ?? {}, inputs, outputs, sourceJobId: properties['sourceJobId'] ?? null };
}

/** A sweep; its trial is told as a command is. */
export function sweepBody(properties: Json, inputs: Json, outputs: Json, version: string, placed: boolean): Json {
  const trial = asObject(properties['trial']);
  const { resources, codeId, command, environmentId, distribution, environmentVariables } = commandBody(
    trial,
    {},
    {},
    version,
    placed,
  );
  return {
    ...nulls(properties, 'earlyTermination limits'),
    ...((!placed || atLeast(version, '2023')) && { queueSettings: properties['queueSettings'] ?? null }),
    trial: { codeId, command, environmentId, distribution, environmentVariables, resources },
    ...(properties['limits'] != null && { limits: nulls(asObject(properties['limits']), 'timeout trialTimeout') }),
    inputs,
    outputs,
  };
}
