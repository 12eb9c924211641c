/** Looks before a promotion: region, network, storage, and rights, each with whose they are (docs/release.md, "Plan"). Reads only. */
import { Failure } from '../azure/errors.js';
import type { Azure } from '../azure/types.js';
import type { RegistryModels } from './registries.js';
import type { Workspace } from './workspace.js';

interface RightFinding {
  right: string;
  on: string;
  whose: string;
  found: 'yes' | 'no' | 'unknown';
  detail?: string;
}

interface Looked {
  conditions: Record<string, string>;
  rights: RightFinding[];
  problems: string[];
}

interface Permission {
  actions?: string[];
  notActions?: string[];
  dataActions?: string[];
  notDataActions?: string[];
}

/** What the connection's principal may do at a scope; undefined when that cannot be read. */
async function permissionsAt(azure: Azure, scope: string, signal?: AbortSignal): Promise<Permission[] | undefined> {
  const { status, body } = await azure.request<{ value?: Permission[] }>({
    method: 'GET',
    url: `${scope}/providers/Microsoft.Authorization/permissions`,
    apiVersion: '2022-04-01',
    accept: [400, 403, 404, 405, 501],
    operation: `read the rights of connection ${azure.connection.name}`,
    ...(signal ? { signal } : {}),
  });
  return status < 300 ? (body.value ?? []) : undefined;
}

/** Azure's rule: any assignment that allows it and does not take it back (`*` stands for anything). */
function allows(permissions: readonly Permission[], action: string, kind: 'action' | 'data' = 'action'): boolean {
  const hit = (patterns: string[] | undefined) =>
    (patterns ?? []).some((pattern) =>
      new RegExp(`^${pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '.*')}$`, 'i').test(action),
    );
  return permissions.some((entry) =>
    kind === 'data' ? hit(entry.dataActions) && !hit(entry.notDataActions) : hit(entry.actions) && !hit(entry.notActions),
  );
}

type Side = 'source' | 'target';

/**
 * One workspace's side. `writes`: models and blobs are written there, not only read.
 * Errors: `Failure` when the workspace itself cannot be read: then nothing can be planned.
 */
export async function lookAtWorkspace(
  workspace: Workspace,
  side: Side,
  needs: { bytes: boolean; writes: boolean },
  signal?: AbortSignal,
): Promise<Looked & { location: string }> {
  const { azure } = workspace;
  const whose = `the ${side}'s connection ${azure.connection.name}`;
  const facts = await workspace.facts(signal);
  const storage = await defaultStorage(workspace, signal);
  const permissions = await permissionsAt(azure, workspace.id, signal);
  const blobScope = facts.storageAccount?.startsWith('/subscriptions/') ? facts.storageAccount : undefined;
  const onStorage = storage === 'identity' && blobScope ? await permissionsAt(azure, blobScope, signal) : undefined;
  const rights: RightFinding[] = [];
  const need = (right: string, on: string, ok: boolean | undefined, role: string) =>
    rights.push({
      right,
      on,
      whose,
      found: ok === undefined ? 'unknown' : ok ? 'yes' : 'no',
      ...(ok ? {} : { detail: `give it ${role}` }),
    });
  const ml = (action: string) => permissions && allows(permissions, `Microsoft.MachineLearningServices/workspaces/${action}`);
  need('read models', `workspace ${workspace.workspace}`, ml('models/versions/read'), 'Reader');
  if (needs.writes)
    need('write models', `workspace ${workspace.workspace}`, ml('models/versions/write'), 'AzureML Data Scientist');
  if (needs.bytes && storage === 'keys') {
    // Without the keys a blob role does as well: storage then takes the connection's own identity.
    const listed = ml('datastores/listSecrets/action');
    const own = listed || !blobScope ? undefined : await permissionsAt(azure, blobScope, signal);
    const blob = `Microsoft.Storage/storageAccounts/blobServices/containers/blobs/${needs.writes ? 'write' : 'read'}`;
    need(
      `${needs.writes ? 'write' : 'read'} blobs`,
      `storage of workspace ${workspace.workspace}`,
      listed ? true : own ? allows(own, blob, 'data') : listed,
      'AzureML Data Scientist',
    );
  }
  if (needs.bytes && storage === 'identity') {
    const blob = (verb: string) =>
      onStorage && allows(onStorage, `Microsoft.Storage/storageAccounts/blobServices/containers/blobs/${verb}`, 'data');
    need('read blobs', `storage of workspace ${workspace.workspace}`, blob('read'), 'Storage Blob Data Reader');
    if (needs.writes)
      need('write blobs', `storage of workspace ${workspace.workspace}`, blob('write'), 'Storage Blob Data Contributor');
  }
  return {
    location: facts.location,
    conditions: {
      [`${side}.location`]: facts.location,
      [`${side}.network`]: facts.publicNetworkAccess ?? 'Enabled',
      [`${side}.storage`]: storage,
    },
    rights,
    problems: [],
  };
}

