/** References to assets and computes: `azureml:name:1`, `azureml:name@latest`, ARM ids, registry ids (reference azure-ml-rest §0). */
import { Pending } from './pending.js';
import type { Context } from './context.js';
import type { Place } from './problems.js';
import { isBinding } from './schema.js';
import type { AssetKind, Reference } from './types.js';

const PLURAL: Record<AssetKind, string> = {
  code: 'codes',
  environment: 'environments',
  component: 'components',
  data: 'data',
  model: 'models',
};

export const isArmId = (text: string): boolean =>
  /^\/subscriptions\/[^/]+\/resourceGroups\/[^/]+\/providers\/Microsoft\.MachineLearningServices\/workspaces\/[^/]+\/.+/i.test(
    text,
  );
export const isRegistryId = (text: string): boolean => /^azureml:\/\/registries\//i.test(text);
/** Anything with a scheme and a host, as the client tells URLs from paths. */
export const isUrl = (text: string): boolean => /^[A-Za-z][A-Za-z0-9+.-]*:\/\/[^/?#]+/.test(text);

/** `azureml:x` to `x`; `azureml://…` stays. */
export function withoutPrefix(text: string): string {
  return text.replace(/^(?:azureml:(?!\/\/))+/, '');
}

/** ARM id of a named thing in the workspace. */
export function namedId(context: Context, collection: 'computes' | 'datastores', name: string): string {
  return `${context.workspaceId}/${collection}/${name}`;
}

function versionedId(context: Context, kind: AssetKind, name: string, version: string): string {
  return `${context.workspaceId}/${PLURAL[kind]}/${name}/versions/${version}`;
}

function refer(context: Context, reference: Omit<Reference, keyof Place>, place: Place): void {
  context.references.push({ ...reference, ...place });
}

/**
 * `azureml:cpu-cluster`, `cpu-cluster`, an ARM id, `serverless`, `${{…}}`. Out: what is sent as computeId, undefined for serverless where
 * the client sends nothing. `shared`: whether `virtualClusters/NAME` is a cluster of the resource group.
 */
export function computeId(
  context: Context,
  text: string,
  place: Place,
  inPipeline: boolean | 'step' = 'step',
  shared = false,
): string {
  let name = withoutPrefix(text);
  // Only steps can take their compute from an input; at the top the text is a name like any other.
  if (inPipeline === 'step' && isBinding(name)) return name;
  if (inPipeline) {
    // Pipelines look computes up by name, in their own workspace.
    name = /^\/subscriptions\/.+\/computes\/([^/]+)$/i.exec(name)?.[1] ?? name;
    if (/^local$/i.test(name)) name = 'local';
    else if (!isBinding(name) && !/^\/subscriptions\//i.test(name) && /^$|\//.test(name))
      context.problems.add(place, `${JSON.stringify(text)} is no name of a compute.`, 'azureml:NAME');
  }
  if (/^\/subscriptions\//i.test(name)) return name;
  // A cluster of the resource group, not of the workspace.
  const cluster = shared && /^virtualclusters\/(.*)$/i.exec(name)?.[1];
  if (cluster) return `${context.workspaceId.replace(/\/workspaces\/[^/]+$/i, '')}/virtualclusters/${cluster}`;
  if (!SPECIAL_COMPUTES.has(name.toLowerCase())) refer(context, { kind: 'compute', name }, place);
  return namedId(context, 'computes', name);
}
const SPECIAL_COMPUTES = new Set(['serverless', 'local']);

interface AssetText {
  name: string;
  version?: string;
  label?: string;
}

/** Splits `name:version` and `name@label`. */
function splitAsset(text: string): AssetText {
  const at = text.lastIndexOf('@');
  if (at > 0) return { name: text.slice(0, at), label: text.slice(at + 1) };
  const colon = text.indexOf(':');
  return colon > 0 ? { name: text.slice(0, colon), version: text.slice(colon + 1) } : { name: text };
}

/**
 * Text of a reference to what is sent: an ARM id (a label becomes a version when it is looked up), or the text itself for registries,
 * curated environments, ARM ids and bindings. Problems: neither version nor label.
 */
export function assetId(context: Context, kind: AssetKind, text: string, place: Place): string | Pending | undefined {
  const bare = withoutPrefix(text);
  if (isArmId(bare)) return bare;
  if (isRegistryId(bare) || isBinding(bare) || isUrl(bare)) return bare;
  if (kind === 'environment' && bare.startsWith('AzureML-')) return `azureml:${bare}`;
  const { name, version, label } = splitAsset(bare);
  if (version?.startsWith('/')) {
    context.problems.add(
      place,
      `${JSON.stringify(text)} is neither a name with a version nor an address.`,
      'azureml:NAME:VERSION',
    );
    return undefined;
  }
  if (version !== undefined && version !== '') {
    refer(context, { kind, name, version }, place);
    return versionedId(context, kind, name, version);
  }
  if (label !== undefined && label !== '') {
    if (kind === 'component' && label === 'default') return `${context.workspaceId}/${PLURAL[kind]}/${name}/labels/${label}`;
    if (label !== 'latest') {
      const known = `azureml:${name}@latest or azureml:${name}:VERSION`;
      context.problems.add(place, `The label in ${JSON.stringify(text)} is not known.`, known);
      return undefined;
    }
    refer(context, { kind, name, label }, place);
    return new Pending(async ({ target, signal }) => {
      const found = await target.resolveLabel(kind, name, label, signal);
      if (!found.certain) {
        context.problems.warn(
          place,
          `The label in azureml:${name}@${label} cannot be looked up here; version ${found.version} is taken.`,
        );
      }
      return versionedId(context, kind, name, found.version);
    });
  }
  context.problems.add(
    place,
    `${JSON.stringify(text)} names neither a version nor a label.`,
    `azureml:${name}:1 or azureml:${name}@latest`,
  );
  return undefined;
}
