/** Components: files and inline definitions become anonymous components; everything else is a reference (reference azure-ml-rest §1.6). */
import path from 'node:path';
import { code, environment } from './assets.js';
import type { Context } from './context.js';
import { resolvePath } from './context.js';
import {
  checkBindings,
  portInputsToSpec,
  portOutputsToSpec,
  readPortInputs,
  readPortOutputs,
  type PortInput,
  type PortOutput,
} from './component-io.js';
import { child, textOf, type YMap, type YNode } from './document.js';
import { componentDistribution, componentResources, queueSettings } from './fields.js';
import { compact, isTreeObject, materialise, Pending, type Tree, type TreeObject } from './pending.js';
import { isObject, plain, pyJson, pyStr, type Json, type JsonObject } from './python.js';
import { oneOf, shown, type Place } from './problems.js';
import { assetId, isRegistryId } from './refs.js';
import { bool, dict, list, raw, rawValue, readObject, str, type Field } from './schema.js';
import { guid } from './offline.js';
import { sha256 } from './assets.js';
import type { StepPlace } from './pipeline-checks.js';
import { specDistribution, specResources } from './component-spec.js';
import { API_VERSIONS } from './versions.js';

type ComponentType = 'command' | 'spark' | 'parallel' | 'pipeline' | 'flow' | 'data_transfer';

/** A component that this job defines. */
export interface LocalComponent {
  kind: 'local';
  type: ComponentType;
  source: 'YAML.COMPONENT' | 'YAML.JOB';
  inputs: Map<string, PortInput>;
  outputs: Map<string, PortOutput>;
  /** What a step takes from its component where it says nothing itself. */
  defaults: TreeObject;
  /** Becomes the ARM id. */
  id: Pending;
  base: string;
  /** Steps of a pipeline that need a default compute. */
  withoutCompute?: StepPlace[];
}
interface RemoteComponent {
  kind: 'remote';
  id: Tree;
  source: 'REMOTE.REGISTRY' | 'REMOTE.WORKSPACE.COMPONENT';
}
export type ComponentUse = LocalComponent | RemoteComponent;

export const componentFields: Record<string, Field> = {
  $schema: str,
  type: str,
  display_name: str,
  description: str,
  // Text in the specification, beside it as they are written.
  tags: dict({ ...raw, accepts: 'text', shape: 'scalar' }),
  is_deterministic: bool,
};
/** Read elsewhere, or ignored in an anonymous component. */
export const componentElsewhere = [
  'name',
  'version',
  'inputs',
  'outputs',
  'id',
  'creation_context',
  'latest_version',
  'auto_delete_setting',
];

export interface ComponentFile {
  context: Context;
  root: YMap;
  base: string;
  /** The file itself, for components that are one. */
  file?: string;
  source: LocalComponent['source'];
}
type ComponentReader = (file: ComponentFile) => LocalComponent;

const READERS: Record<string, () => ComponentReader> = { command: () => commandComponent };

/** Types of components whose readers stand in other files register here (they need this file themselves). */
export function componentReader(type: string, reader: ComponentReader): void {
  READERS[type] = () => reader;
}

/**
 * The value of `component:` (or `trial:`) of a step. In: its node, folder of the file, type of the step. Out: a reference, or the definition.
 * Problems: file not found, circles, unknown types, what the component's own schema refuses.
 */
export function useComponent(
  context: Context,
  node: YNode,
  base: string,
  stepType: string | undefined,
): ComponentUse | undefined {
  const text = textOf(node);
  if (text === undefined) {
    if (node.kind !== 'map') {
      context.problems.add(node.place, 'This is no component.', ACCEPTED);
      return undefined;
    }
    return readComponent({ context, root: node, base, source: 'YAML.JOB' }, node.place, stepType);
  }
  if (text.startsWith('azureml:') || isRegistryId(text)) return reference(context, text, node.place);
  const file = resolvePath(base, text);
  if (context.loading.includes(file)) {
    const circle = [...context.loading.slice(context.loading.indexOf(file)), file].map((one) => shown(one)).join(' → ');
    context.problems.add(node.place, `The component names itself again: ${circle}.`);
    return undefined;
  }
  const root = context.yaml(file, node.place);
  if (!root) return undefined;
  if (root.kind !== 'map') {
    context.problems.add(root.place, 'A component is a mapping.', 'type: command, pipeline, …');
    return undefined;
  }
  context.loading.push(file);
  try {
    // `file:` loads the definition into the step; a bare path is a component of its own.
    const source = text.startsWith('file:') ? 'YAML.JOB' : 'YAML.COMPONENT';
    return readComponent({ context, root, base: path.dirname(file), file, source }, node.place, stepType);
  } finally {
    context.loading.pop();
  }
}

