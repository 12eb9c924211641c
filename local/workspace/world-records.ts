/** Records of workspaces, registries and their storage accounts, as they are made. */
import { randomBytes, randomUUID } from 'node:crypto';
import type { RegistryRecord, Scope, StorageAccount, WorkspaceRecord } from './context.js';

const provider = 'providers/Microsoft.MachineLearningServices';

/** Storage account names are 3 to 24 lower-case letters and digits, unique per state folder. */
function accountName(prefix: string, name: string, guid: string): string {
  const plain = name
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
    .slice(0, 10);
  return `${prefix}${plain}${guid.replaceAll('-', '').slice(0, 8)}`;
}

/** A new key for a storage account. */
export function accountKey(): string {
  return randomBytes(64).toString('base64');
}

type Made = 'kind' | 'guid' | 'armId' | 'account' | 'tags' | 'blobContainer';
type Given<T extends Scope> = Omit<T, Made> & { account?: string; tags?: Record<string, string> };

export function workspaceRecord(given: Given<WorkspaceRecord>): WorkspaceRecord {
  const { subscriptionId, resourceGroup, name } = given;
  const guid = randomUUID();
  return {
    tags: {},
    ...given,
    kind: 'workspace',
    guid,
    armId: `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/${provider}/workspaces/${name}`,
    account: given.account ?? accountName('st', name, guid),
    blobContainer: `azureml-blobstore-${guid}`,
  };
}

export function registryRecord(given: Given<RegistryRecord>): RegistryRecord {
  const { subscriptionId, resourceGroup, name } = given;
  const guid = randomUUID();
  return {
    tags: {},
    ...given,
    kind: 'registry',
    guid,
    armId: `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}/${provider}/registries/${name}`,
    account: given.account ?? accountName('reg', name, guid),
  };
}

/** The storage account of a workspace or registry. */
export function accountOf(scope: Scope): StorageAccount {
  const { account: name, subscriptionId, resourceGroup, location } = scope;
  return { name, subscriptionId, resourceGroup, location, storageMode: scope.kind === 'workspace' ? scope.storageMode : 'keys' };
}
