/** Every operation group of @azure/arm-machinelearning: what is not claimed (arm-client, lifecycle tests) answers 501 with its name, or 404. */
import assert from 'node:assert/strict';
import type { AzureMachineLearningWorkspaces } from '@azure/arm-machinelearning';
import { armClient } from '../../support/arm-client.js';
import { startUp, type Running } from '../../support/workspace.js';

/** Groups whose round trips the other tests make. */
const claimed = [
  ...['workspaces', 'computeOperations', 'datastores', 'schedules', 'jobs'],
  ...['code', 'component', 'data', 'environment', 'model'].flatMap((kind) => [`${kind}Containers`, `${kind}Versions`]),
];

type Anything = (...values: unknown[]) => unknown;

describe('@azure/arm-machinelearning: what is not built', () => {
  let up: Running;
  let client: AzureMachineLearningWorkspaces;
  let at: [group: string, workspace: string];
  before(async () => {
    up = await startUp({ args: ['--workspaces', 'dev'] });
    at = [up.connection.resourceGroup, 'dev'];
    client = armClient(up.connection);
  });
  after(async () => await up.stop());

  /** The first page of a list, or what the call resolves to. */
  async function ask(group: string, operation: string, values: unknown[]): Promise<unknown> {
    const methods = (client as unknown as Record<string, Record<string, Anything>>)[group];
    const answer = methods?.[operation]?.(...values) as { next?: () => Promise<unknown> };
    return await (answer.next ? answer.next() : answer);
  }

  it('says 501 and the name of the operation', async () => {
    const wait = { updateIntervalInMs: 10 };
    const endpoint = { location: 'eastus', properties: { authMode: 'Key' } };
    const deployment = { location: 'eastus', properties: { endpointComputeType: 'Managed' } };
    const rows: [group: string, operation: string, values: unknown[], answer: number | string][] = [
      ['operations', 'list', [], 'Operations_List'],
      ['workspaceFeatures', 'list', at, 'WorkspaceFeatures_List'],
      ['usages', 'list', ['eastus'], 'Usages_List'],
      ['quotas', 'list', ['eastus'], 'Quotas_List'],
      ['quotas', 'update', ['eastus', { value: [] }], 'Quotas_Update'],
      ['virtualMachineSizes', 'list', ['eastus'], 'VirtualMachineSizes_List'],
      ['privateEndpointConnections', 'list', at, 'PrivateEndpointConnections_List'],
      ['privateEndpointConnections', 'get', [...at, 'x'], 'PrivateEndpointConnections_Get'],
      ['privateEndpointConnections', 'createOrUpdate', [...at, 'x', {}], 'PrivateEndpointConnections_CreateOrUpdate'],
      ['privateEndpointConnections', 'delete', [...at, 'x'], 'PrivateEndpointConnections_Delete'],
      ['privateLinkResources', 'list', at, 'PrivateLinkResources_List'],
      ['workspaceConnections', 'list', at, 'WorkspaceConnections_List'],
      [
        'workspaceConnections',
        'create',
        [...at, 'x', { properties: { authType: 'None' } }],
        'WorkspaceConnections_CreateOrUpdate',
      ],
      ['workspaceConnections', 'get', [...at, 'x'], 'WorkspaceConnections_Get'],
      ['workspaceConnections', 'delete', [...at, 'x'], 'WorkspaceConnections_Delete'],
      ['workspaces', 'listNotebookKeys', at, 'Workspaces_ListNotebookKeys'],
      ['workspaces', 'listNotebookAccessToken', at, 'Workspaces_ListNotebookAccessToken'],
      ['workspaces', 'beginPrepareNotebookAndWait', [...at, wait], 'Workspaces_PrepareNotebook'],
      ['workspaces', 'listOutboundNetworkDependenciesEndpoints', at, 'Workspaces_ListOutboundNetworkDependenciesEndpoints'],
      ['computeOperations', 'listKeys', [...at, 'cpu-cluster'], 'Compute_ListKeys'],
      ...(['online', 'batch'] as const).flatMap((kind): typeof rows => {
        const [one, many] = [`${kind}Endpoints`, `${kind}Deployments`];
        const named = (name: string) => name.charAt(0).toUpperCase() + name.slice(1);
        return [
          [one, 'list', at, `${named(one)}_List`],
          [one, 'get', [...at, 'x'], 404],
          [one, 'beginDeleteAndWait', [...at, 'x', wait], 200],
          [one, 'beginCreateOrUpdateAndWait', [...at, 'x', endpoint, wait], `${named(one)}_CreateOrUpdate`],
          [one, 'beginUpdateAndWait', [...at, 'x', { tags: {} }, wait], `${named(one)}_Update`],
          [one, 'listKeys', [...at, 'x'], `${named(one)}_ListKeys`],
          [many, 'list', [...at, 'x'], `${named(many)}_List`],
          [many, 'get', [...at, 'x', 'y'], `${named(many)}_Get`],
          [many, 'beginCreateOrUpdateAndWait', [...at, 'x', 'y', deployment, wait], `${named(many)}_CreateOrUpdate`],
          [many, 'beginUpdateAndWait', [...at, 'x', 'y', { tags: {} }, wait], `${named(many)}_Update`],
          [many, 'beginDeleteAndWait', [...at, 'x', 'y', wait], `${named(many)}_Delete`],
        ];
      }),
      [
        'onlineEndpoints',
        'beginRegenerateKeysAndWait',
        [...at, 'x', { keyType: 'Primary' }, wait],
        'OnlineEndpoints_RegenerateKeys',
      ],
      ['onlineEndpoints', 'getToken', [...at, 'x'], 'OnlineEndpoints_GetToken'],
      ['onlineDeployments', 'getLogs', [...at, 'x', 'y', {}], 'OnlineDeployments_GetLogs'],
      ['onlineDeployments', 'listSkus', [...at, 'x', 'y'], 'OnlineDeployments_ListSkus'],
    ];
    const groups = Object.entries(client)
      .filter(([, value]) => typeof value === 'object' && value !== null && value.constructor.name.endsWith('Impl'))
      .map(([name]) => name);
    assert.ok(groups.length > 20, groups.join());
    const known = new Set([...claimed, ...rows.map(([group]) => group)]);
    assert.deepEqual(
      groups.filter((group) => !known.has(group)),
      [],
      'groups that no test asks',
    );
    for (const [group, operation, values, answer] of rows) {
      const found = await ask(group, operation, values).then(
        () => 200,
        (error: unknown) => error as { statusCode?: number; message: string },
      );
      if (typeof answer === 'number')
        assert.equal(typeof found === 'number' ? found : found.statusCode, answer, `${group}.${operation}`);
      else {
        assert.ok(typeof found === 'object' && found.statusCode === 501, `${group}.${operation}: ${JSON.stringify(found)}`);
        assert.match(found.message, new RegExp(` ${answer}\\.`), `${group}.${operation}`);
      }
    }
  });
});
