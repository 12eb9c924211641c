/** Datastores of a workspace as blob containers: with a key or SAS where the datastore hands them out, else with Entra (design §6 "Storage access"). */
import { systemClock } from '../azure/azure.js';
import { Failure } from '../azure/errors.js';
import type { BlobAuth, BlobContainer } from '../azure/types.js';
import { formatDatastoreUri, parseDatastoreUri } from './uris.js';
import type { Workspace } from './workspace.js';

export interface Datastore {
  name: string;
  account: string;
  container: BlobContainer;
  /** How its bytes are reached: for messages and plans. */
  access: 'key' | 'sas' | 'identity';
}

interface DatastoreBody {
  name?: string;
  properties?: {
    datastoreType?: string;
    accountName?: string;
    containerName?: string;
    filesystem?: string;
    endpoint?: string | null;
    protocol?: string | null;
    credentials?: { credentialsType?: string } | null;
  };
}

interface Secrets {
  secretsType?: string;
  key?: string;
  sasToken?: string;
}

/** Expirable secrets live an hour (observed §3); a datastore is opened again, or an open one gets a fresh one, before that. */
const keepMs = 40 * 60_000;
const opened = new WeakMap<Workspace, Map<string, { at: number; datastore: Promise<Datastore> }>>();

/**
 * `name` of a datastore, or undefined for the workspace's default one. Kept for 40 minutes.
 * Errors: `Failure`: no such datastore, a kind without blobs, missing rights (`listSecrets` needs an action that readers lack:
 * then the bytes are tried with the connection's own identity).
 */
export function openDatastore(workspace: Workspace, name?: string, signal?: AbortSignal): Promise<Datastore> {
  let known = opened.get(workspace);
  if (!known) opened.set(workspace, (known = new Map<string, { at: number; datastore: Promise<Datastore> }>()));
  const key = name ?? '';
  const now = systemClock.now();
  const there = known.get(key);
  if (there && now - there.at < keepMs) return there.datastore;
  const datastore = open(workspace, name, signal);
  known.set(key, { at: now, datastore });
  datastore.catch(() => known.delete(key));
  return datastore;
}

async function open(workspace: Workspace, name: string | undefined, signal?: AbortSignal): Promise<Datastore> {
  const { azure } = workspace;
  const extra = signal ? { signal } : {};
  let body: DatastoreBody | undefined;
  if (name === undefined) {
    const operation = `find the default datastore of workspace ${workspace.workspace}`;
    const query = { isDefault: 'true', count: '30', orderByAsc: 'false' };
    for await (const item of azure.list<DatastoreBody>({
      method: 'GET',
      url: `${workspace.id}/datastores`,
      query,
      operation,
      ...extra,
    })) {
      body = item;
      break;
    }
    if (!body?.name)
      throw new Failure(`Workspace ${workspace.workspace} has no default datastore.`, { code: 'DatastoreNotFound' });
  } else {
    const url = `${workspace.id}/datastores/${encodeURIComponent(name)}`;
    body = (await azure.request<DatastoreBody>({ method: 'GET', url, operation: `read datastore ${name}`, ...extra })).body;
  }
  const own = body.name ?? name ?? '';
  const { datastoreType, accountName, containerName, filesystem, endpoint, credentials } = body.properties ?? {};
  const container = containerName ?? filesystem;
  if (!accountName || !container || !/^azure(blob|datalakegen2)$/i.test(datastoreType ?? '')) {
    throw new Failure(
      `Datastore ${own} is of type ${datastoreType ?? 'unknown'}; only blob and Data Lake Gen2 datastores can be read here.`,
      {
        code: 'DatastoreUnsupported',
        advice: 'Use an output path on a blob datastore, for example workspaceblobstore.',
      },
    );
  }
  const suffix = endpoint || storageSuffix(azure.connection.resourceManager);
  const url = `https://${accountName}.blob.${suffix}/${container}`;
  const type = credentials?.credentialsType ?? 'None';
  const auth = /^none$/i.test(type) ? undefined : await secrets(workspace, own, accountName, signal);
  const access = auth === undefined ? 'identity' : auth.kind === 'sas' ? 'sas' : 'key';
  return { name: own, account: accountName, container: azure.blobs(url, auth ?? { kind: 'entra' }), access };
}

async function secrets(workspace: Workspace, name: string, account: string, signal?: AbortSignal): Promise<BlobAuth | undefined> {
  const { status, body } = await workspace.azure.request<Secrets>({
    method: 'POST',
    url: `${workspace.id}/datastores/${encodeURIComponent(name)}/listSecrets`,
    body: { expirableSecret: true, expireAfterHours: 1 },
    // It writes nothing: a lost reply may be asked for again.
    retries: 5,
    accept: [403],
    operation: `read the credentials of datastore ${name}`,
    ...(signal ? { signal } : {}),
  });
  if (status === 403) return undefined;
  if (body?.sasToken) {
    // No signal: who waits for a fresh one may be another than who opened the datastore.
    const renewal = { forMs: keepMs, next: () => secrets(workspace, name, account) };
    return { kind: 'sas', token: body.sasToken, renewal };
  }
  if (body?.key) return { kind: 'accountKey', account, key: body.key };
  return undefined;
}

function storageSuffix(resourceManager: string): string {
  const host = new URL(resourceManager).hostname;
  if (host.endsWith('.chinacloudapi.cn')) return 'core.chinacloudapi.cn';
  if (host.endsWith('.usgovcloudapi.net')) return 'core.usgovcloudapi.net';
  return 'core.windows.net';
}

/** Where a datastore URI's bytes are: the opened datastore and the path in its container. A URI of another workspace is refused. */
export async function locate(
  workspace: Workspace,
  uri: string,
  signal?: AbortSignal,
): Promise<{ datastore: Datastore; path: string }> {
  const parsed = parseDatastoreUri(uri);
  if (!parsed)
    throw new Failure(`${uri} is no datastore address.`, {
      code: 'UriInvalid',
      advice: 'Expected azureml://datastores/<name>/paths/<path>.',
    });
  if (parsed.workspace && parsed.workspace.toLowerCase() !== workspace.workspace.toLowerCase()) {
    throw new Failure(`${formatDatastoreUri(parsed)} lies in workspace ${parsed.workspace}, not in ${workspace.workspace}.`, {
      code: 'OtherWorkspace',
    });
  }
  return { datastore: await openDatastore(workspace, parsed.datastore, signal), path: parsed.path };
}
