/** MLflow's model registry = the workspace's models (ARM assets). What only MLflow knows (empty models, aliases) stands in a table of its own. */
import { getRun } from '../runs/access.js';
import { getModel } from './logged-models-store.js';
import { placeOf } from './places.js';
import { editVersions, getRegistered, listRegistered, putRegistered, type Registered } from './registry-store.js';
import { registryTags, tagSaid } from './registry-tags.js';
import {
  downloadUri,
  findModel,
  findVersion,
  holds,
  latest,
  runLink,
  record,
  showModel,
  showVersion,
  string,
  versionsOf,
  type Properties,
} from './registry-view.js';
import { parseFilter, parseOrder, sortBy, type Order } from './search-filter.js';
import {
  invalid,
  milliseconds,
  missing,
  MlflowError,
  need,
  own,
  page,
  text,
  texts,
  type Handler,
  type MlflowCall,
} from './wire.js';

const create: Handler = async (call) => {
  const name = need(call.fields, 'name');
  if (!/^[a-zA-Z0-9][a-zA-Z0-9\-._]{0,254}$/.test(name)) {
    throw invalid(
      `Invalid model name: '${name.slice(0, 100)}'. Letters, digits, dashes, periods and underscores; at most 255 characters.`,
    );
  }
  if (getRegistered(call, name) || call.ctx.assets.versions(call.ws, 'models', name)) {
    throw new MlflowError('RESOURCE_ALREADY_EXISTS', `Registered Model (name=${name}) already exists.`);
  }
  const tags = registryTags(call);
  notPrompt(tags);
  const at = call.time.toISOString();
  const model = {
    name,
    createdAt: at,
    updatedAt: at,
    description: text(call.fields, 'description') ?? '',
    tags,
    aliases: {},
  };
  await putRegistered(call, model);
  return { registered_model: showModel(call, model) };
};

async function change(call: MlflowCall, edit: (model: Registered) => void): Promise<Registered> {
  const found = findModel(call, need(call.fields, 'name'));
  const model = { ...found, tags: { ...found.tags }, aliases: { ...found.aliases }, updatedAt: call.time.toISOString() };
  edit(model);
  await putRegistered(call, model);
  return model;
}

