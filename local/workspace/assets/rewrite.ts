/** What the service makes of an asset's properties when it stores them (azure-ml-observed §4). Pure but for the look into storage. */
import { parse as parseYaml } from 'yaml';
import type { Hooks, WorkspaceRecord } from '../context.js';
import { badRequest, ServiceError } from '../errors.js';
import type { BlobPlace, Storage } from '../storage/types.js';
import { objectOf, textOf } from '../validate.js';

type Properties = Record<string, unknown>;

export interface RewriteContext {
  storage: Storage;
  hooks: Hooks;
  /** Latest version of a curated environment, for `AzureML-x@latest`. */
  curated: (name: string) => string | undefined;
}

/** Members that every asset version has. */
function common(sent: Properties): Properties {
  const { 'azureml.labels': _labels, ...properties } = objectOf(sent['properties']) ?? {};
  return {
    description: sent['description'] ?? null,
    tags: sent['tags'] ?? {},
    // Labels are the service's own: it answers them, and clients send them back with the rest.
    properties,
    isArchived: sent['isArchived'] ?? false,
    isAnonymous: sent['isAnonymous'] ?? false,
  };
}

export function rewriteCode(sent: Properties): Properties {
  if (typeof sent['codeUri'] !== 'string' || !sent['codeUri']) throw badRequest('codeUri is required.');
  return { ...common(sent), isAnonymous: false, codeUri: sent['codeUri'], provisioningState: 'Succeeded' };
}

/** Scalars of a component specification become text: booleans as .NET writes them. */
function textual(value: unknown): unknown {
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'number') return String(value);
  if (Array.isArray(value)) return value.map(textual);
  const object = objectOf(value);
  return object ? Object.fromEntries(Object.entries(object).map(([key, entry]) => [key, textual(entry)])) : value;
}

export function rewriteComponent(context: RewriteContext, sent: Properties, name: string, version: string): Properties {
  const given = objectOf(sent['componentSpec']);
  if (!given) throw badRequest('componentSpec is required.');
  const type = typeof given['type'] === 'string' ? given['type'] : 'command';
  // What a client adds of its own when it sends back what it got.
  const { _source, id: _id, creation_context: _context, ...spec } = textual(given) as Properties;
  const answer: Properties = { ...spec };
  answer['name'] ??= name;
  if (sent['isAnonymous'] === true || answer['version'] === undefined) answer['version'] = version;
  const inputs = objectOf(answer['inputs']);
  if (inputs)
    answer['inputs'] = Object.fromEntries(
      Object.entries(inputs).map(([name, input]) => [name, objectOf(input) ? { optional: 'False', ...objectOf(input) } : input]),
    );
  const outputs = objectOf(answer['outputs']);
  if (outputs)
    answer['outputs'] = Object.fromEntries(
      Object.entries(outputs).map(([name, output]) => {
        const { mode: _mode, ...rest } = objectOf(output) ?? {};
        return [name, rest];
      }),
    );
  if (typeof answer['environment'] === 'string') answer['environment'] = curatedId(context, answer['environment']);
  if (type === 'command') answer['resources'] ??= { instance_count: '1' };
  if (type === 'pipeline') {
    delete answer['jobs'];
    delete answer['settings'];
    delete answer['experiment_name'];
    delete answer['sourceJobId'];
    answer['is_deterministic'] ??= 'False';
  }
  // The description lies in the specification; the asset's own is always null.
  return {
    ...common(sent),
    description: null,
    autoDeleteSetting: null,
    componentSpec: answer,
    provisioningState: 'Succeeded',
    stage: sent['stage'] ?? null,
  };
}

/** `azureml:AzureML-x:3` and `azureml:AzureML-x@latest` become the built-in registry's id. */
function curatedId(context: RewriteContext, reference: string): string {
  const found =
    /^azureml:(AzureML-[^:@/]+)(?::([^:@/]+)|@latest)?$/i.exec(reference) ??
    /^azureml:\/\/registries\/azureml\/environments\/([^/]+)\/labels\/latest$/i.exec(reference);
  if (!found) return reference;
  const [, name = '', version] = found;
  const latest = version ?? context.curated(name);
  return latest === undefined ? reference : `azureml://registries/azureml/environments/${name}/versions/${latest}`;
}

