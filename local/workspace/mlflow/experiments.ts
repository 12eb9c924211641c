/** Experiments: the workspace's own, in MLflow's words. */
import { randomUUID } from 'node:crypto';
import {
  ensureExperiment,
  getExperiment,
  getExperimentByName,
  listExperiments,
  putExperiment,
  type Experiment,
} from '../runs/access.js';
import type { Tx } from '../store.js';
import { parseFilter, parseOrder, satisfies, sortBy } from './search-filter.js';
import {
  checkKey,
  fromPairs,
  invalid,
  milliseconds,
  missing,
  MlflowError,
  need,
  own,
  page,
  pairs,
  text,
  texts,
  viewType,
  type Handler,
  type MlflowCall,
} from './wire.js';

/** MLflow's clients mean it when they name none. */
const defaultId = '0';
const defaultName = 'Default';

export const artifactBase = (call: Pick<MlflowCall, 'base'>): string => `${call.base}/api/2.0/mlflow-artifacts/artifacts`;

function show(call: MlflowCall, experiment: Experiment): unknown {
  return {
    experiment_id: experiment.id,
    name: experiment.name,
    artifact_location: `${artifactBase(call)}/Experiment/${experiment.id}`,
    lifecycle_stage: experiment.deleted ? 'deleted' : 'active',
    creation_time: milliseconds(experiment.createdAt),
    last_update_time: milliseconds(experiment.lastModifiedAt),
    tags: pairs(experiment.tags),
  };
}

/** By id; `0` is the experiment called Default, made when it is first asked for. */
export async function findExperiment(call: MlflowCall, id: string): Promise<Experiment> {
  const { store } = call.ctx;
  const found = id === defaultId ? getExperimentByName(store, call.ws.guid, defaultName) : getExperiment(store, call.ws.guid, id);
  if (found) return found;
  if (id !== defaultId) throw missing(`No Experiment with id=${id} exists`);
  return await store.write((tx) => ensureExperiment(tx, call.ws.guid, defaultName, randomUUID(), call.time));
}

/** What `to` is for: an active experiment is changed or deleted, a deleted one restored. */
async function change(
  call: MlflowCall,
  id: string,
  edit: (experiment: Experiment, tx: Tx) => void,
  to: 'edit' | 'delete' | 'restore' = 'edit',
): Promise<unknown> {
  const { id: real } = await findExperiment(call, id);
  await call.ctx.store.write((tx) => {
    const found = getExperiment(tx, call.ws.guid, real);
    if (!found || (to !== 'edit' && found.deleted !== (to === 'restore'))) throw missing(`No Experiment with id=${id} exists`);
    if (to === 'edit') mustBeActive(found);
    const formerName = found.name;
    const changed = { ...found, tags: { ...found.tags } };
    edit(changed, tx);
    changed.lastModifiedAt = call.time.toISOString();
    putExperiment(tx, changed, formerName);
  });
  return {};
}

/** Throws when the experiment is deleted, in MLflow's words. */
export function mustBeActive({ id, deleted }: Pick<Experiment, 'id' | 'deleted'>): void {
  if (deleted) throw invalid(`The experiment ${id} must be in the 'active' state. Current state is deleted.`);
}

function checkName(name: string): string {
  if (name.trim() === '' || name.length > 255)
    throw invalid(`Invalid experiment name '${name.slice(0, 60)}': it has 1 to 255 characters.`);
  return name;
}

const exists = (name: string, deleted: boolean): MlflowError =>
  new MlflowError(
    'RESOURCE_ALREADY_EXISTS',
    `Experiment(name=${name}) already exists.${deleted ? ' It is deleted: restore it, or use another name.' : ''}`,
  );

const create: Handler = async (call) => {
  const name = checkName(need(call.fields, 'name'));
  const tags = fromPairs(call.fields, 'tags');
  const id = randomUUID();
  await call.ctx.store.write((tx) => {
    const there = getExperimentByName(tx, call.ws.guid, name);
    if (there) throw exists(name, there.deleted);
    const at = call.time.toISOString();
    putExperiment(tx, { id, workspace: call.ws.guid, name, tags, createdAt: at, lastModifiedAt: at, deleted: false });
  });
  return { experiment_id: id };
};

