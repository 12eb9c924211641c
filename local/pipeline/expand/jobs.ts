/** Jobs, deployment jobs and stages in the normal form. */
import { type Context, type Frame, VariableScope } from './context.js';
import { container, containers } from './resources.js';
import { any, list, loose, nonEmpty, object, oneOf, put, type Reader, text, unexpected, unique } from './shapes.js';
import { step, steps } from './steps.js';
import { includeList, parts } from './templates.js';
import type { Normal, NormalMapping } from './types.js';
import { entries, type Entry, items, settle } from './unravel.js';
import { variables } from './variables.js';

/** A name, or a mapping: the service keeps what was written. */
export const pool: Reader = any;

const containerReference: Reader = (context, slot) => {
  const node = settle(context, slot);
  return node?.kind === 'scalar' ? context.mark({ alias: node.text }, node.place) : any(context, slot);
};

const environment: Reader = (context, slot) => {
  const read = object({
    properties: { name: nonEmpty, resourceName: nonEmpty, resourceId: nonEmpty, resourceType: nonEmpty, tags: any },
    scalar: 'name',
  });
  const found = read(context, slot) as NormalMapping | undefined;
  const name = found?.['name'];
  // `environment.resource`: the first dot splits
  if (found && typeof name === 'string' && name.includes('.') && found['resourceName'] === undefined) {
    const dot = name.indexOf('.');
    found['name'] = name.slice(0, dot);
    found['resourceName'] = name.slice(dot + 1);
  }
  return found;
};

const hook = object({ properties: { steps, pool } });
const hooks: Record<string, Reader> = {
  preDeploy: hook,
  deploy: hook,
  routeTraffic: hook,
  postRouteTraffic: hook,
  on: object({ properties: { success: hook, failure: hook } }),
};

const deploymentStrategy = object({
  properties: {
    runOnce: object({ properties: hooks }),
    rolling: object({ properties: { ...hooks, maxParallel: text } }),
    canary: object({ properties: { ...hooks, increments: any } }),
  },
});

const matrix: Reader = (context, slot) => {
  const node = settle(context, slot);
  if (node?.kind === 'scalar') return text(context, { node, frame: slot.frame });
  return loose(loose(text))(context, slot);
};

const jobStrategy = object({ properties: { matrix, parallel: text, maxParallel: text } });
const dependsOn = list(text, { orScalar: true });

/** Properties that a job may hold, and that bare steps of the root give to their job. */
export const jobProperties: Record<string, Reader> = {
  displayName: text,
  dependsOn,
  condition: text,
  continueOnError: text,
  timeoutInMinutes: nonEmpty,
  cancelTimeoutInMinutes: nonEmpty,
  pool,
  container: containerReference,
  services: loose(containerReference),
  workspace: object({ properties: { clean: text } }),
  uses: any,
  templateContext: any,
};

const plainJob: Record<string, Reader> = { job: text, ...jobProperties, strategy: jobStrategy, steps };
const deploymentJob: Record<string, Reader> = { deployment: text, ...jobProperties, strategy: deploymentStrategy, environment };

/** Strategy of bare steps at the root. */
export const rootStrategy = jobStrategy;

/** Reads a stage or job: variables at once, everything else when they are all known; keys keep their order. */
function readScoped(
  context: Context,
  target: NormalMapping,
  found: Iterable<Entry>,
  properties: Record<string, Reader>,
): NormalMapping {
  const members: { entry: Entry; read: () => Normal | undefined }[] = [];
  for (const entry of found) {
    const reader = Object.hasOwn(properties, entry.key) ? properties[entry.key] : undefined;
    if (entry.key === 'variables') {
      const value = variables(context, entry.value);
      members.push({ entry, read: () => value });
    } else if (reader) members.push({ entry, read: () => reader(context, entry.value) });
    else context.error(entry.place, `Unexpected value '${entry.key}'`);
  }
  for (const { entry, read } of members) put(context, target, entry.key, read(), entry);
  return target;
}

function nested(frame: Frame): Frame {
  return { ...frame, variables: new VariableScope(frame.variables) };
}

/** A member of `jobs` or `stages`: a template reference or a mapping whose first key says what it is. */
function member(kind: 'jobs' | 'stages', shapes: Record<string, Record<string, Reader>>): Reader {
  return (context, slot) => {
    const node = settle(context, slot);
    if (!node) return undefined;
    if (node.kind !== 'mapping') return unexpected(context, node);
    const frame = nested(slot.frame);
    const found = unique(context, entries(context, node, frame, { directives: true }));
    const first = found.next();
    if (first.done) {
      context.error(node.place, 'Expected a mapping');
      return undefined;
    }
    if (first.value.key === 'template') return includeList(context, [first.value, ...found], kind, slot.frame);
    const shape = Object.hasOwn(shapes, first.value.key) ? shapes[first.value.key] : undefined;
    if (!shape) {
      context.error(first.value.place, `Unexpected value '${first.value.key}'`);
      return undefined;
    }
    return readScoped(context, context.mark({}, node.place), chain(first.value, found), shape);
  };
}

function* chain<T>(first: T, rest: Iterable<T>): Generator<T> {
  yield first;
  yield* rest;
}

function listOf(of: Reader): Reader {
  return (context, slot) => {
    const node = settle(context, slot);
    if (!node) return undefined;
    if (node.kind !== 'sequence') return unexpected(context, node);
    const result: Normal[] = context.mark([], node.place);
    for (const item of items(context, node, slot.frame, { directives: true })) {
      const found = of(context, item);
      if (Array.isArray(found)) result.push(...found);
      else if (found !== undefined) result.push(found);
    }
    return result;
  };
}

const job = member('jobs', { job: plainJob, deployment: deploymentJob });
export const jobs = listOf(job);

const stageShape: Record<string, Reader> = {
  stage: text,
  displayName: text,
  dependsOn,
  condition: text,
  pool,
  jobs,
  lockBehavior: oneOf('sequential', 'runLatest'),
  trigger: oneOf('manual', 'automatic'),
  isSkippable: text,
  group: text,
  checks: any,
  templateContext: any,
};
const stage = member('stages', { stage: stageShape });
export const stages = listOf(stage);

/** Makes the readers of parts known to parameters and templates (they need each other). */
export function connectParts(): void {
  parts.types = {
    container,
    containerList: containers,
    step,
    stepList: steps,
    job,
    jobList: jobs,
    deployment: member('jobs', { deployment: deploymentJob }),
    deploymentList: listOf(member('jobs', { deployment: deploymentJob })),
    stage,
    stageList: stages,
  };
  parts.lists = { steps, jobs, stages };
}
