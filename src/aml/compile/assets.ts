/** Code, environments and local data of a job: found, checked and hashed here, written when the whole file is known to be good. */
import { createHash } from 'node:crypto';
import path from 'node:path';
import { Failure } from '../../azure/errors.js';
import { codeSnapshot, localData } from '../snapshot/snapshot.js';
import type { CodeSnapshot, LocalData } from '../snapshot/types.js';
import type { Context } from './context.js';
import { realPath, resolvePath, statOf } from './context.js';
import { child, textOf, withDates, type YMap, type YNode } from './document.js';
import { checkInclude, includePath } from './includes.js';
import { compact, materialise, Pending, type Tree, type TreeObject } from './pending.js';
import { plain, pyJoin } from './python.js';
import { shown, type Place } from './problems.js';
import { dumpYaml } from './pyyaml.js';
import { assetId, isRegistryId, isUrl, withoutPrefix } from './refs.js';
import { dict, int, object, raw, readObject, str, words, type Field, type Reader } from './schema.js';
import { API_VERSIONS } from './versions.js';

export const sha256 = (text: string): string => createHash('sha256').update(text, 'utf8').digest('hex');

interface CodeOptions {
  /** Components leave `__pycache__` out besides what the ignore file says. */
  component: boolean;
  includes?: readonly string[];
  includesAt?: Place;
}

/**
 * The code of a job or component. In: the text of `code`, the folder it is relative to. Out: what becomes the code's ARM id.
 * Problems: not found, empty, git paths.
 */
export function code(context: Context, text: string | undefined, base: string, place: Place, options: CodeOptions): Tree {
  const includes = options.includes ?? [];
  if (text !== undefined && includes.length === 0) {
    // Components may take their code from a registry, jobs may not.
    const remote = options.component && isRegistryId(text) ? { id: text } : remoteCode(context, text, place);
    if (remote) return remote.id;
  }
  const absolute = text === undefined ? undefined : realPath(base, text);
  const stat = absolute === undefined ? undefined : statOf(absolute);
  if (absolute !== undefined && !stat) {
    context.problems.add(
      place,
      `The code ${JSON.stringify(text)} does not exist (${shown(absolute)}).`,
      'a folder or file of the checkout, relative to this YAML file',
    );
    return undefined;
  }
  const extras = includes.map((include) => includePath(base, include));
  extras.forEach((extra, index) => checkInclude(context, extra, includes[index] ?? '', absolute, options.includesAt ?? place));
  const key = snapshotKey(base, text, includes, options.component);
  if (!context.snapshots.has(key)) {
    const request = {
      ...(absolute === undefined ? {} : { code: absolute }),
      includes: extras,
      ...(options.component ? { component: { base, ...(text === undefined ? {} : { written: resolvePath(base, text) }) } } : {}),
    };
    context.snapshots.set(
      key,
      guarded(context, place, () => makeSnapshot(context, request, place, text)),
    );
  }
  const snapshot = context.snapshots.get(key);
  return new Pending(async ({ target, signal }) => {
    const made = await snapshot;
    return made ? target.code(made, signal) : undefined;
  });
}

/** What a snapshot depends on: where things really lie, and for a component also how its code is written. */
function snapshotKey(base: string, text: string | undefined, includes: readonly string[], component: boolean): string {
  const real = [text, ...includes].map((each) => each !== undefined && realPath(base, each));
  return JSON.stringify([real, component && (text === undefined ? base : resolvePath(base, text))]);
}

/** Code of a folder whose storage address is needed besides its id (flows). */
export function codeWithUri(
  context: Context,
  folder: string,
  place: Place,
  includes: readonly string[],
): { id: Tree; uri: (file: string) => Pending } {
  const id = code(context, folder, folder, place, { component: true, includes });
  const snapshot = context.snapshots.get(snapshotKey(folder, folder, includes, true));
  return {
    id,
    uri: (file) =>
      new Pending(async ({ target, signal }) => {
        const made = await snapshot;
        return made && `${await target.codeUri(made, signal)}/${file}`;
      }),
  };
}

async function makeSnapshot(
  context: Context,
  request: Parameters<typeof codeSnapshot>[0],
  place: Place,
  text: string | undefined,
): Promise<CodeSnapshot> {
  const made = await codeSnapshot(request, context.signal);
  for (const warning of made.warnings) context.problems.warn(place, warning);
  if (made.files.length === 0) {
    context.problems.add(
      place,
      `The code folder ${JSON.stringify(text ?? '')} holds no file (after its .amlignore or .gitignore).`,
      'a folder with at least one file',
    );
  }
  return made;
}