const get: Handler = async (call) => ({ experiment: show(call, await findExperiment(call, need(call.fields, 'experiment_id'))) });

const getByName: Handler = (call) => {
  const name = need(call.fields, 'experiment_name');
  const found = getExperimentByName(call.ctx.store, call.ws.guid, name);
  if (!found) throw missing(`Could not find experiment with name '${name}'`);
  return { experiment: show(call, found) };
};

const search: Handler = (call) => {
  const { fields } = call;
  const view = viewType(fields, 'view_type');
  const conditions = parseFilter(text(fields, 'filter'));
  const orders = [
    ...parseOrder(texts(fields, 'order_by')),
    { entity: 'attribute' as const, key: 'creation_time', ascending: false },
    { entity: 'attribute' as const, key: 'experiment_id', ascending: true },
  ];
  const valueOf = (experiment: Experiment, { entity, key }: { entity: string; key: string }): string | number | undefined => {
    if (entity === 'tag') return own(experiment.tags, key);
    if (entity !== 'attribute') throw invalid(`Invalid entity type '${entity}'. Valid entity types are attribute, tag.`);
    const attributes: Record<string, string | number> = {
      name: experiment.name,
      experiment_id: experiment.id,
      creation_time: milliseconds(experiment.createdAt),
      last_update_time: milliseconds(experiment.lastModifiedAt),
    };
    if (!Object.hasOwn(attributes, key))
      throw invalid(`Invalid attribute key '${key}' specified. Valid keys are ${Object.keys(attributes).join(', ')}.`);
    return attributes[key];
  };
  const found = listExperiments(call.ctx.store, call.ws.guid)
    .filter(({ deleted }) => view === 'ALL' || deleted === (view === 'DELETED_ONLY'))
    .filter((experiment) => conditions.every((condition) => satisfies(valueOf(experiment, condition), condition)));
  const { items, next } = page(sortBy(found, orders, valueOf), fields, 1000, 50_000);
  return { experiments: items.map((experiment) => show(call, experiment)), ...(next ? { next_page_token: next } : {}) };
};

const update: Handler = (call) =>
  change(call, need(call.fields, 'experiment_id'), (experiment, tx) => {
    const name = checkName(need(call.fields, 'new_name'));
    const there = getExperimentByName(tx, call.ws.guid, name);
    if (there && there.id !== experiment.id) throw exists(name, there.deleted);
    experiment.name = name;
  });

const setDeleted =
  (deleted: boolean): Handler =>
  (call) =>
    change(
      call,
      need(call.fields, 'experiment_id'),
      (experiment) => (experiment.deleted = deleted),
      deleted ? 'delete' : 'restore',
    );

/** By path below `/mlflow/experiments/`. */
export const experimentHandlers: Record<string, [methods: string, Handler]> = {
  create: ['POST', create],
  get: ['GET', get],
  'get-by-name': ['GET', getByName],
  search: ['GET POST', search],
  list: ['GET', search],
  update: ['POST', update],
  delete: ['POST', setDeleted(true)],
  restore: ['POST', setDeleted(false)],
  'set-experiment-tag': [
    'POST',
    (call) =>
      change(call, need(call.fields, 'experiment_id'), (experiment) => {
        experiment.tags[checkKey(need(call.fields, 'key'), 'tag')] = text(call.fields, 'value') ?? '';
      }),
  ],
  'delete-experiment-tag': [
    'POST',
    (call) =>
      change(call, need(call.fields, 'experiment_id'), (experiment) => {
        const key = need(call.fields, 'key');
        if (!Object.hasOwn(experiment.tags, key))
          throw missing(`No tag with name: ${key} in experiment with id ${experiment.id}`);
        delete experiment.tags[key];
      }),
  ],
};