export function rewriteEnvironment(sent: Properties): Properties {
  const build = objectOf(sent['build']);
  const image = sent['image'];
  if (build && typeof image === 'string') throw badRequest('An environment has either an image or a build context, not both.');
  if (!build && typeof image !== 'string') throw badRequest('An environment needs an image or a build context.');
  if (build && typeof build['contextUri'] !== 'string') throw badRequest('build.contextUri is required.');
  const answer: Properties = { ...common(sent), autoDeleteSetting: null, environmentType: 'UserCreated' };
  if (build) answer['build'] = { dockerfilePath: 'Dockerfile', ...build };
  else answer['image'] = image;
  if (sent['condaFile'] != null && sent['condaFile'] !== '') answer['condaFile'] = condaText(sent['condaFile']);
  if (sent['inferenceConfig'] != null) answer['inferenceConfig'] = sent['inferenceConfig'];
  return {
    ...answer,
    osType: sent['osType'] ?? 'Linux',
    autoRebuild: sent['autoRebuild'] ?? 'Disabled',
    provisioningState: 'Succeeded',
    stage: sent['stage'] ?? null,
    intellectualProperty: null,
  };
}

/** YAML text comes back as indented JSON text. */
function condaText(conda: unknown): string {
  let value: unknown;
  let text: string;
  try {
    value = typeof conda === 'string' ? parseYaml(conda) : conda;
    text = JSON.stringify(value, null, 2); // An alias of itself has no JSON.
  } catch (error) {
    throw badRequest(`condaFile is not valid YAML: ${(error as Error).message.split('\n', 1)[0]}`);
  }
  if (!objectOf(value)) throw badRequest('condaFile must be a mapping with dependencies.');
  return text;
}

const jobUri = /^azureml:\/\/jobs\/([^/]+)\/outputs\/([^/]+)(?:\/(.*))?$/i;
const runsUri = /^runs:\/+([^/]+)\/?(.*)$/i;

/** Long datastore form of a job URI (`azureml://jobs/…`, `runs:/…`) and the job's name; `undefined` when it is neither. */
export async function fromJob(
  context: RewriteContext,
  ws: WorkspaceRecord,
  uri: string,
): Promise<{ uri: string; job: string } | undefined> {
  const runs = runsUri.exec(uri);
  const found = jobUri.exec(uri);
  const job = runs?.[1] ?? found?.[1];
  if (job === undefined) return undefined;
  const output = runs ? 'artifacts' : (found?.[2] ?? '');
  const path = (runs ? runs[2] : found?.[3])?.replace(/^paths(\/|$)/, '') ?? '';
  if (path.split('/').includes('..')) throw badRequest(`The path of ${uri} leaves the job's output.`);
  if (context.hooks.jobExists && !context.hooks.jobExists(ws, job))
    throw new ServiceError(404, 'UserError', `Job ${job} not found.`, { inner: ['NotFoundError'] });
  if (output === 'artifacts' || output === 'default')
    return { job, uri: context.storage.longUri(ws, 'workspaceartifactstore', `ExperimentRun/dcid.${job}/${path}`) };
  const base = await context.hooks.jobOutput?.(ws, job, output);
  if (base === undefined) throw badRequest(`Job ${job} has no output named '${output}'.`);
  return { job, uri: path ? `${base.replace(/\/$/, '')}/${path}` : base };
}

export async function rewriteData(context: RewriteContext, ws: WorkspaceRecord, sent: Properties): Promise<Properties> {
  const uri = sent['dataUri'];
  if (typeof uri !== 'string' || !uri) throw badRequest('dataUri is required.');
  const dataType = sent['dataType'] ?? 'uri_folder';
  if (!['uri_file', 'uri_folder', 'mltable'].includes(textOf(dataType)))
    throw badRequest(`dataType '${textOf(dataType)}' is not uri_file, uri_folder or mltable.`);
  if (/^azureml:/i.test(uri) && uri.split('/').includes('..')) throw badRequest(`The path of ${uri} leaves its datastore.`);
  const job = await fromJob(context, ws, uri);
  const short = /^azureml:\/\/datastores\/([^/]+)\/paths\/?(.*)$/i.exec(uri);
  const dataUri = job?.uri ?? (short ? context.storage.longUri(ws, short[1] ?? '', short[2] ?? '') : uri);
  const answer: Properties = {
    ...common(sent),
    autoDeleteSetting: null,
    dataUri,
    stage: null,
    intellectualProperty: null,
    dataType,
  };
  if (dataType === 'mltable' && sent['referencedUris'] != null) answer['referencedUris'] = sent['referencedUris'];
  return answer;
}

