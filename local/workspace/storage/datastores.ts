/** Datastores of a workspace as stored resources, and the addresses that are formed with them (reference azure-ml-rest §0, §4). */
import type { SystemData } from '../assets/types.js';
import type { WorkspaceRecord, World } from '../context.js';
import { ServiceError } from '../errors.js';
import type { Store, Tx } from '../store.js';
import type { BlobPlace, Datastore } from './types.js';

export interface DatastoreRecord {
  name: string;
  /** ARM properties as answered, secrets left out. */
  properties: Record<string, unknown>;
  /** What listSecrets answers, when there is something to answer. */
  secrets?: Record<string, unknown>;
  systemData: SystemData;
}

export const datastoreTable = 'datastores';
/** Who made the stores that come with a workspace. */
export const maker = 'amlops';
export const datastoreKey = (ws: WorkspaceRecord, name: string): string => `${ws.guid}/${name.toLowerCase()}`;

const long =
  /^azureml:\/\/subscriptions\/([^/]+)\/resource[gG]roups\/([^/]+)\/(?:providers\/Microsoft\.MachineLearningServices\/)?workspaces\/([^/]+)\/datastores\/([^/]+)\/paths\/?(.*)$/i;
const short = /^azureml:\/\/datastores\/([^/]+)\/paths\/?(.*)$/i;

export class Datastores {
  readonly #store: Store;
  readonly #world: World;

  constructor(store: Store, world: World) {
    this.#store = store;
    this.#world = world;
  }

  /** The four datastores of a new workspace. */
  static seed(tx: Tx, ws: WorkspaceRecord, endpoint: string, createdAt: string): void {
    const systemData = { createdAt, createdBy: maker, createdByType: 'Application' };
    const credentials = { credentialsType: ws.storageMode === 'keys' ? 'AccountKey' : 'None' };
    const add = (name: string, properties: Record<string, unknown>): void =>
      tx.put(datastoreTable, datastoreKey(ws, name), {
        name,
        systemData,
        properties: {
          description: null,
          tags: null,
          properties: null,
          isDefault: name === 'workspaceblobstore',
          credentials,
          ...properties,
        },
      } satisfies DatastoreRecord);
    const access = ws.storageMode === 'keys' ? 'None' : 'WorkspaceSystemAssignedIdentity';
    const blob = { datastoreType: 'AzureBlob', accountName: ws.account, endpoint, protocol: 'https' };
    add('workspaceblobstore', {
      ...blob,
      containerName: ws.blobContainer,
      serviceDataAccessAuthIdentity: 'WorkspaceSystemAssignedIdentity',
    });
    add('workspaceartifactstore', { ...blob, containerName: 'azureml', serviceDataAccessAuthIdentity: access });
    const file = {
      datastoreType: 'AzureFile',
      accountName: ws.account,
      endpoint,
      protocol: 'https',
      serviceDataAccessAuthIdentity: 'None',
    };
    add('workspacefilestore', { ...file, fileShareName: `azureml-filestore-${ws.guid}` });
    add('workspaceworkingdirectory', { ...file, fileShareName: `code-${ws.guid.replaceAll('-', '').slice(0, 12)}` });
  }

  get(ws: WorkspaceRecord, name: string): DatastoreRecord | undefined {
    return this.#store.get<DatastoreRecord>(datastoreTable, datastoreKey(ws, name));
  }
  all(ws: WorkspaceRecord): DatastoreRecord[] {
    return this.#store.entries<DatastoreRecord>(datastoreTable, { prefix: `${ws.guid}/` }).map(({ value }) => value);
  }
  default(ws: WorkspaceRecord): string {
    return this.all(ws).find((entry) => entry.properties['isDefault'] === true)?.name ?? 'workspaceblobstore';
  }

  place(ws: WorkspaceRecord, name: string): Datastore | undefined {
    const found = this.get(ws, name);
    if (found?.properties['datastoreType'] !== 'AzureBlob') return undefined;
    return {
      name: found.name,
      place: { account: String(found.properties['accountName']), container: String(found.properties['containerName']), path: '' },
    };
  }

  /** `undefined` when `uri` is not a datastore URI. Throws ServiceError 404 for a datastore or workspace that is not there. */
  resolve(ws: WorkspaceRecord, uri: string): BlobPlace | undefined {
    const full = long.exec(uri);
    const brief = full ? null : short.exec(uri);
    if (!full && !brief) return undefined;
    const owner = full ? this.#world.workspace(full[1] ?? '', full[2] ?? '', full[3] ?? '') : ws;
    const name = (full ? full[4] : brief?.[1]) ?? '';
    const path = (full ? full[5] : brief?.[2]) ?? '';
    if (!owner) throw new ServiceError(404, 'UserError', `Workspace of ${uri} was not found.`, { inner: ['NotFoundError'] });
    const found = this.place(owner, name);
    if (!found) {
      const known = this.get(owner, name);
      throw known
        ? new ServiceError(
            400,
            'UserError',
            `Datastore '${name}' is of type ${String(known.properties['datastoreType'])}, which the embedded workspace cannot read.`,
          )
        : new ServiceError(404, 'UserError', `Error when parsing request; unable to find data store with name: ${name}.`, {
            inner: ['NotFoundError'],
          });
    }
    if (path.split('/').includes('..'))
      throw new ServiceError(400, 'UserError', `The path of ${uri} leaves its container.`, { inner: ['BadArgument'] });
    return { ...found.place, path };
  }

  longUri(ws: WorkspaceRecord, datastore: string, path: string): string {
    return `azureml://subscriptions/${ws.subscriptionId}/resourcegroups/${ws.resourceGroup}/workspaces/${ws.name}/datastores/${datastore}/paths/${path}`;
  }
}
