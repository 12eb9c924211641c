/** The target that writes nothing: it records what would be written (`amlops compile`, `action: validate`). */
import { createHash } from 'node:crypto';
import { workspaceId, type WorkspaceRef } from '../workspace.js';
import { API_VERSIONS } from './versions.js';
import type {
  AssetKind,
  AssetWrite,
  CodeSnapshot,
  CompileTarget,
  CompileWarning,
  LocalData,
  Reference,
  WriteRequest,
} from './types.js';

/** Lookups that an offline target may be given, so that `validate` with a connection can check references without writing. */
export interface Lookups {
  check(references: readonly Reference[], signal?: AbortSignal): Promise<CompileWarning[]>;
  resolveLabel(
    kind: AssetKind,
    name: string,
    label: string,
    signal?: AbortSignal,
  ): Promise<{ version: string; certain: boolean }>;
}

const STORAGE = 'https://storage.blob.core.windows.net';

/** In: the workspace's names; lookups, if there is a connection. Out: a recording target. */
export function offlineTarget(workspace: WorkspaceRef, lookups?: Lookups): CompileTarget {
  const id = workspaceId(workspace);
  const requests: WriteRequest[] = [];
  const last = new Map<string, string>();
  /** `again`: whether a path is written once more with a body that is not the one written last. */
  const put = (path: string, apiVersion: string, body: unknown, again = false): string => {
    const text = again ? JSON.stringify(body) : '';
    if (last.get(path) !== text) {
      last.set(path, text);
      requests.push({ method: 'PUT', path, query: { 'api-version': apiVersion }, body });
    }
    return path;
  };
  const code = (name: string, properties: Record<string, unknown>): string =>
    put(`${id}/codes/${name}/versions/1`, API_VERSIONS.code, { properties });
  return {
    workspace,
    workspaceId: id,
    sequential: true,
    // With a connection the job is about to be sent.
    sends: lookups !== undefined,
    requests,
    upload: { bytes: 0, files: 0, reused: 0 },
    check: async (references, signal) => (lookups ? lookups.check(references, signal) : []),
    resolveLabel: async (kind, name, label, signal) =>
      lookups ? lookups.resolveLabel(kind, name, label, signal) : { version: '1', certain: false },
    code: async (snapshot: CodeSnapshot) => {
      // The same content is one code, whatever its folder is called: it would be found by its hash.
      const guid = guidOf(snapshot.hash);
      return code(guid, {
        codeUri: codeUri(snapshot),
        isAnonymous: true,
        properties: { hash_sha256: snapshot.hash, hash_version: Number(snapshot.hashVersion) },
      });
    },
    codeUri: async (snapshot: CodeSnapshot) => codeUri(snapshot),
    codeAt: async (url: string) => code(guidOf(url), { codeUri: url, isAnonymous: true, properties: {} }),
    data: async (local: LocalData) =>
      `azureml://datastores/${local.datastore ?? 'workspaceblobstore'}/paths/LocalUpload/${local.id}/${local.name}`,
    contextUri: async (local: LocalData) =>
      `${STORAGE}/${local.datastore ?? 'azureml-blobstore'}/LocalUpload/${local.id}/${local.name}/`,
    // Description and tags do not count in the version: the last one's stand.
    environment: async (asset: AssetWrite) =>
      put(`${id}/environments/${asset.name}/versions/${asset.version ?? '1'}`, asset.apiVersion, asset.body, true),
    component: async (asset: AssetWrite) =>
      put(`${id}/components/${asset.name}/versions/${asset.version ?? '1'}`, asset.apiVersion, asset.body),
  };
}

function codeUri(snapshot: CodeSnapshot): string {
  return `${STORAGE}/snap-${guidOf(snapshot.hash)}${snapshot.folder === '' ? '' : `/${snapshot.folder}`}`;
}

/** A name for a code that is the same each time it is compiled offline. */
function guidOf(text: string): string {
  return guid(createHash('sha256').update(text).digest('hex'));
}

/** The first 32 hex digits as a GUID. */
export function guid(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 32)}`;
}
