/**
 * MLflow 3's logged models (`/mlflow/logged-models`). Their files lie where MLflow 2 and azureml-mlflow put them, in the folder of that name
 * among the run's artifacts: `runs:/{run}/{name}` and `azureml://jobs/{run}/outputs/artifacts/paths/{name}` mean the same bytes.
 */
import { randomBytes } from 'node:crypto';
import { getRun } from '../runs/access.js';
import { listFolder } from './artifacts.js';
import { artifactBase, findExperiment } from './experiments.js';
import { getModel, listModels, putModel, showModel, type LoggedModel } from './logged-models-store.js';
import { placeOf, safePath } from './places.js';
import { parseFilter, satisfies, sortBy, type Order } from './search-filter.js';
import { fromPairs, invalid, missing, need, objects, own, page, text, texts, type Handler, type MlflowCall } from './wire.js';

const show = (call: MlflowCall, model: LoggedModel): unknown => ({ model: showModel(model, artifactBase(call)) });

/** Source: mlflow `utils/validation.py`. A part of `models:/…` addresses and of paths, so it must not look like more than one. */
function checkModelName(name: string): string {
  if (/[/:.%"']/.test(name))
    throw invalid(`Invalid model name ('${name.slice(0, 100)}') provided. It cannot contain the characters / : . % " '`);
  return safePath(name);
}

const create: Handler = async (call) => {
  const { fields, ws, ctx } = call;
  const experiment = await findExperiment(call, text(fields, 'experiment_id') ?? '0');
  const id = `m-${randomBytes(16).toString('hex')}`;
  const name = checkModelName(text(fields, 'name') ?? id);
  const sourceRunId = text(fields, 'source_run_id') ?? '';
  const run = sourceRunId === '' ? undefined : getRun(ctx.store, ws.guid, sourceRunId);
  if (sourceRunId !== '' && !run) throw missing(`Run '${sourceRunId}' not found`);
  const folder = run ? `ExperimentRun/${run.dataContainerId}` : `Experiment/${experiment.id}/models/${id}`;
  const taken = listModels(call).some(({ path }) => path === `${folder}/${name}`);
  const at = call.time.getTime();
  const model: LoggedModel = {
    id,
    experimentId: experiment.id,
    name,
    createdAt: at,
    updatedAt: at,
    status: 'LOGGED_MODEL_PENDING',
    modelType: text(fields, 'model_type') ?? '',
    sourceRunId,
    tags: fromPairs(fields, 'tags'),
    params: fromPairs(fields, 'params'),
    metrics: [],
    path: taken ? `${folder}/${name}-${id.slice(2, 10)}` : `${folder}/${name}`,
    deleted: false,
  };
  await ctx.store.write((tx) => putModel(tx, call, model));
  return show(call, model);
};

async function change(call: MlflowCall, edit: (model: LoggedModel) => void): Promise<unknown> {
  const changed = await call.ctx.store.write((tx) => {
    const found = getModel(tx, call, call.params['model_id'] ?? '');
    const model = { ...found, tags: { ...found.tags }, params: { ...found.params }, updatedAt: call.time.getTime() };
    edit(model);
    putModel(tx, call, model);
    return model;
  });
  return show(call, changed);
}

const finalize: Handler = (call) => {
  const status = need(call.fields, 'status');
  if (!['LOGGED_MODEL_READY', 'LOGGED_MODEL_UPLOAD_FAILED', 'LOGGED_MODEL_PENDING'].includes(status))
    throw invalid(`Invalid model status: ${status}`);
  return change(call, (model) => (model.status = status));
};

const search: Handler = (call) => {
  const { fields } = call;
  const conditions = parseFilter(text(fields, 'filter'));
  const ids = texts(fields, 'experiment_ids');
  if (ids.length === 0) throw invalid('At least one experiment ID must be specified for searching.');
  // With datasets given, only metrics on one of them count.
  const datasets = objects(fields, 'datasets');
  const counts = ({ dataset, digest }: LoggedModel['metrics'][number]): boolean =>
    datasets.length === 0 ||
    datasets.some(
      (of) =>
        need(of, 'dataset_name') === dataset &&
        (text(of, 'dataset_digest') === undefined || text(of, 'dataset_digest') === digest),
    );
  const valueOf = (model: LoggedModel, { entity, key }: Pick<Order, 'entity' | 'key'>): string | number | undefined => {
    if (entity === 'metric') {
      const found = model.metrics.find((metric) => metric.key === key && counts(metric));
      return found && Number(found.value);
    }
    if (entity === 'param') return own(model.params, key);
    if (entity === 'tag') return own(model.tags, key);
    const attributes: Record<string, string | number> = {
      name: model.name,
      model_id: model.id,
      model_type: model.modelType,
      status: model.status.replace('LOGGED_MODEL_', ''),
      source_run_id: model.sourceRunId,
      experiment_id: model.experimentId,
      creation_timestamp: model.createdAt,
      creation_time: model.createdAt,
      last_updated_timestamp: model.updatedAt,
    };
    if (!Object.hasOwn(attributes, key))
      throw invalid(`Invalid attribute key '${key}' specified. Valid keys are ${Object.keys(attributes).join(', ')}.`);
    return attributes[key];
  };
  const orders = objects(fields, 'order_by').map((clause): Order => {
    const [first = '', ...rest] = need(clause, 'field_name').split('.');
    const metric = first === 'metrics' && rest.length > 0;
    return {
      entity: metric ? 'metric' : 'attribute',
      key: metric ? rest.join('.') : first,
      ascending: clause['ascending'] !== false,
    };
  });
  const found = listModels(call)
    .filter(({ experimentId }) => ids.includes(experimentId))
    .filter((model) => conditions.every((condition) => satisfies(valueOf(model, condition), condition)));
  const standard: Order = { entity: 'attribute', key: 'creation_timestamp', ascending: false };
  const { items, next } = page(sortBy(found, [...orders, standard], valueOf), fields, 50, 50_000);
  return { models: items.map((model) => showModel(model, artifactBase(call))), ...(next ? { next_page_token: next } : {}) };
};

const directories: Handler = async (call) => {
  const model = getModel(call.ctx.store, call, call.params['model_id'] ?? '');
  const below = safePath(text(call.fields, 'artifact_directory_path') ?? '');
  const files = await listFolder(call, placeOf(call.ws, below ? `${model.path}/${below}` : model.path, false));
  return {
    root_uri: `${artifactBase(call)}/${model.path}`,
    files: files.map((file) => ({ ...file, path: below ? `${below}/${file.path}` : file.path })),
  };
};

/** Method and path below `/mlflow/logged-models`. */
export const loggedModelRoutes: [method: 'GET' | 'POST' | 'PATCH' | 'DELETE', path: string, Handler][] = [
  ['POST', '', create],
  ['POST', '/search', search],
  ['GET', '/:model_id', (call) => show(call, getModel(call.ctx.store, call, call.params['model_id'] ?? ''))],
  ['PATCH', '/:model_id', finalize],
  [
    'DELETE',
    '/:model_id',
    async (call) => {
      await change(call, (model) => (model.deleted = true));
      return {};
    },
  ],
  ['PATCH', '/:model_id/tags', (call) => change(call, (model) => Object.assign(model.tags, fromPairs(call.fields, 'tags')))],
  [
    'DELETE',
    '/:model_id/tags/:tag_key',
    (call) =>
      change(call, (model) => {
        const key = call.params['tag_key'] ?? '';
        if (!Object.hasOwn(model.tags, key)) throw missing(`No tag with key '${key}' found for model with ID '${model.id}'.`);
        delete model.tags[key];
      }),
  ],
  [
    'POST',
    '/:model_id/params',
    (call) =>
      change(call, (model) => {
        for (const [key, value] of Object.entries(fromPairs(call.fields, 'params'))) {
          if ((own(model.params, key) ?? value) !== value)
            throw invalid(
              `Changing param values is not allowed: param '${key}' of model '${model.id}' is '${model.params[key]}'.`,
            );
          model.params[key] = value;
        }
      }),
  ],
  ['GET', '/:model_id/artifacts/directories', directories],
];