const ACCEPTED = 'a YAML file, file:component.yml, azureml:name:version, azureml://registries/… or a mapping';

function reference(context: Context, text: string, place: Place): RemoteComponent {
  if (isRegistryId(text)) return { kind: 'remote', id: text, source: 'REMOTE.REGISTRY' };
  const id = assetId(context, 'component', text, place);
  return { kind: 'remote', id, source: 'REMOTE.WORKSPACE.COMPONENT' };
}

/** The type of the component in a file, when the step says none. */
export function typeOfFile(context: Context, node: YNode | undefined, base: string): string | undefined {
  const text = textOf(node);
  if (!node || text === undefined || text.startsWith('azureml:')) return undefined;
  const root = context.yaml(resolvePath(base, text), node.place);
  return root ? componentType(root) : undefined;
}

function componentType(root: YNode): string {
  const own = textOf(child(root, 'type'))?.toLowerCase();
  if (own !== undefined) return own;
  const schema = textOf(child(root, '$schema')) ?? '';
  if (/promptflow\/(latest\/)?(flow|run)\.schema\.json$/i.test(schema) || /\/(Flow|Run)\.schema\.json$/.test(schema))
    return 'flow';
  return 'command';
}

function readComponent(file: ComponentFile, at: Place, stepType: string | undefined): LocalComponent | undefined {
  const { context, root } = file;
  const wanted = stepType === 'sweep' ? 'command' : stepType;
  const type = child(root, 'type') || file.file !== undefined ? componentType(root) : (wanted ?? componentType(root));
  if (wanted !== undefined && type !== wanted && !(wanted === 'parallel' && type === 'flow')) {
    context.problems.add(
      at,
      `The step is of type ${stepType ?? ''}, its component of type ${type}.`,
      `a component of type ${wanted}`,
    );
    return undefined;
  }
  const reader = READERS[type];
  if (!reader) {
    context.problems.add(
      child(root, 'type')?.place ?? root.place,
      `Components of type ${type} are not supported.`,
      oneOf(Object.keys(READERS)),
    );
    return undefined;
  }
  return reader()(file);
}

/** A `type: command` component. */
function commandComponent(file: ComponentFile): LocalComponent {
  const { context, root, base } = file;
  const read = readObject(
    root,
    {
      ...componentFields,
      command: str,
      code: str,
      environment: raw,
      resources: componentResources,
      distribution: componentDistribution,
      queue_settings: queueSettings,
      properties: dict(raw),
      additional_includes: list(str),
    },
    {
      name: 'a command component',
      unknown: 'include',
      required: ['command', 'environment'],
      elsewhere: [...componentElsewhere, 'environment_variables'],
    },
    context.reader(base),
  );
  const inputs = readPortInputs(context, child(root, 'inputs'), base);
  const outputs = readPortOutputs(context, child(root, 'outputs'), base);
  checkBindings(context, root, 'command', inputs, outputs);
  const { properties, instance_count: count, ...spec } = read;
  // A count at the top, as older files have it, is a setting of the resources.
  if (count !== undefined) read['resources'] ??= { instance_count: count };
  return localComponent(file, 'command', inputs, outputs, {
    spec: {
      ...spec,
      properties: isTreeObject(properties) && Object.keys(properties).length > 0 ? properties : undefined,
      code: componentCode(file),
      environment: componentEnvironment(file),
      resources: specResources(read['resources']),
      distribution: specDistribution(read['distribution']),
      type: 'command',
    },
    properties,
    defaults: { resources: read['resources'], distribution: read['distribution'] },
  });
}

