/** Datastores (reference azure-ml-rest §4, azure-ml-observed §3). */
import type { Ctx, WorkspaceCall, WorkspaceRecord } from '../context.js';
import { badRequest, notFound, ServiceError } from '../errors.js';
import { page } from '../assets/view.js';
import type { Router } from '../router.js';
import { accountSas } from '../storage/sas.js';
import { datastoreKey, datastoreTable, maker, type DatastoreRecord, type Datastores } from '../storage/datastores.js';
import { assetName, objectOf, propertiesOf } from '../validate.js';

function body(ws: WorkspaceRecord, record: DatastoreRecord, apiVersion: string): Record<string, unknown> {
  const { description, tags, properties, isDefault, credentials, subscriptionId, resourceGroup, ...rest } = record.properties;
  // Where the account lies is told of the workspace's own stores, of others when it was sent.
  const own = rest['accountName'] === ws.account;
  const { createdAt, createdBy, createdByType, lastModifiedAt = createdAt } = record.systemData;
  const { lastModifiedBy = createdBy, lastModifiedByType = createdByType } = record.systemData;
  // Later versions do not tell who made the stores that came with the workspace, as recorded.
  const creator = own && createdBy === maker && apiVersion >= '2024' ? {} : { createdBy, createdByType };
  return {
    id: `${ws.armId}/datastores/${record.name}`,
    name: record.name,
    type: 'Microsoft.MachineLearningServices/workspaces/datastores',
    properties: {
      description: description ?? null,
      tags: tags ?? null,
      properties: properties ?? null,
      isDefault: isDefault ?? false,
      credentials,
      ...(apiVersion >= '2024'
        ? {
            subscriptionId: subscriptionId ?? (own ? ws.subscriptionId : null),
            resourceGroup: resourceGroup ?? (own ? ws.resourceGroup : null),
          }
        : {}),
      ...rest,
    },
    systemData: { createdAt, ...creator, lastModifiedAt, lastModifiedBy, lastModifiedByType },
  };
}

const types = new Set(['AzureBlob', 'AzureDataLakeGen1', 'AzureDataLakeGen2', 'AzureFile', 'OneLake', 'Hdfs']);

/** Takes the secrets out of what was sent: they are stored apart and only listSecrets shows them. */
function split(credentials: Record<string, unknown>): { shown: Record<string, unknown>; secrets?: Record<string, unknown> } {
  const { secrets, ...shown } = credentials;
  return secrets && typeof secrets === 'object' ? { shown, secrets: secrets as Record<string, unknown> } : { shown };
}

/** `expireAfterHours` of a listSecrets request: one hour by default, a day at most. */
function hoursOf(wish: Record<string, unknown>): number {
  const hours = Number(wish['expireAfterHours'] ?? 1);
  if (Number.isFinite(hours) && hours > 0 && hours <= 24) return hours;
  throw badRequest('expireAfterHours must be a number from 1 to 24.');
}

