/** Storage accounts for workspaces and registries that requests make. */
import type { Ctx, Principal, StorageAccount } from '../context.js';
import { badRequest, ServiceError } from '../errors.js';
import type { Rights } from '../identity/rights.js';
import { accountKey } from '../world-records.js';

/** One after the other: two requests that make the same thing must not meet. */
export function oneByOne(): <R>(work: () => Promise<R>) => Promise<R> {
  let last: Promise<unknown> = Promise.resolve();
  return async (work) => {
    const mine = last.then(work);
    last = mine.catch(() => undefined); // The next one begins whatever became of this one.
    return await mine;
  };
}

const form =
  /^\/subscriptions\/([^/]+)\/resourceGroups\/([^/]+)\/providers\/Microsoft\.Storage\/storageAccounts\/([a-z0-9]{3,24})$/i;

/** The account that an ARM id names: one that is there, or how it is to be made. Throws 400 and 403. */
export function accountNamed(ctx: Ctx, rights: Rights, principal: Principal, id: string, wanted: StorageAccount): StorageAccount {
  const [, subscriptionId = '', group = '', name = ''] = form.exec(id) ?? [];
  if (!name)
    throw new ServiceError(
      400,
      'LinkedInvalidPropertyId',
      `Property id '${id.slice(0, 300)}' at path 'properties.storageAccount' is invalid. Expect fully qualified resource Id that start with '/subscriptions/{subscriptionId}' or '/providers/{resourceProviderNamespace}/'.`,
      { envelope: 'gateway' },
    );
  const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
  const place = ctx.world.resourceGroups().find((entry) => same(entry.subscriptionId, subscriptionId) && same(entry.name, group));
  const scope = `/subscriptions/${subscriptionId}/resourceGroups/${place?.name ?? group}`;
  if (!rights.roles(principal, `${scope}/providers/Microsoft.Storage/storageAccounts/${name}`).includes('Contributor'))
    throw new ServiceError(
      403,
      'LinkedAuthorizationFailed',
      `The client '${principal.clientId}' with object id '${principal.objectId}' has permission to perform action 'Microsoft.MachineLearningServices/workspaces/write' on scope '${scope}'; however, it does not have permission to perform action(s) 'Microsoft.Storage/storageAccounts/write' on the linked scope(s) '${id}' (respectively) or the linked scope(s) are invalid.`,
      { envelope: 'gateway' },
    );
  const found = ctx.world.storageAccounts().find((entry) => same(entry.name, name));
  if (!found)
    return {
      ...wanted,
      name: name.toLowerCase(),
      subscriptionId: place?.subscriptionId ?? subscriptionId,
      resourceGroup: place?.name ?? group,
    };
  if (!same(found.subscriptionId, subscriptionId) || !same(found.resourceGroup, group))
    throw badRequest(`Storage account ${name} was not found in resource group ${group}.`);
  return found;
}

/**
 * Makes an account that is not there yet, known to the blob service when this resolves. Its maker may write blobs there: nobody else
 * could give that role.
 */
export async function openAccount(ctx: Ctx, account: StorageAccount, principal: Principal): Promise<void> {
  if (ctx.world.storageAccounts().some((entry) => entry.name === account.name)) return;
  const scope = `/subscriptions/${account.subscriptionId}/resourceGroups/${account.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${account.name}`;
  const { clientId } = principal;
  const role = 'Storage Blob Data Contributor';
  await ctx.world.change((tx) => {
    tx.put('storageAccounts', account.name, account);
    tx.put('accounts', account.name, accountKey());
    tx.put('roles', `${clientId} ${role} ${scope.toLowerCase()}`, { clientId, role, scope });
  });
}