export function componentCode({ context, root, base }: ComponentFile, holder: YMap = root): Tree {
  const node = child(holder, 'code');
  const included = child(root, 'additional_includes');
  const includes = included?.kind === 'seq' ? included.items.flatMap((item) => textOf(item) ?? []) : [];
  const text = textOf(node);
  if (text === undefined && includes.length === 0) return undefined;
  const id = code(context, text, base, node?.place ?? included?.place ?? root.place, {
    component: true,
    includes,
    ...(included ? { includesAt: included.place } : {}),
  });
  return prefixed(id);
}

export function componentEnvironment({ context, root, base }: ComponentFile, holder: YMap = root, otherwise?: string): Tree {
  const node = child(holder, 'environment');
  return node ? prefixed(environment(context, node, base, otherwise)) : undefined;
}

/** Inside a component an id is written as a reference: `azureml:/subscriptions/…`. */
export function prefixed(id: Tree): Tree {
  if (id instanceof Pending) {
    return new Pending(async (writing) => {
      const text = await id.resolve(writing);
      return typeof text === 'string' ? withPrefix(text) : text;
    });
  }
  return typeof id === 'string' ? withPrefix(id) : id;
}
const withPrefix = (text: string): string => (text.startsWith('azureml:') || /^https?:/.test(text) ? text : `azureml:${text}`);

interface ComponentParts {
  spec: TreeObject;
  properties?: Tree;
  /** Members that count for the version in another form than they are sent in. */
  hashed?: TreeObject;
  defaults: TreeObject;
}

/** Puts a component together: anonymous, versioned by the hash of what it holds. */
export function localComponent(
  file: Pick<ComponentFile, 'base' | 'source'>,
  type: ComponentType,
  inputs: Map<string, PortInput>,
  outputs: Map<string, PortOutput>,
  parts: ComponentParts,
): LocalComponent {
  const pipeline = type === 'pipeline';
  const id = new Pending(async (writing) => {
    const tree: TreeObject = {
      name: 'azureml_anonymous',
      version: '1',
      ...(pipeline ? {} : { is_deterministic: true }),
      ...(compact(parts.spec) as TreeObject),
      ...tagsOf(parts.spec['tags']),
      inputs: portInputsToSpec(inputs),
      outputs: portOutputsToSpec(outputs),
    };
    if (tree['tags'] === undefined) delete tree['tags'];
    for (const side of ['inputs', 'outputs'] as const) if (Object.keys(tree[side] as object).length === 0) delete tree[side];
    const spec = await materialise(tree, writing);
    const sent: JsonObject = {
      ...(isObject(spec) ? spec : {}),
      _source: file.source,
      ...(pipeline ? { sourceJobId: null } : {}),
    };
    const body = {
      componentSpec: plain(sent, true) as Record<string, unknown>,
      ...(sent['description'] === undefined ? {} : { description: sent['description'] }),
      isAnonymous: true,
      ...(pipeline ? {} : { isArchived: false }),
      properties: plain((await materialise(parts.properties, writing)) ?? {}),
      tags: plain((parts.spec['tags'] as Json | undefined) ?? {}),
    };
    return writing.target.component(
      {
        name: 'azureml_anonymous',
        version: anonymousVersion({ ...sent, ...(parts.hashed as JsonObject | undefined) }),
        apiVersion: API_VERSIONS.component,
        body: { properties: body },
      },
      writing.signal,
    );
  });
  return { kind: 'local', type, source: file.source, inputs, outputs, defaults: parts.defaults, id, base: file.base };
}

function tagsOf(tags: Tree): TreeObject {
  if (!isTreeObject(tags)) return {};
  const texts = Object.entries(tags).flatMap(([key, value]) => (value === null ? [] : [[key, pyStr(value as Json)] as const]));
  return { tags: texts.length > 0 || Object.keys(tags).length === 0 ? Object.fromEntries(texts) : undefined };
}

/** SHA-256 of the specification without its name, version, id and source, as the first half of a GUID's digits. */
export function anonymousVersion(spec: JsonObject): string {
  const { name: _name, version: _version, id: _id, _source, ...rest } = spec;
  return guid(sha256(pyJson(rest)));
}

export { rawValue };
