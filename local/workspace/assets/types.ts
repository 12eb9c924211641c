/** Versioned assets of workspaces and registries (codes, components, data, environments, models): the contract for other surfaces. */
import type { RegistryRecord, Scope, WorkspaceRecord } from '../context.js';

export type AssetKind = 'codes' | 'components' | 'data' | 'environments' | 'models';

export interface SystemData {
  createdAt: string;
  createdBy: string;
  createdByType: string;
  lastModifiedAt?: string;
  lastModifiedBy?: string;
  lastModifiedByType?: string;
}

/** One version as stored. `properties` is the resource's `properties` member as ARM answers it. */
export interface AssetVersion {
  kind: AssetKind;
  name: string;
  version: string;
  properties: Record<string, unknown>;
  systemData: SystemData;
  /** Of a component: the `componentSpec` as it was sent (the answer has scalars as text and a pipeline's without `jobs`). */
  source?: Record<string, unknown>;
  /** Rises with every creation in the store: newest = highest. */
  order: number;
}

/** A resolved version and where it is. */
export interface FoundAsset extends AssetVersion {
  scope: Scope;
  /** ARM id, or `azureml://registries/…` for a registry's. */
  id: string;
}

/** A reference taken apart; nothing is looked up. */
export interface AssetReference {
  kind: AssetKind;
  name: string;
  version?: string;
  label?: string;
  registry?: string;
  workspace?: { subscriptionId: string; resourceGroup: string; name: string };
  workspaceGuid?: string;
}

export interface Assets {
  get(scope: Scope, kind: AssetKind, name: string, version: string): FoundAsset | undefined;
  /** Newest that is not archived; environments and registries alike. */
  latest(scope: Scope, kind: AssetKind, name: string): FoundAsset | undefined;
  /** Versions, newest first. `undefined` when there is no such container. */
  versions(scope: Scope, kind: AssetKind, name: string): FoundAsset[] | undefined;
  /** Names of the containers. */
  names(scope: Scope, kind: AssetKind): string[];
  /**
   * Takes a reference apart: ARM id (with or without `azureml:` before it), `azureml:name:version`, `azureml:name@label`, `name:version`,
   * `azureml://registries/…`, `azureml://locations/…/workspaces/{guid}/…`. `undefined` when it is none of these.
   */
  parse(reference: string, kind: AssetKind): AssetReference | undefined;
  /** Looks a reference up as seen from a workspace. Throws ServiceError 404 worded as the service words it. */
  resolve(ws: WorkspaceRecord, reference: string, kind: AssetKind): FoundAsset;
  /**
   * Creates or updates one version as an ARM PUT does (rewrites included), without HTTP. `version` undefined: the next free one.
   * Throws ServiceError. `by` is the principal's name.
   */
  put(
    ws: WorkspaceRecord,
    kind: AssetKind,
    name: string,
    version: string | undefined,
    properties: Record<string, unknown>,
    by: string,
  ): Promise<{ asset: FoundAsset; created: boolean }>;
  /** Deletes one version; false when there is none. */
  remove(scope: Scope, kind: AssetKind, name: string, version: string): Promise<boolean>;
  /** True when the workspace may use the registry (its region is one of the registry's; the built-in `azureml` serves all). */
  usable(ws: WorkspaceRecord, registry: RegistryRecord): boolean;
}