export function registerDatastores(router: Router, ctx: Ctx, datastores: Datastores): void {
  const find = ({ ws, params }: WorkspaceCall): DatastoreRecord => {
    const name = params['name'] ?? '';
    const found = datastores.get(ws, name);
    if (!found) throw notFound(`Error when parsing request; unable to find data store with name: ${name}.`);
    return found;
  };
  router.workspace('GET', '/datastores', 'read', ({ ws, query, apiVersion, path }) => {
    let all = datastores.all(ws);
    if (query['isDefault'] === 'true') all = all.filter((entry) => entry.properties['isDefault'] === true);
    const names = query['names']?.split(',').map((name) => name.trim().toLowerCase());
    if (names) all = all.filter((entry) => names.includes(entry.name.toLowerCase()));
    const text = query['searchText']?.toLowerCase();
    if (text) all = all.filter((entry) => entry.name.toLowerCase().includes(text));
    all.sort((a, b) => (a.systemData.createdAt < b.systemData.createdAt ? 1 : -1));
    if (query['orderByAsc']?.toLowerCase() === 'true') all.reverse();
    const size = Number(query['count'] ?? 30);
    const { count: _count, ...rest } = query;
    const shown = page(all, rest, `${ctx.urls.base}${path}`, Number.isInteger(size) && size > 0 ? size : 30);
    return {
      body: {
        value: shown.page.map((entry) => body(ws, entry, apiVersion)),
        ...(shown.nextLink ? { nextLink: shown.nextLink } : {}),
      },
    };
  });
  router.workspace('GET', '/datastores/:name', 'read', (call) => ({ body: body(call.ws, find(call), call.apiVersion) }));
  router.workspace('POST', '/datastores/:name/listSecrets', 'secrets', (call) => {
    const found = find(call);
    const kind = (found.properties['credentials'] as { credentialsType?: string } | undefined)?.credentialsType;
    const account = String(found.properties['accountName']);
    const wish = objectOf(call.body) ?? {};
    const key = account === call.ws.account && kind === 'AccountKey' ? ctx.storage.accountKey(account) : found.secrets?.['key'];
    // Asked for a secret that expires, the service signs with the key instead of handing it out. Not for the store of artifacts:
    // azure-ai-ml signs the addresses of a streamed log with what it gets there, and must get a key (azure-ml-rest.md §2.4).
    const expires = wish['expirableSecret'] === true && found.name !== 'workspaceartifactstore';
    if (kind === 'AccountKey' && typeof key === 'string' && expires) {
      const seconds = Math.min(hoursOf(wish) * 3600, ctx.faults.spec.sasLifetime);
      return { body: { secretsType: 'Sas', sasToken: `?${accountSas(account, key, seconds, ctx.clock.now())}` } };
    }
    if (kind === 'AccountKey' && typeof key === 'string') return { body: { secretsType: 'AccountKey', key } };
    if (found.secrets) return { body: found.secrets };
    throw new ServiceError(400, 'UserError', `Datastore ${found.name} has no credentials.`, {
      inner: ['BadArgument', 'NoCredentials'],
    });
  });
  router.workspace('PUT', '/datastores/:name', 'write', async (call) => {
    const name = assetName(call.params['name'], 'Datastore', /^[a-zA-Z0-9][a-zA-Z0-9_]{0,254}$/);
    const sent = propertiesOf(call.body, 'Datastore', call.apiVersion);
    if (!types.has(String(sent['datastoreType'])))
      throw badRequest(`The datastoreType '${String(sent['datastoreType'])}' is not one of ${[...types].join(', ')}.`);
    const { shown, secrets } = split(objectOf(sent['credentials']) ?? { credentialsType: 'None' });
    const before = datastores.get(call.ws, name);
    const now = ctx.clock.stamp();
    const record: DatastoreRecord = {
      name: before?.name ?? name,
      properties: {
        serviceDataAccessAuthIdentity: 'None',
        ...sent,
        isDefault: sent['isDefault'] ?? before?.properties['isDefault'] ?? false,
        credentials: shown,
      },
      systemData: {
        ...(before?.systemData ?? { createdAt: now, createdBy: call.principal.name, createdByType: 'Application' }),
        lastModifiedAt: now,
        lastModifiedBy: call.principal.name,
        lastModifiedByType: 'Application',
      },
      ...(secrets ? { secrets } : before?.secrets ? { secrets: before.secrets } : {}),
    };
    await ctx.store.write((tx) => {
      if (record.properties['isDefault'] === true)
        for (const { key, value } of tx.entries<DatastoreRecord>(datastoreTable, { prefix: `${call.ws.guid}/` }))
          if (value.properties['isDefault'] === true && value.name !== record.name)
            tx.put(datastoreTable, key, { ...value, properties: { ...value.properties, isDefault: false } });
      tx.put(datastoreTable, datastoreKey(call.ws, name), record);
    });
    return {
      status: before ? 200 : 201,
      ...(before ? {} : { headers: { Location: `${ctx.urls.base}${call.path}?${new URLSearchParams(call.query).toString()}` } }),
      body: body(call.ws, record, call.apiVersion),
    };
  });
  router.workspace('DELETE', '/datastores/:name', 'write', async (call) => {
    const found = datastores.get(call.ws, call.params['name'] ?? '');
    if (!found) return { status: 204 };
    if (found.properties['isDefault'] === true || found.name.startsWith('workspace'))
      throw badRequest(`Datastore ${found.name} belongs to the workspace and cannot be deleted.`);
    await ctx.store.write((tx) => tx.remove(datastoreTable, datastoreKey(call.ws, found.name)));
    return { status: 200 };
  });
}
