/** Versioned assets of workspaces and registries (codes, components, data, environments, models) as they are stored and found. */
import type { Scope } from '../context.js';

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
