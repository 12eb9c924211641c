/** connection.json as service connections, and the inputs that `amlops task` fills in from it (design §4). */
import { Failure } from '../../src/azure/errors.js';
import { workspaceEntry, type ConnectionFile } from '../connection-file.js';
import { findInput } from './inputs.js';
import type { TaskDefinition } from './task-definition.js';
import type { AgentEndpoint } from './types.js';

/** Service connections of a local workspace, as the server would hand them to an agent: every URL is the connection's own (task-contract C.1). */
export function agentEndpoints(file: ConnectionFile): AgentEndpoint[] {
  return file.serviceConnections.map((entry) => ({
    id: entry.id,
    name: entry.name,
    url: `${entry.url.replace(/\/+$/, '')}/`,
    scheme: entry.scheme,
    parameters: {
      tenantid: entry.tenantId,
      serviceprincipalid: entry.clientId,
      ...(entry.scheme === 'ServicePrincipal'
        ? { authenticationtype: 'spnKey', serviceprincipalkey: entry.clientSecret ?? '' }
        : {}),
    },
    data: {
      subscriptionId: entry.subscriptionId,
      subscriptionName: entry.name,
      // No cloud of that name is known: sign-in takes the connection's own addresses and looks nowhere else.
      environment: 'AzureStack',
      environmentAuthorityUrl: `${file.authority}/`,
      activeDirectoryAuthority: `${file.authority}/`,
      activeDirectoryServiceEndpointResourceId: `${file.resourceManager}/`,
      scopeLevel: 'Subscription',
      creationMode: 'Manual',
    },
  }));
}

/**
 * Fills in what `--workspace` and the named target imply: `azureSubscription` `resourceGroupName` `workspaceName` and the target's. An
 * input that was given stays, also an empty one (a task without a connection). A source or target registry needs none of its side.
 * Errors: Failure when the workspace or its service connection is not there.
 */
export function fillInputs(
  definition: TaskDefinition,
  given: Record<string, string>,
  file: ConnectionFile,
  workspace: string,
): Record<string, string> {
  const filled = { ...given };
  const value = (name: string): string | undefined => {
    const input = findInput(definition, name);
    const key = input && Object.keys(given).find((entry) => findInput(definition, entry) === input);
    return key === undefined ? undefined : given[key];
  };
  const fill = (name: string, text: () => string): void => {
    if (findInput(definition, name) && value(name) === undefined) filled[name] = text();
  };
  const connection = (name: string): string => {
    const wanted = `arm-${name}`;
    const found = file.serviceConnections.find((entry) => entry.name.toLowerCase() === wanted.toLowerCase());
    if (found) return found.name;
    const known = file.serviceConnections.map((entry) => entry.name).join(', ') || 'none';
    throw new Failure(`connection.json holds no service connection ${wanted}; there are: ${known}.`, { code: 'ConnectionFile' });
  };
  const source = workspaceEntry(file, workspace);
  if (!value('sourceRegistry')) {
    fill('azureSubscription', () => connection(source.name));
    // Without a connection the task runs offline (`validate`): names would promise what is not there.
    if (value('azureSubscription') !== '') {
      fill('workspaceName', () => source.name);
      fill('resourceGroupName', () => workspaceEntry(file, value('workspaceName') || source.name).resourceGroup);
    }
  }
  const target = value('targetWorkspaceName');
  if (target && !value('targetRegistry')) {
    fill('targetAzureSubscription', () => connection(workspaceEntry(file, target).name));
    fill('targetResourceGroupName', () => workspaceEntry(file, target).resourceGroup);
  }
  return filled;
}
