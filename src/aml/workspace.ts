/** One Azure ML workspace as the other files of this room use it. */
import { Failure } from '../azure/errors.js';
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

/** Makes no request by itself. `facts` reads the workspace and its discovery document once, however many ask, and again after a failure. */
export function openWorkspace(azure: Azure, ref: WorkspaceRef): Workspace {
  const id = workspaceId(ref);
  let facts: Promise<WorkspaceFacts> | undefined;
  return {
    ...ref,
    azure,
    id,
    facts: (signal) => {
      facts ??= readFacts(azure, ref, id, signal).catch((error: unknown) => {
        facts = undefined;
        throw error;
      });
      return facts;
    },
  };
}

interface WorkspaceBody {
  id?: string;
  location?: string;
  properties?: {
    workspaceId?: string;
    discoveryUrl?: string;
    mlFlowTrackingUri?: string;
    publicNetworkAccess?: string;
    storageAccount?: string;
  };
}

async function readFacts(azure: Azure, ref: WorkspaceRef, id: string, signal?: AbortSignal): Promise<WorkspaceFacts> {
  const operation = `read the workspace ${ref.workspace} in resource group ${ref.resourceGroup} with connection ${azure.connection.name}`;
  const extra = signal ? { signal } : {};
  const { body } = await azure
    .request<WorkspaceBody>({ method: 'GET', url: id, operation, ...extra })
    .catch(async (error: unknown) => {
      signal?.throwIfAborted();
      throw await missing(azure, ref, error, signal);
    });
  const properties = body?.properties ?? {};
  const discovery = properties.discoveryUrl;
  if (!discovery?.startsWith('https://') || !properties.workspaceId) {
    throw new Failure(`Workspace ${ref.workspace} names no discovery address.`, {
      code: 'WorkspaceIncomplete',
      advice: 'Check in Azure Machine Learning studio that the workspace was created completely.',
    });
  }
  // The resource manager vouches for the discovery address, and that document for the data plane.
  const { body: hosts } = await azure.request<{ api?: string }>({
    method: 'GET',
    url: discovery,
    scope: null,
    operation: `read the discovery document of workspace ${ref.workspace}`,
    ...extra,
  });
  const api = hosts?.api?.replace(/\/+$/, '') ?? '';
  if (!api.startsWith('https://')) {
    throw new Failure(`The discovery document of workspace ${ref.workspace} names no data plane.`, {
      code: 'WorkspaceIncomplete',
    });
  }
  azure.trustHost(new URL(discovery).host);
  azure.trustHost(new URL(api).host);
  return {
    armId: body.id ?? id,
    location: body.location ?? '',
    workspaceId: properties.workspaceId,
    api,
    mlflowTrackingUri: properties.mlFlowTrackingUri ?? '',
    ...(properties.publicNetworkAccess ? { publicNetworkAccess: properties.publicNetworkAccess } : {}),
    ...(properties.storageAccount ? { storageAccount: properties.storageAccount } : {}),
  };
}

/** A workspace that is not there, in words that name the inputs and what is there instead; any other error as it is. */
async function missing(azure: Azure, ref: WorkspaceRef, error: unknown, signal?: AbortSignal): Promise<unknown> {
  if (!(error instanceof Failure) || error.details.status !== 404) return error;
  if (error.code !== 'ResourceNotFound' && error.code !== 'ParentResourceNotFound') return error;
  let there: string;
  try {
    const { body } = await azure.request<{ value?: { name?: string }[] | null } | undefined>({
      method: 'GET',
      url: workspaceId(ref).replace(/\/[^/]*$/, ''),
      operation: `list the workspaces of resource group ${ref.resourceGroup}`,
      retries: 1,
      ...(signal ? { signal } : {}),
    });
    const names = (body?.value ?? []).flatMap(({ name }) => name ?? []);
    there =
      names.length > 0
        ? `Workspaces there: ${names.slice(0, 10).join(', ')}. `
        : 'There is no workspace in it that the connection may see. ';
  } catch (again) {
    signal?.throwIfAborted();
    if (!(again instanceof Failure)) throw again;
    there = '';
  }
  return new Failure(
    `There is no workspace ${ref.workspace} in resource group ${ref.resourceGroup} of subscription ${ref.subscriptionId} (${error.code}, HTTP 404).`,
    {
      ...error.details,
      advice: `${there}Check workspaceName and resourceGroupName (of a target: targetWorkspaceName and targetResourceGroupName), and that service connection ${azure.connection.name} is of the right subscription.`,
    },
  );
}

/** Audience of the user token `x-azureml-token` and of batch endpoints, by cloud (reference azure-ml-rest §0). */
export function amlScope(azure: Azure): string {
  const host = new URL(azure.connection.resourceManager).hostname;
  if (host.endsWith('.chinacloudapi.cn')) return 'https://ml.azure.cn/.default';
  if (host.endsWith('.usgovcloudapi.net')) return 'https://ml.azure.us/.default';
  return 'https://ml.azure.com/.default';
}
