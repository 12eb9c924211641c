/** The REST resources that are served: location ids and versions as azure-devops-node-api 17 asks for them (reference azure-devops-rest §2). */
import { DevOpsError } from './call.js';

interface Location {
  id: string;
  area: string;
  resourceName: string;
  /** As the service writes it; a parameter may be left out where `optional` names it. */
  routeTemplate: string;
  optional?: string[];
  /** `7.2-preview.N`. */
  resourceVersion: number;
}

const at = (
  id: string,
  area: string,
  resourceName: string,
  routeTemplate: string,
  resourceVersion: number,
  optional: string[] = [],
): Location => ({
  id,
  area,
  resourceName,
  routeTemplate,
  resourceVersion,
  optional,
});

const build = '{project}/_apis/build/builds/{buildId}';
const plans = '{scopeIdentifier}/_apis/distributedtask/hubs/{hubName}/plans/{planId}';

/** Names are what routes.ts answers by. */
const locations = {
  location: at('e81700f7-3be2-46de-8624-2eb35882fcaa', 'Location', 'ResourceAreas', '_apis/{resource}/{areaId}', 1, ['areaId']),
  connectionData: at('00d9565f-ed9c-4a06-9a50-00e7896ccab4', 'Location', 'ConnectionData', '_apis/connectionData', 1),
  projects: at('603fe2ac-9723-48b9-88ad-09305aa6c6e1', 'core', 'projects', '_apis/projects/{projectId}', 4, ['projectId']),
  identities: at('28010c54-d0c0-4c89-a5b0-1c9e188b9fb7', 'IMS', 'identities', '_apis/identities/{identityId}', 1, ['identityId']),
  builds: at('0cd358e1-9217-4d94-8269-1c1ee6f93dcf', 'build', 'builds', build, 7, ['buildId']),
  definitions: at(
    'dbeaf647-6167-421a-bda9-c9327b25e2e6',
    'build',
    'definitions',
    '{project}/_apis/build/definitions/{definitionId}',
    7,
    ['definitionId'],
  ),
  timeline: at('8baac422-4c6e-4de5-8532-db96d92acffa', 'build', 'timeline', `${build}/timeline/{timelineId}`, 3, ['timelineId']),
  logs: at('35a80daf-7f30-45fc-86e8-6b813d9c90df', 'build', 'logs', `${build}/logs/{logId}`, 2, ['logId']),
  artifacts: at('1db06c96-014e-44e1-ac91-90b2d4b3e984', 'build', 'artifacts', `${build}/artifacts`, 5),
  attachments: at('f2192269-89fa-4f94-baf6-8fb128c55159', 'build', 'attachments', `${build}/attachments/{type}`, 2),
  attachment: at(
    'af5122d3-3438-485e-a25a-2dbbfde84ee6',
    'build',
    'attachments',
    `${build}/{timelineId}/{recordId}/attachments/{type}/{name}`,
    2,
  ),
  tags: at('6e6114b2-8161-44c8-8f6c-c5505782427f', 'build', 'tags', `${build}/tags/{tag}`, 3, ['tag']),
  allTags: at('d84ac5c6-edc7-43d5-adc9-1b34be5dea09', 'build', 'tags', '{project}/_apis/build/tags/{tag}', 3, ['tag']),
  properties: at('0a6312e9-0627-49b7-8083-7d74a64849c9', 'build', 'properties', `${build}/properties`, 1),
  leases: at('272051e4-9af1-45b5-ae22-8d960a5539d4', 'build', 'leases', '{project}/_apis/build/retention/leases/{leaseId}', 2, [
    'leaseId',
  ]),
  buildLeases: at('3da19a6a-f088-45c4-83ce-2ad3a87be6c4', 'build', 'leases', `${build}/leases`, 1),
  changes: at('54572c7b-bbd3-45d4-80dc-28be08941620', 'build', 'changes', `${build}/changes`, 2),
  workItems: at('5a21f5d2-5642-47e4-a0bd-1356e6731bee', 'build', 'workitems', `${build}/workitems`, 2),
  stages: at('b8aac6c9-744b-46e1-88fc-3550969f9313', 'build', 'stages', `${build}/stages/{stageRefName}`, 1),
  environments: at(
    '8572b1fc-2482-47fa-8f74-7e3ed53ee54b',
    'distributedtask',
    'environments',
    '{project}/_apis/distributedtask/environments/{environmentId}',
    1,
    ['environmentId'],
  ),
  deployments: at(
    '51bb5d21-4305-4ea6-9dbb-b7488af73334',
    'distributedtask',
    'environmentdeploymentRecords',
    '{project}/_apis/distributedtask/environments/{environmentId}/environmentdeploymentrecords',
    1,
  ),
  groups: at(
    'f5b09dd5-9d54-45a1-8b5a-1c8287d634cc',
    'distributedtask',
    'variablegroups',
    '{project}/_apis/distributedtask/variablegroups/{groupId}',
    2,
    ['groupId'],
  ),
  groupsWrite: at(
    'ef5b7057-ffc3-4c77-bbad-c10b4a4abcc7',
    'distributedtask',
    'variablegroups',
    '_apis/distributedtask/variablegroups/{groupId}',
    2,
    ['groupId'],
  ),
  oidcToken: at('69a319f4-28c1-4bfd-93e6-ea0ff5c6f1a2', 'distributedtask', 'oidctoken', `${plans}/jobs/{jobId}/oidctoken`, 1),
  endpoints: at(
    'e85f1c62-adfc-4b74-b618-11a150fb195e',
    'serviceendpoint',
    'endpoints',
    '{project}/_apis/serviceendpoint/endpoints/{endpointId}',
    4,
    ['endpointId'],
  ),
  endpointsWrite: at(
    '14e48fdc-2c8b-41ce-a0c3-e26f6cc55bd0',
    'serviceendpoint',
    'endpoints',
    '_apis/serviceendpoint/endpoints/{endpointId}',
    4,
    ['endpointId'],
  ),
  // Not in the package: raw HTTP. Their ids are ours and never listed.
  pipelineEnvironments: at('', 'pipelines', 'environments', '{project}/_apis/pipelines/environments/{environmentId}', 1, [
    'environmentId',
  ]),
  approvals: at('', 'pipelines', 'approvals', '{project}/_apis/pipelines/approvals/{approvalId}', 2, ['approvalId']),
  checks: at('', 'pipelines', 'configurations', '{project}/_apis/pipelines/checks/configurations/{id}', 1, ['id']),
  checksQuery: at('', 'pipelines', 'queryconfigurations', '{project}/_apis/pipelines/checks/queryconfigurations', 1),
  suites: at('', 'pipelines', 'runs', '{project}/_apis/pipelines/checks/runs/{checkSuiteId}', 1, ['checkSuiteId']),
  permissions: at(
    '',
    'pipelines',
    'pipelinepermissions',
    '{project}/_apis/pipelines/pipelinepermissions/{resourceType}/{resourceId}',
    1,
  ),
} satisfies Record<string, Location>;

