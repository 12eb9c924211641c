/** Connections, workspaces and registries as RegisterModel and PromoteModel take them from their inputs. */
import { connectAzure } from '../../src/azure/azure.js';
import { Failure } from '../../src/azure/errors.js';
import { openWorkspace, type Workspace } from '../../src/aml/workspace.js';
import { connectionOf, type TaskConnection } from '../../src/task/connection.js';
import { missing, type InputReader } from '../../src/task/inputs.js';
import type { Platform } from '../../src/task/platform.js';

export interface WorkspaceInput {
  connection: TaskConnection;
  resourceGroup: string;
  workspace: string;
}

interface PlaceNames {
  connection: string;
  resourceGroup: string;
  workspace: string;
}

export const ownPlace: PlaceNames = {
  connection: 'azureSubscription',
  resourceGroup: 'resourceGroupName',
  workspace: 'workspaceName',
};
export const targetPlace: PlaceNames = {
  connection: 'targetAzureSubscription',
  resourceGroup: 'targetResourceGroupName',
  workspace: 'targetWorkspaceName',
};

/** Reads one side; every problem is noted in `read`. Undefined when something is missing, or when nothing was given and `required` is false. */
export function workspaceInput(
  read: InputReader,
  platform: Platform,
  names: PlaceNames,
  required: boolean,
): WorkspaceInput | undefined {
  const given = [names.connection, names.resourceGroup, names.workspace].some((name) => platform.input(name) !== undefined);
  if (!given && !required) return undefined;
  const endpoint = read.endpoint(names.connection);
  if (!endpoint) return undefined;
  let connection: TaskConnection | undefined;
  try {
    connection = connectionOf(endpoint, platform);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    read.problem(names.connection, error.message, error.details.advice ?? '');
    return undefined;
  }
  if (!connection.azure.subscriptionId)
    read.problem(
      names.connection,
      'the service connection names no subscription.',
      'Use one that is scoped to a subscription, resource group or workspace.',
    );
  const resourceGroup = read.resourceGroup(names.resourceGroup) ?? connection.resourceGroup;
  const workspace = read.workspace(names.workspace) ?? connection.workspace;
  if (!resourceGroup) read.problem(names.resourceGroup, missing, 'Give the resource group of the workspace.');
  if (!workspace) read.problem(names.workspace, missing, 'Give the name of the Azure Machine Learning workspace.');
  return resourceGroup && workspace ? { connection, resourceGroup, workspace } : undefined;
}

/** One way to one workspace with its own credential: two sides never share one. */
export function open(input: WorkspaceInput, platform: Platform, task: string): Workspace {
  const azure = connectAzure(input.connection.azure, {
    clock: platform.clock,
    onSecret: (value) => platform.secret(value),
    onTrouble: (text) => platform.info(text),
    userAgent: `azure-machine-learning-mlops ${task}/1`,
  });
  return openWorkspace(azure, {
    subscriptionId: input.connection.azure.subscriptionId ?? '',
    resourceGroup: input.resourceGroup,
    workspace: input.workspace,
  });
}
