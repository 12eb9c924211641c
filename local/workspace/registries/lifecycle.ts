/** Making, changing and deleting registries over ARM (azure-ml-rest §3.2): each a long-running operation. */
import { accountNamed, oneByOne, openAccount } from '../arm/accounts.js';
import { there } from '../arm/workspace-update.js';
import type { Answer, Call, Ctx, RegistryRecord } from '../context.js';
import { badRequest, conflict, notBuilt, resourceNotFound } from '../errors.js';
import type { Rights } from '../identity/rights.js';
import type { Router } from '../router.js';
import type { Tx } from '../store.js';
import { assetName, objectOf, placeNames, textMap, textOf, trackedResource } from '../validate.js';
import { accountOf, registryRecord } from '../world-records.js';

const path =
  '/subscriptions/:subscriptionId/resourceGroups/:resourceGroup/providers/Microsoft.MachineLearningServices/registries/:registry';
type Sent = Record<string, unknown>;

/** Regions of a body, the primary one first. Throws 400 and, for storage or registries of the user's own, 501. */
function regionsOf(properties: Sent, primary: string): string[] {
  const details = properties['regionDetails'];
  if (!Array.isArray(details) || !details.length) throw badRequest('regionDetails must name at least one region.');
  const regions = details.map((entry: unknown) => {
    const detail = objectOf(entry);
    for (const member of ['storageAccountDetails', 'acrDetails'] as const)
      for (const item of Array.isArray(detail?.[member]) ? (detail[member] as unknown[]) : [])
        if (Object.entries(objectOf(item) ?? {}).some(([name, value]) => name.startsWith('userCreated') && value != null))
          throw notBuilt(`Registries_CreateOrUpdate with a ${member} entry of the user's own`);
    const location = textOf(detail?.['location']).toLowerCase().replaceAll(' ', '');
    if (!/^[a-z][a-z0-9]{2,40}$/.test(location)) throw badRequest('Each of regionDetails must have the location of a region.');
    return location;
  });
  if (!regions.includes(primary)) throw badRequest(`regionDetails must contain the registry's own location ${primary}.`);
  return [...new Set([primary, ...regions])];
}

