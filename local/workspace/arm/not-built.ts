/** Operations of the service that are not built here: each says 501 and its name. */
import type { WorkspaceCall } from '../context.js';
import { notBuilt, resourceNotFound } from '../errors.js';
import type { Router } from '../router.js';
import { operationName } from './operation-name.js';

const collections = [
  'batchEndpoints',
  'onlineEndpoints',
  'serverlessEndpoints',
  'inferencePools',
  'connections',
  'featuresets',
  'featurestoreEntities',
  'labelingJobs',
  'marketplaceSubscriptions',
  'outboundRules',
  'privateEndpointConnections',
];
const reads = ['usages', 'features', 'privateLinkResources', 'outboundNetworkDependenciesEndpoints'];
const actions = ['prepareNotebook', 'provisionManagedNetwork'];

/** Whoever may not see the workspace, or has no right to the operation, is told that first. */
export function registerNotBuilt(router: Router): void {
  const refuse = ({ method, path }: WorkspaceCall): never => {
    throw notBuilt(operationName(method, path));
  };
  for (const path of collections) {
    const tracked = path.endsWith('Endpoints');
    router.workspace('GET', `/${path}`, 'read', refuse);
    // No endpoint can exist, so reading one is a plain 404; making one says what is missing.
    router.workspace('GET', `/${path}/:name`, 'read', (call) => {
      const { ws, params } = call;
      if (tracked) throw resourceNotFound(`workspaces/${ws.name}/${path}/${params['name']}`, ws.resourceGroup);
      return refuse(call);
    });
    router.workspace('DELETE', `/${path}/:name`, 'write', (call) => (tracked ? { status: 204 } : refuse(call)));
    router.workspace(['PUT', 'PATCH'], `/${path}/:name`, 'write', refuse);
    router.workspace(['GET', 'PUT', 'PATCH', 'POST', 'DELETE'], `/${path}/:name/*`, 'read', refuse);
  }
  for (const path of reads) router.workspace('GET', `/${path}`, 'read', refuse);
  for (const path of actions) router.workspace('POST', `/${path}`, 'write', refuse);
}