/** The model's files, as prefix in storage; `undefined` when they are not in ours. */
function modelPlace(storage: Storage, ws: WorkspaceRecord, uri: string): BlobPlace | undefined {
  return storage.resolve(ws, uri);
}

export async function rewriteModel(context: RewriteContext, ws: WorkspaceRecord, sent: Properties): Promise<Properties> {
  const uri = sent['modelUri'];
  if (typeof uri !== 'string' || !uri) throw badRequest('modelUri is required.');
  const modelType = sent['modelType'] ?? 'custom_model';
  if (!['custom_model', 'mlflow_model', 'triton_model'].includes(textOf(modelType)))
    throw badRequest(`modelType '${textOf(modelType)}' is not custom_model, mlflow_model or triton_model.`);
  const job = await fromJob(context, ws, uri);
  const short = /^azureml:\/\/datastores\/([^/]+)\/paths\/?(.*)$/i.exec(uri);
  const modelUri = (job?.uri ?? (short ? context.storage.longUri(ws, short[1] ?? '', short[2] ?? '') : uri)).replace(
    /^(azureml:\/\/subscriptions\/[^/]+)\/resourcegroups\//i,
    '$1/resourceGroups/',
  );
  const place = modelPlace(context.storage, ws, modelUri);
  if (place) await mustExist(context.storage, place);
  const flavors = objectOf(sent['flavors']) ?? {};
  return {
    ...common(sent),
    autoDeleteSetting: null,
    flavors:
      Object.keys(flavors).length || modelType !== 'mlflow_model' || !place ? flavors : await readFlavors(context.storage, place),
    modelType,
    modelUri,
    jobName: sent['jobName'] ?? job?.job ?? null,
    provisioningState: 'Succeeded',
    stage: sent['stage'] ?? null,
    intellectualProperty: null,
    ...(sent['datasets'] == null ? {} : { datasets: sent['datasets'] }),
  };
}

/** A folder's prefix must not match its neighbours (`model` and `model2`). */
export async function* filesBelow(
  storage: Storage,
  place: BlobPlace,
): AsyncIterable<{ name: string; size: number; relative: string }> {
  const base = place.path.replace(/\/$/, '');
  for await (const blob of storage.list({ ...place, path: base })) {
    if (base === '' || blob.name.startsWith(`${base}/`))
      yield { name: blob.name, size: blob.size, relative: blob.name.slice(base ? base.length + 1 : 0) };
    else if (blob.name === base) yield { name: blob.name, size: blob.size, relative: base.split('/').at(-1) ?? base };
  }
}

async function mustExist(storage: Storage, place: BlobPlace): Promise<void> {
  for await (const _blob of filesBelow(storage, place)) return;
  throw new ServiceError(400, 'UserError', 'The request is invalid.', {
    details: [
      { code: 'ModelAssetPathNotFoundInStorage', message: `No blobs found in storage at model asset path: ${place.path}` },
    ],
    component: 'modelregistry',
    inner: ['BadArgument'],
  });
}

async function readFlavors(storage: Storage, place: BlobPlace): Promise<Properties> {
  const bytes = await storage.read({ ...place, path: `${place.path.replace(/\/$/, '')}/MLmodel` });
  if (!bytes) return {};
  let flavors: Properties | undefined;
  try {
    flavors = objectOf(objectOf(parseYaml(bytes.toString('utf8')))?.['flavors']);
  } catch (_error) {
    return {}; // A file of that name that is no MLmodel: nothing to read from it.
  }
  const text = (value: unknown): string =>
    typeof value === 'object' && value !== null ? JSON.stringify(value, null, 2) : textOf(value);
  return Object.fromEntries(
    Object.entries(flavors ?? {}).map(([name, data]) => [
      name,
      { data: Object.fromEntries(Object.entries(objectOf(data) ?? {}).map(([key, value]) => [key, text(value)])) },
    ]),
  );
}