/** Code that is not on this machine; undefined for a local path. Source: what the client takes, tried form by form. */
function remoteCode(context: Context, text: string, place: Place): { id: Tree } | undefined {
  const bare = withoutPrefix(text);
  if (/^\/subscriptions\//i.test(bare)) return { id: bare };
  if (/^(?:git\+|git:|git@)/.test(text)) {
    context.problems.add(place, 'Code from a git address is not supported.', 'a folder of the checkout');
    return { id: undefined };
  }
  if (/^(?:azureml|file):/.test(text)) {
    const accepted = 'a folder or file relative to this YAML file, or azureml: and the ARM id of a code version';
    context.problems.add(place, `Code cannot be named as ${JSON.stringify(text)}.`, accepted);
    return { id: undefined };
  }
  return isUrl(text) ? { id: new Pending(async ({ target, signal }) => target.codeAt(text, signal)) } : undefined;
}

async function guarded<T>(context: Context, place: Place, work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof Failure) {
      context.problems.add(place, error.message, error.details.advice);
      return undefined;
    }
    const { code: reason, path: file } = error as NodeJS.ErrnoException;
    if (reason === undefined || context.signal?.aborted) throw error;
    context.problems.add(place, `${file ? shown(file) : 'A file'} cannot be read (${reason}).`);
    return undefined;
  }
}

/** A local file or folder that is uploaded. `kind`: what the type of the input asks for. */
export function upload(
  context: Context,
  text: string,
  base: string,
  place: Place,
  options: { kind?: 'file' | 'folder'; datastore?: string; as: 'path' | 'url' },
): Pending | undefined {
  const absolute = realPath(base, text);
  const stat = statOf(absolute);
  if (!stat) {
    context.problems.add(
      place,
      `There is no file or folder ${JSON.stringify(text)} (${shown(absolute)}).`,
      'a path relative to this YAML file, azureml:name:version, azureml://datastores/… or a URL',
    );
    return undefined;
  }
  if (path.isAbsolute(text) && options.kind !== undefined && stat.isDirectory() !== (options.kind === 'folder')) {
    context.problems.add(place, `${JSON.stringify(text)} is a ${stat.isDirectory() ? 'folder' : 'file'}.`, `a ${options.kind}`);
    return undefined;
  }
  const data = localUpload(context, absolute, place, true);
  const { datastore } = options;
  return new Pending(async ({ target, signal }) => {
    const made = await data;
    if (!made) return undefined;
    const local: LocalData = datastore === undefined ? made : { ...made, datastore };
    if (options.as === 'url') return target.contextUri(local, signal);
    const uri = await target.data(local, signal);
    return options.kind === 'folder' && !uri.endsWith('/') ? `${uri}/` : uri;
  });
}

function localUpload(context: Context, absolute: string, place: Place, filled: boolean): Promise<LocalData | undefined> {
  const known = context.uploads.get(absolute);
  if (known) return known;
  const made = guarded(context, place, async () => {
    const data = await localData(absolute, context.signal);
    for (const warning of data.warnings) context.problems.warn(place, warning);
    if (filled && data.files.length === 0) {
      context.problems.add(place, `The folder ${shown(absolute)} holds no file to upload.`, 'a folder with at least one file');
    }
    return data;
  });
  context.uploads.set(absolute, made);
  return made;
}

const route = object({ port: int, path: str }, { name: 'the route', required: ['port', 'path'] });
const environmentFields: Record<string, Field> = {
  image: str,
  build: object({ path: str, dockerfile_path: str }, { name: 'build' }),
  conda_file: raw,
  inference_config: object(
    { liveness_route: route, scoring_route: route, readiness_route: route },
    { name: 'inference_config', required: ['liveness_route', 'scoring_route', 'readiness_route'] },
  ),
  os_type: words(['linux', 'windows']),
  datastore: str,
  description: str,
  tags: dict(raw),
};
const environmentIgnored = ['name', 'version', '$schema', 'id', 'creation_context', 'latest_version', 'auto_delete_setting'];

/**
 * The value of `environment`. In: its node; folder it is relative to; an image where none is said (Spark). Out: what is sent as environmentId: a reference, or an anonymous
 * environment made of image, conda file or build context. Source: azure-ml-rest §1.5 and corrections.
 */
export function environment(context: Context, node: YNode, base: string, otherwise?: string): Tree {
  if (otherwise !== undefined && node.kind === 'scalar' && node.type === 'null') return undefined;
  if (node.kind === 'scalar' && node.type === 'str') {
    const text = node.text;
    if (text.startsWith('file:')) {
      const file = resolvePath(base, text);
      const root = context.yaml(file, node.place);
      return root ? environment(context, root, path.dirname(file), otherwise) : undefined;
    }
    if (text.startsWith('azureml:registry:')) {
      context.problems.add(
        node.place,
        `${JSON.stringify(text)} is no reference.`,
        'azureml://registries/REGISTRY/environments/NAME/versions/1',
      );
      return undefined;
    }
    if (text.startsWith('azureml:')) return assetId(context, 'environment', text, node.place);
  }
  if (node.kind !== 'map') {
    context.problems.add(
      node.place,
      'This is no environment.',
      'azureml:name:version, azureml:name@latest, azureml://registries/…, file:environment.yml or a mapping with image, build, conda_file',
    );
    return undefined;
  }
  return anonymousEnvironment(context, node, base, otherwise);
}

