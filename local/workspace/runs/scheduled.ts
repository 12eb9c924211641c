/** The job of a schedule, completed as a job would be, though none is made of it yet (azure-ml-observed.md §7). */
import { asObject, asText, type Json } from '../engine/json.js';
import { commandBody } from './job-kinds.js';
import { shownInputs, shownOutputs } from './jobs.js';

const ofAny = { display_name: null, tags: {}, computeId: null, inputs: {}, outputs: {}, properties: {} };
const ofCommand = { resources: null, distribution: null, limits: null, environment_variables: {} };

function node(name: string, sent: unknown): Json {
  const own = asObject(sent);
  const command = (asText(own['type']) ?? 'command').toLowerCase() === 'command';
  return { ...(command ? ofCommand : {}), ...ofAny, name, ...own };
}

/** `jobDefinition` as it is answered. */
export function scheduledJob(job: Json, apiVersion: string): Json {
  const type = (asText(job['jobType']) ?? '').toLowerCase();
  const base: Json = {
    description: null,
    tags: {},
    properties: {},
    displayName: null,
    status: 'NotStarted',
    experimentName: 'Default',
    services: null,
    computeId: null,
    isArchived: false,
    identity: null,
    componentId: null,
    ...job,
  };
  const inputs = shownInputs(job['inputs']);
  const outputs = shownOutputs(job['outputs'], ['assetName', 'assetVersion']);
  if (type === 'command')
    return { ...base, ...commandBody(job, inputs, outputs, apiVersion || '2025-09-01', job['computeId'] != null) };
  if (type !== 'pipeline') return { ...base, inputs, outputs };
  const jobs = Object.fromEntries(Object.entries(asObject(job['jobs'])).map(([name, sent]) => [name, node(name, sent)]));
  return { ...base, settings: job['settings'] ?? {}, jobs, inputs, outputs, sourceJobId: job['sourceJobId'] ?? null };
}
