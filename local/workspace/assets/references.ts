/** The ways in which an asset can be named (reference azure-ml-rest §0). */
import type { AssetKind, AssetReference } from './types.js';

const kinds: Record<string, AssetKind> = {
  codes: 'codes',
  code: 'codes',
  components: 'components',
  data: 'data',
  environments: 'environments',
  models: 'models',
};

const arm =
  /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/providers\/Microsoft\.MachineLearningServices\/workspaces\/([^/]+)\/([a-z]+)\/([^/]+)(?:\/(versions|labels)\/([^/]+))?$/i;
const registry = /^azureml:\/\/registries\/([^/]+)\/([a-z]+)\/([^/]+)(?:\/(versions|labels)\/([^/]+))?$/i;
const located = /^azureml:\/\/locations\/[^/]+\/workspaces\/([^/]+)\/([a-z]+)\/([^/]+)\/versions\/([^/]+)$/i;
const brief = /^([a-zA-Z0-9][\w.-]*)(?::([\w.-]+)|@([\w.-]+))?$/;

function pointed(kind: string | undefined, value: string | undefined): Pick<AssetReference, 'version' | 'label'> {
  if (value === undefined) return {};
  return kind?.toLowerCase() === 'labels' ? { label: value } : { version: value };
}

/** Takes a reference apart; `undefined` when it has none of the forms, or is of another kind of asset. */
export function parseReference(reference: string, kind: AssetKind): AssetReference | undefined {
  const text = reference
    .trim()
    .replace(/^azureml:(?=\/subscriptions\/)/i, '')
    .replace(/^azureml:(?!\/\/)/i, '');
  let found = arm.exec(text);
  if (found) {
    const [, subscriptionId = '', resourceGroup = '', name = '', type = '', asset = '', how, value] = found;
    if (kinds[type.toLowerCase()] !== kind) return undefined;
    return { kind, name: asset, workspace: { subscriptionId, resourceGroup, name }, ...pointed(how, value) };
  }
  found = registry.exec(text);
  if (found) {
    const [, owner = '', type = '', asset = '', how, value] = found;
    return kinds[type.toLowerCase()] === kind ? { kind, name: asset, registry: owner, ...pointed(how, value) } : undefined;
  }
  found = located.exec(text);
  if (found) {
    const [, workspaceGuid = '', type = '', asset = '', version = ''] = found;
    return kinds[type.toLowerCase()] === kind ? { kind, name: asset, workspaceGuid, version } : undefined;
  }
  found = brief.exec(text);
  if (!found) return undefined;
  const [, name = '', version, label] = found;
  return { kind, name, ...(version === undefined ? {} : { version }), ...(label === undefined ? {} : { label }) };
}