function anonymousEnvironment(context: Context, node: YMap, base: string, otherwise?: string): Tree {
  for (const key of ['channels', 'dependencies']) {
    if (node.entries.has(key)) {
      context.problems.add(node.place, 'This is a conda file, not an environment.', 'image and conda_file: path/to/conda.yml');
      return undefined;
    }
  }
  const reader: Reader = context.reader(base);
  const read = readObject(node, environmentFields, { name: 'environment', elsewhere: environmentIgnored }, reader);
  if (otherwise !== undefined && !node.entries.has('image')) {
    // The conda file alone is kept, in the image that stands for none.
    const condaFile = readConda(context, node, base);
    const version = condaFile === undefined ? sha256(otherwise) : pyJoin(sha256(otherwise), sha256(condaFile));
    const made = { image: otherwise, condaFile, isAnonymous: true, isArchived: false };
    return environmentPending(async () => sha256(version), made);
  }
  const image = read['image'];
  const build = read['build'] as TreeObject | undefined;
  const hasBuild = node.entries.has('build');
  if (node.entries.has('image') === hasBuild) {
    context.problems.add(
      node.place,
      hasBuild ? 'image and build exclude each other.' : 'The environment has neither image nor build.',
    );
    return undefined;
  }
  const conda = readConda(context, node, base);
  const config = read['inference_config'] as TreeObject | undefined;
  const common = {
    condaFile: conda,
    osType: read['os_type'],
    tags: read['tags'],
    description: read['description'],
    isAnonymous: true,
    isArchived: false,
    inferenceConfig: config && {
      livenessRoute: config['liveness_route'],
      scoringRoute: config['scoring_route'],
      readinessRoute: config['readiness_route'],
    },
  };
  if (typeof image === 'string') {
    let version = sha256(image);
    if (config) version = pyJoin(version, sha256(dumpYaml(config)));
    if (conda !== undefined) version = pyJoin(version, sha256(conda));
    return environmentPending(async () => sha256(version), { ...common, image });
  }
  // What is wrong with the image is said already.
  if (!hasBuild) return undefined;
  const location = build?.['path'];
  const where = child(child(node, 'build'), 'path')?.place ?? node.place;
  if (typeof location !== 'string') {
    context.problems.add(where, 'The build context has no path.', 'the folder with the Dockerfile');
    return undefined;
  }
  const dockerfile = build?.['dockerfile_path'];
  if (isUrl(location)) {
    return environmentPending(async () => sha256(sha256(location)), {
      ...common,
      build: { contextUri: location, dockerfilePath: dockerfile },
    });
  }
  const datastore = read['datastore'];
  const uri = upload(context, location, base, where, { as: 'url', ...(typeof datastore === 'string' ? { datastore } : {}) });
  const data = uri && context.uploads.get(realPath(base, location));
  const version = async (): Promise<string> => {
    const made = await data;
    const first = sha256(made?.id ?? '');
    return sha256(typeof dockerfile === 'string' ? pyJoin(first, sha256(dockerfile)) : first);
  };
  return environmentPending(version, { ...common, build: { contextUri: uri, dockerfilePath: dockerfile } });
}

function environmentPending(version: () => Promise<string>, properties: TreeObject): Pending {
  return new Pending(async (writing) => {
    const body = plain(await materialise(compact(properties), writing)) as Record<string, unknown>;
    return writing.target.environment(
      {
        name: 'CliV2AnonymousEnvironment',
        version: await version(),
        apiVersion: API_VERSIONS.environment,
        body: { properties: body },
      },
      writing.signal,
    );
  });
}

/** `conda_file`: a path or the specification itself. Out: the text that is sent. */
function readConda(context: Context, node: YMap, base: string): string | undefined {
  const conda = child(node, 'conda_file');
  if (!conda) return undefined;
  if (conda.kind === 'scalar' && conda.type === 'null') {
    context.problems.add(conda.place, 'conda_file: The value is missing.', 'the path of a conda file, or its content');
    return undefined;
  }
  let root: YNode | undefined = conda;
  const text = textOf(conda);
  if (text !== undefined) root = context.yaml(resolvePath(base, text), conda.place);
  if (!root) return undefined;
  if (root.kind === 'seq' && root.items.length === 0) return undefined;
  if (root.kind !== 'map') {
    context.problems.add(conda.place, 'The conda file holds no mapping.', 'name, channels, dependencies');
    return undefined;
  }
  return root.entries.size === 0 ? undefined : dumpYaml(withDates(root) as TreeObject);
}