export type LocationName = keyof typeof locations;

/** The answer to `OPTIONS _apis/{area}`; without an area all of them. */
export function describeArea(area: string | undefined): unknown[] {
  return Object.values(locations)
    .filter((location) => location.id && (area === undefined || location.area.toLowerCase() === area.toLowerCase()))
    .map((location: Location) => ({
      id: location.id,
      area: location.area,
      resourceName: location.resourceName,
      routeTemplate: location.routeTemplate,
      resourceVersion: location.resourceVersion,
      minVersion: '1.0',
      maxVersion: '7.2',
      releasedVersion: '7.1',
    }));
}

interface Compiled {
  name: LocationName;
  pattern: RegExp;
  keys: string[];
}

function compile(name: LocationName): Compiled {
  const location: Location = locations[name];
  const keys: string[] = [];
  const parts = location.routeTemplate.split('/').map((part) => {
    const key = /^\{(\w+)\}$/.exec(part)?.[1];
    if (key === undefined) return `/${part.replaceAll('.', '\\.')}`;
    keys.push(key);
    return location.optional?.includes(key) ? '(?:/([^/]+))?' : '/([^/]+)';
  });
  return { name, keys, pattern: new RegExp(`^${parts.join('')}/?$`, 'i') };
}

let routes: Compiled[] | undefined;

/** The resource that a path (below the collection) names, with its decoded parameters. */
export function match(path: string): { name: LocationName; params: Record<string, string> } | undefined {
  // Longer templates first, so that `_apis/build/builds/7` is not taken for a project of that name.
  routes ??= (Object.keys(locations) as LocationName[])
    .filter((name) => name !== 'location')
    .map(compile)
    .sort((a, b) => b.pattern.source.length - a.pattern.source.length);
  for (const { name, keys, pattern } of routes) {
    const found = pattern.exec(path);
    if (!found) continue;
    const params: Record<string, string> = {};
    for (const [index, key] of keys.entries()) {
      const value = found[index + 1];
      if (value === undefined) continue;
      try {
        params[key] = decodeURIComponent(value);
      } catch {
        throw new DevOpsError(400, `The address has a part that cannot be decoded: ${value}.`);
      }
    }
    return { name, params };
  }
  return undefined;
}
