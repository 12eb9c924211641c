/** One Azure ML workspace as the other files of this room use it. */
import type { Azure } from '../azure/types.js';

export interface WorkspaceRef {
  subscriptionId: string;
  resourceGroup: string;
  workspace: string;
}

/** Facts read once from ARM and discovery (reference azure-ml-rest §2.2). */
export interface WorkspaceFacts {
  /** `/subscriptions/…/workspaces/{name}` in the casing that ARM answered. */
  armId: string;
  location: string;
  workspaceId: string;
  /** Regional data plane, `https://…`, no trailing slash. */
  api: string;
  mlflowTrackingUri: string;
  publicNetworkAccess?: string;
  storageAccount?: string;
}

export interface Workspace extends WorkspaceRef {
  readonly azure: Azure;
  /** ARM id as formed from the names. */
  readonly id: string;
  facts(signal?: AbortSignal): Promise<WorkspaceFacts>;
}

export function workspaceId(ref: WorkspaceRef): string {
  return `/subscriptions/${ref.subscriptionId}/resourceGroups/${ref.resourceGroup}/providers/Microsoft.MachineLearningServices/workspaces/${ref.workspace}`;
}
