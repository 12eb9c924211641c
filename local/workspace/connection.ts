/** `connection.json`: how everything local reaches this workspace (design §4). */
import { createHash } from 'node:crypto';
import type { ConnectionFile, ServiceConnectionEntry, WorkspaceEntry } from '../connection-file.js';
import type { Ctx, WorkspaceRecord } from './context.js';
import type { StoredWorld } from './world.js';

/** As `up` writes it: every field is there. */
type ServiceConnection = Required<ServiceConnectionEntry>;

/** So is the whole file; `metadata` has the members that azure-ai-ml reads of a cloud. */
export interface Connection extends Required<ConnectionFile> {
  metadata: {
    azure_portal: string;
    resource_manager: string;
    active_directory: string;
    aml_resource_id: string;
    storage_endpoint: string;
    registry_discovery_endpoint: string;
  };
  workspaces: Required<WorkspaceEntry>[];
  serviceConnections: ServiceConnection[];
}

/** A stable GUID for a service connection. */
function connectionId(tenantId: string, name: string): string {
  const hex = createHash('sha256').update(`${tenantId}/${name}`).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

export function buildConnection(ctx: Ctx, world: StoredWorld, keyFile: string): Connection {
  const base = ctx.urls.base;
  const workspaces = world.workspaces();
  const [first] = workspaces;
  if (!first) throw new Error('No workspace.');
  const secretOf = (name: string): { clientId: string; secret: string } => {
    const found = world.secret(name);
    if (!found) throw new Error(`No secret of ${name}.`);
    return found;
  };
  // A workspace that a request made has no principals of its own: who made it, uses it.
  const owner = (ws: WorkspaceRecord): string => ws.owner ?? `arm-${ws.name}`;
  const connections = (ws: WorkspaceRecord): ServiceConnection[] =>
    (ws.owner === undefined ? [`arm-${ws.name}`, `arm-${ws.name}-read`] : []).map((name) => {
      const { clientId, secret } = secretOf(name);
      return {
        name,
        id: connectionId(world.tenantId, name),
        url: base,
        scheme: 'ServicePrincipal',
        tenantId: world.tenantId,
        clientId,
        clientSecret: secret,
        subscriptionId: ws.subscriptionId,
        role: name.endsWith('-read') ? 'Reader' : 'Contributor',
      };
    });
  const main = secretOf(owner(first));
  const registry = world.registries().find((entry) => entry.regions[0] !== '*');
  return {
    resourceManager: base,
    authority: base,
    metadata: {
      azure_portal: base,
      resource_manager: base,
      active_directory: base,
      aml_resource_id: 'https://ml.azure.com/',
      storage_endpoint: `core.localhost:${ctx.urls.storagePort}`,
      registry_discovery_endpoint: `${base}/`,
    },
    mlflowTracking: `${base}${ctx.urls.mlflow(first)}`,
    ca: world.caFile,
    tenantId: world.tenantId,
    clientId: main.clientId,
    clientSecret: main.secret,
    subscriptionId: first.subscriptionId,
    resourceGroup: first.resourceGroup,
    workspaces: workspaces.map((ws) => {
      const { clientId, secret } = secretOf(owner(ws));
      return {
        name: ws.name,
        resourceGroup: ws.resourceGroup,
        location: ws.location,
        subscriptionId: ws.subscriptionId,
        clientId,
        clientSecret: secret,
      };
    }),
    registry: registry?.name ?? '',
    serviceConnections: workspaces.flatMap(connections),
    federation: { issuer: `https://vstoken.dev.azure.com/${world.tenantId}`, audience: 'api://AzureADTokenExchange', keyFile },
  };
}
