/** Interactive services of jobs (Jupyter, VS Code, TensorBoard, SSH): they are kept and shown as asked for, and none is started here. */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { asObject, asText, type Json } from '../engine/json.js';
import { getJob } from './jobs.js';
import type { RunRecord } from './record.js';

/** Services that a job asks for besides those that the service gives. */
function interactive(properties: Json): [name: string, service: Json][] {
  return Object.entries(asObject(properties['services']))
    .map(([name, service]): [string, Json] => [name, asObject(service)])
    .filter(([, { jobServiceType }]) => !/^(Tracking|Studio)$/i.test(asText(jobServiceType) ?? ''));
}

/** What a run that asks for some warns of. */
export function serviceWarnings(properties: Json): string[] {
  const names = interactive(properties).map(([name]) => name);
  return names.length === 0 ? [] : [`Interactive services are not started here: ${names.join(', ')}.`];
}

/** `runs/{run}/serviceinstances/{node}`: those that were asked for, each with the reason why there is none. */
export function serviceInstances(ctx: Ctx, ws: WorkspaceRecord, run: RunRecord): Json {
  const error = { error: { code: 'NotImplemented', message: 'The embedded workspace starts no interactive services.' } };
  const instances: Json = {};
  for (const [name, service] of interactive(getJob(ctx.store, ws.guid, run.runId)?.properties ?? {}))
    instances[name] = {
      type: service['jobServiceType'],
      port: service['port'] ?? null,
      status: 'Failed',
      error,
      endpoint: null,
      properties: service['properties'] ?? {},
    };
  return { instances };
}