/** What a client gives as the source of a version, as the workspace's own address of it; with the run it comes from. */
function sourceOf(call: MlflowCall, source: string): { uri: string; runId?: string } {
  const inStore = (path: string): { uri: string; runId?: string } => {
    const place = placeOf(call.ws, path, false);
    const runId = /^ExperimentRun\/dcid\.([^/]+)/.exec(place.path)?.[1];
    const datastore = place.container === 'azureml' ? 'workspaceartifactstore' : call.ctx.storage.defaultDatastore(call.ws);
    return { uri: call.ctx.storage.longUri(call.ws, datastore, place.path), ...(runId ? { runId } : {}) };
  };
  const run = /^runs:\/+([^/]+)\/?(.*)$/.exec(source);
  if (run) {
    const found = getRun(call.ctx.store, call.ws.guid, run[1] ?? '');
    if (!found) throw missing(`Run '${run[1]}' not found`);
    return { ...inStore(`ExperimentRun/${found.dataContainerId}/${run[2] ?? ''}`), runId: found.runId };
  }
  const proxied = /\/mlflow-artifacts\/artifacts\/(.+)$/.exec(source) ?? /^mlflow-artifacts:\/+(.+)$/.exec(source);
  if (proxied) return inStore(decodeURI(proxied[1] ?? ''));
  const logged = /^models:\/+(m-[0-9a-f]+)$/.exec(source);
  if (logged) return inStore(getModel(call.ctx.store, call, logged[1] ?? '').path);
  const registered = /^models:\/+([^/]+)\/([^/]+)$/.exec(source);
  if (registered) {
    const from = call.ctx.assets.get(call.ws, 'models', registered[1] ?? '', registered[2] ?? '');
    if (!from) throw missing(`Model Version (name=${registered[1]}, version=${registered[2]}) not found`);
    const runId = string(from.properties['jobName']);
    return { uri: string(from.properties['modelUri']) ?? '', ...(runId ? { runId } : {}) };
  }
  const uploaded = /^azureml:\/\/artifacts\/(.+)$/.exec(source);
  if (uploaded) return inStore(uploaded[1] ?? '');
  if (/^azureml:\/\/(jobs|datastores|subscriptions\/.+\/datastores)\//i.test(source)) return { uri: source };
  throw invalid(
    `Invalid model version source: '${source.slice(0, 200)}'. It has to be runs:/, models:/, the azureml:// address of a job's output or of a datastore, or an artifact of this workspace.`,
  );
}

const createVersion: Handler = async (call) => {
  const { fields, ctx, ws } = call;
  const name = need(fields, 'name');
  const tags = registryTags(call);
  notPrompt(tags);
  if (!getRegistered(call, name) && !ctx.assets.versions(ws, 'models', name))
    throw missing(`Registered Model with name=${name} not found`);
  const { uri, runId } = sourceOf(call, need(fields, 'source'));
  const place = ctx.storage.resolve(ws, uri);
  const folder = place?.path.replace(/\/+$/, '');
  const mlflow = place && (await ctx.storage.head({ ...place, path: `${folder}/MLmodel` })) !== undefined;
  const said = text(fields, 'run_id');
  const job = said ?? runId;
  // Of a copy, the run may be another workspace's: lineage that is told, not followed.
  if (said !== undefined && !/^models:/.test(need(fields, 'source')) && !getRun(ctx.store, ws.guid, said))
    throw missing(`Run '${said}' not found`);
  const link = text(fields, 'run_link');
  const properties: Properties = {
    modelUri: uri,
    modelType: mlflow ? 'mlflow_model' : 'custom_model',
    description: text(fields, 'description') ?? null,
    tags,
    properties: link === undefined ? {} : { [runLink]: link },
    ...(job && getRun(ctx.store, ws.guid, job) ? { jobName: job } : {}),
  };
  const { asset } = await ctx.assets.put(ws, 'models', name, undefined, properties, call.principal.name);
  return { model_version: showVersion(call, asset) };
};

/** Changes what may change of a version: tags, description, stage. */
async function changeVersion(
  call: MlflowCall,
  edit: (properties: Properties, tags: Record<string, string>) => void,
): Promise<unknown> {
  const found = findVersion(call);
  const [changed] = await editVersions(call, [found], (properties) => {
    const tags = { ...record(properties['tags']) };
    edit(properties, tags);
    properties['tags'] = tags;
  });
  if (!changed) throw missing(`Model Version (name=${found.name}, version=${found.version}) not found`);
  return { model_version: showVersion(call, changed) };
}

const stages = ['None', 'Staging', 'Production', 'Archived'];

/** MLflow's own spelling of a stage. Source: mlflow `model_registry/model_version_stages.py`. */
function stageNamed(said: string): string {
  const stage = stages.find((known) => known.toLowerCase() === said.toLowerCase());
  if (stage === undefined) throw invalid(`Invalid Model Version stage: ${said}. Value must be one of ${stages.join(', ')}.`);
  return stage;
}

const transition: Handler = async (call) => {
  const stage = stageNamed(need(call.fields, 'stage'));
  const moved = findVersion(call);
  const archive = call.fields['archive_existing_versions'] === true;
  if (archive && (stage === 'None' || stage === 'Archived'))
    throw invalid(`Model version transition cannot archive existing model versions because '${stage}' is not an Active stage.`);
  const others = archive
    ? versionsOf(call, moved.name).filter(
        ({ version, properties }) =>
          version !== moved.version && String(properties['stage']).toLowerCase() === stage.toLowerCase(),
      )
    : [];
  const changed = await editVersions(call, [moved, ...others], (properties, asset) => {
    // What was never moved is `Development` for the service.
    properties['stage'] = asset !== moved ? 'Archived' : stage === 'None' ? 'Development' : stage;
  });
  const shown = changed.find(({ version }) => version === moved.version);
  if (!shown) throw missing(`Model Version (name=${moved.name}, version=${moved.version}) not found`);
  return { model_version: showVersion(call, shown) };
};

/** Prompts are registered models with this tag; they have texts in place of files. */
function notPrompt(tags: Record<string, string>): void {
  if (tags['mlflow.prompt.is_prompt'] === 'true')
    throw new MlflowError('NOT_IMPLEMENTED', 'The embedded workspace does not implement prompts (mlflow.genai.register_prompt).');
}

function knownKey(entity: string, key: string, known: string[]): void {
  if (entity === 'tag') return;
  if (entity !== 'attribute') throw invalid(`Invalid entity type '${entity}'. Valid entity types are attribute, tag.`);
  if (!known.includes(key)) throw invalid(`Invalid attribute key '${key}' specified. Valid keys are ${known.join(', ')}.`);
}
const versionKeys = [
  ...['name', 'run_id', 'source_path', 'version_number', 'version', 'current_stage'],
  ...['creation_timestamp', 'last_updated_timestamp'],
];
const modelKeys = ['name', 'timestamp', 'creation_timestamp', 'last_updated_timestamp'];

const searchVersions: Handler = (call) => {
  const conditions = parseFilter(text(call.fields, 'filter'));
  const named = conditions.find(({ key, operator }) => key === 'name' && operator === '=');
  const names = named ? [String(named.value)] : call.ctx.assets.names(call.ws, 'models');
  const valueOf = (
    shown: Record<string, unknown>,
    { entity, key }: Pick<Order, 'entity' | 'key'>,
  ): string | number | undefined => {
    knownKey(entity, key, versionKeys);
    if (entity === 'tag') return (shown['tags'] as { key: string; value: string }[]).find((tag) => tag.key === key)?.value;
    if (key === 'version_number') return Number(shown['version']);
    const member = { source_path: 'source', version: 'version' }[key] ?? key;
    return shown[member] as string | number | undefined;
  };
  const found = names
    .flatMap((name) => versionsOf(call, name).map((asset) => showVersion(call, asset)))
    .filter((shown) => conditions.every((condition) => holds(valueOf(shown, condition), condition)));
  const asked = parseOrder(texts(call.fields, 'order_by'));
  const orders: Order[] = [
    ...(asked.length > 0 ? asked : [{ entity: 'attribute' as const, key: 'last_updated_timestamp', ascending: false }]),
    { entity: 'attribute', key: 'name', ascending: true },
    { entity: 'attribute', key: 'version_number', ascending: false },
  ];
  const { items, next } = page(sortBy(found, orders, valueOf), call.fields, 10_000, 200_000);
  return { model_versions: items, ...(next ? { next_page_token: next } : {}) };
};

const searchModels: Handler = (call) => {
  const conditions = parseFilter(text(call.fields, 'filter'));
  const names = new Set([...listRegistered(call).map(({ name }) => name), ...call.ctx.assets.names(call.ws, 'models')]);
  const valueOf = (model: Registered, { entity, key }: Pick<Order, 'entity' | 'key'>): string | number | undefined => {
    knownKey(entity, key, modelKeys);
    if (entity === 'tag') return own(model.tags, key);
    return key === 'name' ? model.name : milliseconds(key.startsWith('creation') ? model.createdAt : model.updatedAt);
  };
  const found = [...names]
    .filter((name) => getRegistered(call, name) ?? versionsOf(call, name).length > 0)
    .map((name) => findModel(call, name))
    .filter((model) => conditions.every((condition) => holds(valueOf(model, condition), condition)));
  const orders: Order[] = [...parseOrder(texts(call.fields, 'order_by')), { entity: 'attribute', key: 'name', ascending: true }];
  const { items, next } = page(sortBy(found, orders, valueOf), call.fields, 100, 1000);
  return { registered_models: items.map((model) => showModel(call, model)), ...(next ? { next_page_token: next } : {}) };
};

/** As the service: no renaming, no deletion of a model with all its versions (reference azure-ml-rest, MLflow limitations). */
const refuse =
  (what: string): Handler =>
  () => {
    throw new MlflowError('NOT_IMPLEMENTED', `Azure Machine Learning does not let the MLflow client ${what}.`);
  };

const modelAnswer = (call: MlflowCall, model: Registered): unknown => ({ registered_model: showModel(call, model) });

/** By path below `/mlflow/`. */
export const registryHandlers: Record<string, [methods: string, Handler]> = {
  'registered-models/create': ['POST', create],
  'registered-models/get': ['GET', (call) => modelAnswer(call, findModel(call, need(call.fields, 'name')))],
  'registered-models/search': ['GET POST', searchModels],
  'registered-models/list': ['GET', searchModels],
  'registered-models/update': [
    'PATCH',
    async (call) =>
      modelAnswer(call, await change(call, (model) => (model.description = text(call.fields, 'description') ?? ''))),
  ],
  'registered-models/rename': ['POST', refuse('rename a model')],
  'registered-models/delete': ['DELETE', refuse('delete a model with all its versions')],
  'registered-models/get-latest-versions': [
    'GET POST',
    (call) => {
      const { name } = findModel(call, need(call.fields, 'name'));
      return { model_versions: latest(call, name, texts(call.fields, 'stages').map(stageNamed)) };
    },
  ],
  'registered-models/set-tag': [
    'POST',
    async (call) => {
      const [key, value] = tagSaid(call);
      await change(call, (model) => (model.tags[key] = value));
      return {};
    },
  ],
  'registered-models/delete-tag': [
    'DELETE',
    async (call) => {
      await change(call, (model) => delete model.tags[need(call.fields, 'key')]);
      return {};
    },
  ],
  'model-versions/create': ['POST', createVersion],
  'model-versions/get': ['GET', (call) => ({ model_version: showVersion(call, findVersion(call)) })],
  'model-versions/update': [
    'PATCH',
    (call) => changeVersion(call, (properties) => (properties['description'] = text(call.fields, 'description') ?? '')),
  ],
  'model-versions/transition-stage': ['POST', transition],
  'model-versions/delete': [
    'DELETE',
    async (call) => {
      const { name, version } = findVersion(call);
      await call.ctx.assets.remove(call.ws, 'models', name, version);
      const aliased = getRegistered(call, name)?.aliases ?? {};
      if (Object.values(aliased).includes(version))
        await change(call, (model) => {
          model.aliases = Object.fromEntries(Object.entries(model.aliases).filter(([, of]) => of !== version));
        });
      return {};
    },
  ],
  'model-versions/search': ['GET POST', searchVersions],
  'model-versions/get-download-uri': ['GET', (call) => ({ artifact_uri: downloadUri(call, findVersion(call)) })],
  'model-versions/set-tag': [
    'POST',
    async (call) => {
      const [key, value] = tagSaid(call);
      await changeVersion(call, (_, tags) => (tags[key] = value));
      return {};
    },
  ],
  'model-versions/delete-tag': [
    'DELETE',
    async (call) => {
      await changeVersion(call, (_, tags) => delete tags[need(call.fields, 'key')]);
      return {};
    },
  ],
  'registered-models/alias': ['POST GET DELETE', (call) => alias(call)],
};

async function alias(call: MlflowCall): Promise<unknown> {
  const name = need(call.fields, 'alias');
  if (call.params['method'] === 'GET') {
    const version = own(findModel(call, need(call.fields, 'name')).aliases, name);
    if (version === undefined) throw invalid(`Registered model alias ${name} not found.`);
    return { model_version: showVersion(call, findVersion({ ...call, fields: { ...call.fields, version } })) };
  }
  if (call.params['method'] === 'POST') {
    // `latest` and `v1` mean versions already. Source: mlflow `utils/validation.py`.
    if (/^latest$/i.test(name)) throw invalid(`'latest' alias name (case insensitive) is reserved.`);
    if (/^v\d+$/i.test(name)) throw invalid(`Version alias name '${name}' is reserved.`);
    if (!/^[\w-]{1,255}$/.test(name))
      throw invalid(`Invalid alias name: '${name.slice(0, 100)}'. Letters, digits, _ and - only.`);
    findVersion(call);
  }
  await change(call, (model) => {
    if (call.params['method'] === 'POST') model.aliases[name] = need(call.fields, 'version');
    else delete model.aliases[name];
  });
  return {};
}
