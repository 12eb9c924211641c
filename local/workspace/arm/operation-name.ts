/** The service's name of the operation behind a request, for what is not built (aml-api/operations-2025-09-01.tsv; in the plural of the clients). */

/** Groups by the collections of a path below the provider; others are called as their last collection. */
const groups: Record<string, string> = {
  'batchendpoints/deployments': 'BatchDeployments',
  'onlineendpoints/deployments': 'OnlineDeployments',
  connections: 'WorkspaceConnections',
  'connections/deployments': 'ConnectionDeployments',
  featuresets: 'FeaturesetContainers',
  'featuresets/versions': 'FeaturesetVersions',
  'featuresets/versions/features': 'Features',
  featurestoreentities: 'FeaturestoreEntityContainers',
  'featurestoreentities/versions': 'FeaturestoreEntityVersions',
  outboundrules: 'ManagedNetworkSettingsRules',
  features: 'WorkspaceFeatures',
  vmsizes: 'VirtualMachineSizes',
  computes: 'Compute',
  ...Object.fromEntries(
    ['Code', 'Component', 'Data', 'Environment', 'Model'].flatMap((kind) => {
      const path = kind === 'Data' ? 'data' : `${kind.toLowerCase()}s`;
      return [
        [path, `${kind}Containers`],
        [`${path}/versions`, `${kind}Versions`],
      ];
    }),
  ),
};
/** Reads of a resource that are a path segment behind its name. */
const lists = new Set(['skus', 'outboundnetworkdependenciesendpoints']);
const verbs: Record<string, string> = { GET: 'Get', PUT: 'CreateOrUpdate', PATCH: 'Update', DELETE: 'Delete' };
const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** `OnlineEndpoints_ListKeys`, `Workspaces_PrepareNotebook` … of a path of the provider; method and path for any other. */
export function operationName(method: string, path: string): string {
  const rest = /\/providers\/Microsoft\.MachineLearningServices\/(.+?)\/?$/i.exec(path)?.[1]?.split('/');
  if (!rest) return `${method} ${path.slice(0, 200)}`;
  const registry = /^registries$/i.test(rest[0] ?? '');
  const scoped = /^(workspaces|registries|locations)$/i.test(rest[0] ?? '') && rest.length > 2 ? rest.slice(2) : rest;
  const collections = scoped.filter((_segment, index) => index % 2 === 0);
  const nameOf = (of: string[]): string => {
    const found = groups[of.join('/').toLowerCase()] ?? capital(of.at(-1) ?? '');
    return registry && of.length && scoped !== rest ? `Registry${found}` : found;
  };
  if (scoped.length % 2 === 0) return `${nameOf(collections)}_${verbs[method] ?? method}`;
  const last = scoped.at(-1) ?? '';
  if (last === 'updateQuotas') return 'Quotas_Update';
  const owner = collections.slice(0, -1);
  const ofOwner = (): string => (owner.length ? nameOf(owner) : capital((rest[0] ?? '').toLowerCase()));
  if (method === 'GET')
    return lists.has(last.toLowerCase()) ? `${ofOwner()}_List${capital(last)}` : `${nameOf(collections)}_List`;
  if (method !== 'POST') return `${nameOf(collections)}_${verbs[method] ?? method}`;
  return `${ofOwner()}_${last === 'token' ? 'GetToken' : last === 'listkeys' ? 'ListKeys' : capital(last)}`;
}
