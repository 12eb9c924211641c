/** Operations of the service that are not built here: each says 501 and its name. */
import { notBuilt, resourceNotFound } from '../errors.js';
import type { Router } from '../router.js';

const groups: [path: string, what: string][] = [
  ['batchEndpoints', 'BatchEndpoints'],
  ['onlineEndpoints', 'OnlineEndpoints'],
  ['serverlessEndpoints', 'ServerlessEndpoints'],
  ['inferencePools', 'InferencePools'],
  ['connections', 'WorkspaceConnections'],
  ['featuresets', 'FeaturesetContainers'],
  ['featurestoreEntities', 'FeaturestoreEntityContainers'],
  ['labelingJobs', 'LabelingJobs'],
  ['marketplaceSubscriptions', 'MarketplaceSubscriptions'],
  ['outboundRules', 'ManagedNetworkSettings'],
];

export function registerNotBuilt(router: Router): void {
  for (const [path, what] of groups) {
    const tracked = path.endsWith('Endpoints');
    router.workspace('GET', `/${path}`, 'read', () => {
      throw notBuilt(`${what}_List`);
    });
    // No endpoint can exist, so reading one is a plain 404; making one says what is missing.
    router.workspace('GET', `/${path}/:name`, 'read', ({ ws, params }) => {
      if (tracked) throw resourceNotFound(`workspaces/${ws.name}/${path}/${params['name']}`, ws.resourceGroup);
      throw notBuilt(`${what}_Get`);
    });
    router.workspace('DELETE', `/${path}/:name`, 'write', () => {
      if (tracked) return { status: 204 };
      throw notBuilt(`${what}_Delete`);
    });
    router.workspace(['PUT', 'PATCH'], `/${path}/:name`, 'write', () => {
      throw notBuilt(`${what}_CreateOrUpdate`);
    });
    router.workspace(['GET', 'PUT', 'PATCH', 'POST', 'DELETE'], `/${path}/:name/*`, 'read', ({ method, params }) => {
      throw notBuilt(`${what} ${method} ${path}/{name}/${(params['*'] ?? '').split('/')[0]}`);
    });
  }
  for (const [method, action] of [
    ['POST', 'prepareNotebook'],
    ['POST', 'provisionManagedNetwork'],
    ['GET', 'usages'],
    ['GET', 'privateEndpointConnections'],
    ['GET', 'privateLinkResources'],
    ['GET', 'outboundNetworkDependenciesEndpoints'],
  ] as const)
    router.workspace(method, `/${action}`, method === 'GET' ? 'read' : 'write', () => {
      throw notBuilt(`Workspaces ${action}`);
    });
}