export function registerRegistryLifecycle(
  router: Router,
  ctx: Ctx,
  rights: Rights,
  body: (registry: RegistryRecord) => Record<string, unknown>,
): void {
  const turn = oneByOne();
  const find = ({ params, principal }: Pick<Call, 'params' | 'principal'>): RegistryRecord | undefined => {
    const { subscriptionId = '', resourceGroup = '', registry = '' } = params;
    const found = ctx.world.registry(registry);
    const here =
      found?.subscriptionId.toLowerCase() === subscriptionId.toLowerCase() &&
      found.resourceGroup.toLowerCase() === resourceGroup.toLowerCase();
    if (here) rights.check(principal, found.armId, 'write', 'registries');
    else rights.checkGroup(principal, subscriptionId, resourceGroup, 'write', 'registries', registry, 'registries');
    if (found && !here)
      throw conflict(`The registry name '${registry}' is already in use.`, ['Conflict', 'RegistryNameNotAvailable']);
    return found;
  };
  /** Begins the operation that the client polls. */
  const begin = (tx: Tx, registry: RegistryRecord, apiVersion: string): Record<string, string> => {
    const operation = ctx.operations.create(tx, {
      style: 'registry',
      location: registry.location,
      subscriptionId: registry.subscriptionId,
      seconds: ctx.latency.seconds('operation'),
      now: ctx.clock.now(),
    });
    return {
      'Azure-AsyncOperation': ctx.operations.statusUrl(operation, apiVersion),
      Location: ctx.operations.resultUrl(operation, apiVersion),
    };
  };
  const keyOf = (tx: Tx, registry: RegistryRecord): string =>
    tx.entries<RegistryRecord>('registries').find(({ value }) => value.guid === registry.guid)?.key ?? registry.guid;
  const refused = (sent: Sent, properties: Sent, now: Sent | undefined, operation: string): void => {
    if (/^disabled$/i.test(textOf(properties['publicNetworkAccess'])))
      throw notBuilt(`${operation} with properties.publicNetworkAccess Disabled`);
    const publisher = properties['intellectualPropertyPublisher'];
    if (publisher != null && publisher !== '') throw notBuilt(`${operation} with properties.intellectualPropertyPublisher`);
    for (const member of ['identity', 'sku', 'kind'])
      if (!there(sent[member], member === 'identity' ? { type: 'SystemAssigned', ...objectOf(now?.[member]) } : ''))
        throw notBuilt(`${operation} with ${member}`);
  };

  const make = async (call: Call): Promise<Answer> => {
    const { params, principal, apiVersion } = call;
    const name = assetName(params['registry'], 'Registry', placeNames);
    const { sent, properties, location, tags } = trackedResource(call.body, 'Registry', apiVersion);
    const regions = regionsOf(properties, location);
    refused(sent, properties, undefined, 'Registries_CreateOrUpdate');
    const { subscriptionId = '', resourceGroup = '' } = params;
    const place = ctx.world
      .resourceGroups()
      .find(
        (entry) =>
          entry.name.toLowerCase() === resourceGroup.toLowerCase() &&
          entry.subscriptionId.toLowerCase() === subscriptionId.toLowerCase(),
      );
    if (!place) throw badRequest(`Resource group ${resourceGroup} is not there.`); // `find` has said so already.
    const record = registryRecord({
      index: Math.max(1, ...ctx.world.registries().map((registry) => registry.index)) + 1,
      ...{ name, location, regions, subscriptionId: place.subscriptionId, resourceGroup: place.name },
      createdAt: ctx.clock.stamp(),
      owner: principal.name,
      creatingUntil: ctx.clock.now().getTime() + ctx.latency.seconds('operation') * 1000,
      ...(tags ? { tags } : {}),
    });
    await openAccount(ctx, accountNamed(ctx, rights, principal, accountId(record), accountOf(record)), principal);
    const headers = await ctx.world.change((tx) => {
      tx.put('registries', record.guid, record);
      return begin(tx, record, apiVersion);
    });
    return { status: 202, headers, body: body(record) };
  };

  /** Writes a changed registry; 202 as the service answers a PUT, 200 for the rest. */
  const write = async (registry: RegistryRecord, change: Partial<RegistryRecord>, call: Call): Promise<Answer> => {
    const record = { ...registry, ...change };
    const headers = await ctx.world.change((tx) => {
      tx.put('registries', keyOf(tx, registry), record);
      return begin(tx, record, call.apiVersion);
    });
    return call.method === 'PATCH' ? { body: body(record) } : { status: 202, headers, body: body(record) };
  };

  router.public('PUT', path, 'write', async (call) =>
    turn(async () => {
      const found = find(call);
      if (!found) return await make(call);
      const { sent, properties, location, tags } = trackedResource(call.body, 'Registry', call.apiVersion, found);
      const regions = regionsOf(properties, location);
      refused(sent, properties, body(found), 'Registries_CreateOrUpdate');
      const gone = found.regions.filter((region) => region !== '*' && !regions.includes(region));
      if (gone.length) throw badRequest(`Regions ${gone.join(', ')} can only be taken away by removeRegions.`);
      return await write(found, { regions, ...(tags ? { tags } : {}) }, call);
    }),
  );
  router.public('PATCH', path, 'write', async (call) =>
    turn(async () => {
      const found = find(call);
      if (!found) throw resourceNotFound(`registries/${call.params['registry']}`, call.params['resourceGroup'] ?? '');
      const sent = objectOf(call.body);
      if (!sent) throw badRequest('The body must be a JSON object with tags.');
      const unknown = Object.keys(sent).find((member) => !['tags', 'identity', 'sku'].includes(member));
      if (unknown !== undefined) throw badRequest(`Could not find member '${unknown}' on object of type 'PartialRegistry'.`);
      refused(sent, {}, body(found), 'Registries_Update');
      return await write(found, sent['tags'] == null ? {} : { tags: textMap(sent['tags'], 'tags') }, call);
    }),
  );
  router.public('POST', `${path}/removeRegions`, 'write', async (call) =>
    turn(async () => {
      const found = find(call);
      if (!found) throw resourceNotFound(`registries/${call.params['registry']}`, call.params['resourceGroup'] ?? '');
      const { properties } = trackedResource(call.body, 'Registry', call.apiVersion, found);
      const gone = regionsOf(
        { regionDetails: [{ location: found.location }, ...list(properties['regionDetails'])] },
        found.location,
      ).slice(1);
      if (!gone.length)
        throw badRequest(`regionDetails must name regions to remove, besides the registry's own ${found.location}.`);
      return await write(found, { regions: found.regions.filter((region) => !gone.includes(region)) }, call);
    }),
  );
  router.public('DELETE', path, 'write', async (call) =>
    turn(async () => {
      const found = find(call);
      if (!found) return { status: 204 };
      const headers = await ctx.world.change((tx) => {
        tx.remove('registries', keyOf(tx, found));
        if (found.owner === undefined) tx.put('removed', `registries/${found.name.toLowerCase()}`, ctx.clock.stamp());
        tx.put('storageAccounts', found.account, accountOf(found));
        const { subscriptionId, resourceGroup: name, location } = found;
        tx.put('resourceGroups', `${subscriptionId}/${name.toLowerCase()}`, { subscriptionId, name, location });
        return begin(tx, found, call.apiVersion);
      });
      await ctx.store.removeBelow(`${found.guid}/`);
      return { status: 202, headers, body: null };
    }),
  );
}

const list = (value: unknown): unknown[] => (Array.isArray(value) ? (value as unknown[]) : []);
const accountId = (registry: RegistryRecord): string =>
  `/subscriptions/${registry.subscriptionId}/resourceGroups/${registry.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${registry.account}`;