/** `keys` where the default datastore holds a key or SAS, `identity` where it holds none. */
async function defaultStorage(workspace: Workspace, signal?: AbortSignal): Promise<'keys' | 'identity'> {
  const { body } = await workspace.azure.request<{
    value?: { properties?: { credentials?: { credentialsType?: string } | null } }[];
  }>({
    method: 'GET',
    url: `${workspace.id}/datastores`,
    query: { isDefault: 'true', count: '30', orderByAsc: 'false' },
    operation: `find the default datastore of workspace ${workspace.workspace} with connection ${workspace.azure.connection.name}`,
    ...(signal ? { signal } : {}),
  });
  const type = body.value?.[0]?.properties?.credentials?.credentialsType ?? 'None';
  return /^none$/i.test(type) ? 'identity' : 'keys';
}

/** A registry's side: is it there for this connection, does it serve the workspace's region, may it be written. */
export async function lookAtRegistry(
  registry: RegistryModels,
  workspace: Workspace,
  side: Side,
  writes: boolean,
  signal?: AbortSignal,
): Promise<Looked> {
  const { name } = registry.place;
  const whose = `connection ${workspace.azure.connection.name}`;
  const { location } = await workspace.facts(signal);
  let facts;
  try {
    facts = await registry.facts();
  } catch (error) {
    if (!(error instanceof Failure) || (error.details.status !== 403 && error.details.status !== 404)) throw error;
    const right = {
      right: `${writes ? 'share with' : 'read'} the registry`,
      on: `registry ${name}`,
      whose,
      found: 'no' as const,
      detail: error.message,
    };
    return { conditions: {}, rights: [right], problems: [error.message] };
  }
  const scope = facts.base.slice(facts.base.indexOf('/subscriptions/'));
  const permissions = await permissionsAt(workspace.azure, scope, signal);
  const action = `Microsoft.MachineLearningServices/registries/assets/${writes ? 'write' : 'read'}`;
  const ok = permissions && allows(permissions, action);
  const regions = facts.regions.map((region) => region.toLowerCase().replaceAll(' ', ''));
  const here = location.toLowerCase().replaceAll(' ', '');
  const served = regions.length === 0 || regions.includes('*') || regions.includes(here);
  return {
    conditions: { [`${side}.regions`]: facts.regions.join(' ') },
    rights: [
      {
        right: writes ? 'write assets' : 'read assets',
        on: `registry ${name}`,
        whose,
        found: ok === undefined ? 'unknown' : ok ? 'yes' : 'no',
        ...(ok ? {} : { detail: 'give it AzureML Registry User' }),
      },
    ],
    problems: served
      ? []
      : [
          `The registry ${name} serves ${facts.regions.join(', ')}, not ${location}, where the workspace ${workspace.workspace} is. Add that region to the registry, or promote from workspace to workspace.`,
        ],
  };
}
