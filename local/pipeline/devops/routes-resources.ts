/** Projects, identities, environments, variable groups, service connections, OIDC tokens, pipeline permissions. */
import { randomUUID } from 'node:crypto';
import { list, missing, page, record, requirePerson, wrongMethod, text } from './answers.js';
import { guid, isoNow } from './files.js';
import type { LocationName } from './locations.js';
import { addEnvironment } from './project.js';
import type { Handler } from './routes.js';
import { DevOpsError, type Call } from './call.js';
import type { ServiceEndpoint, VariableGroup } from './types.js';

const projects: Handler = (call) => {
  const { id, name } = call.server.project;
  const body = { id, name, state: 'wellFormed', visibility: 'private', url: `${call.server.collectionUri}_apis/projects/${id}` };
  const wanted = call.params['projectId'];
  if (wanted === undefined) return list([body]);
  return wanted.toLowerCase() === id || wanted.toLowerCase() === name.toLowerCase() ? { body } : missing(`Project ${wanted}`);
};

const connectionData: Handler = (call) => {
  const { identity } = call.caller;
  const user = {
    id: identity.id,
    providerDisplayName: identity.displayName,
    isActive: true,
    properties: { Account: { $type: 'System.String', $value: identity.uniqueName } },
  };
  return { body: { authenticatedUser: user, authorizedUser: user, instanceId: guid('instance'), deploymentType: 'onPremises' } };
};

/** `searchFilter=General|AccountName|DisplayName|MailAddress&filterValue=`, or `identityIds=`. */
const identities: Handler = async (call) => {
  const { identities: known } = await call.server.project.read();
  const everyone = [...known, call.caller.identity];
  const ids = call.query.get('identityIds')?.toLowerCase().split(',');
  const wanted = call.query.get('filterValue')?.toLowerCase();
  // A general search finds what begins so, as the service's does.
  const fits = (name: string): boolean =>
    wanted !== undefined &&
    (call.query.get('searchFilter') === 'General'
      ? name.startsWith(wanted) || name.replace(/^\[[^\]]*\]\\/, '').startsWith(wanted)
      : name === wanted);
  const found = everyone.filter(({ id, displayName, uniqueName }) =>
    ids ? ids.includes(id.toLowerCase()) : [displayName, uniqueName].some((name) => fits(name.toLowerCase())),
  );
  return list(
    [...new Map(found.map((identity) => [identity.id, identity])).values()].map(
      ({ id, displayName, uniqueName, isContainer }) => ({
        id,
        descriptor: isContainer
          ? `Microsoft.TeamFoundation.Identity;${id}`
          : `Microsoft.IdentityModel.Claims.ClaimsIdentity;${id}`,
        subjectDescriptor: `${isContainer ? 'vssgp' : 'aad'}.${Buffer.from(id).toString('base64url')}`,
        providerDisplayName: displayName,
        isActive: true,
        isContainer: isContainer === true,
        properties: {
          Account: { $type: 'System.String', $value: uniqueName },
          SchemaClassName: { $type: 'System.String', $value: isContainer ? 'Group' : 'User' },
        },
      }),
    ),
  );
};

const environments: Handler = async (call) => {
  const { project } = call.server;
  const id = call.params['environmentId'];
  const view = (environment: { id: number }): unknown => ({
    ...environment,
    resources: [],
    project: { id: project.id, name: project.name },
  });
  if (call.method === 'GET') {
    const all = (await project.read()).environments;
    if (id !== undefined)
      return { body: view(all.find((environment) => String(environment.id) === id) ?? missing(`Environment ${id}`)) };
    const name = call.query.get('name')?.toLowerCase();
    const found = all.filter((environment) => !name || environment.name.toLowerCase() === name);
    return page(call, found, (environment) => environment.id, view);
  }
  requirePerson(call, 'administer environments');
  const body = record(call.body);
  return await project.change((document) => {
    if (call.method === 'POST') {
      const name = text(body['name'], '').trim();
      if (!name) throw new DevOpsError(400, 'The environment needs a name.');
      if (document.environments.some((environment) => environment.name.toLowerCase() === name.toLowerCase()))
        throw new DevOpsError(409, `Environment ${name} already exists in the current project.`, 'EnvironmentExistsException');
      return { body: view(addEnvironment(document, name, text(body['description'], ''))) };
    }
    const known = document.environments.find((environment) => String(environment.id) === id) ?? missing(`Environment ${id}`);
    if (call.method === 'PATCH') {
      if (body['name'] !== undefined) known.name = text(body['name']);
      if (body['description'] !== undefined) known.description = text(body['description']);
      known.lastModifiedOn = isoNow();
      return { body: view(known) };
    }
    if (call.method !== 'DELETE') wrongMethod(call);
    document.environments = document.environments.filter((environment) => environment !== known);
    document.checks = document.checks.filter(({ resource }) => resource.type !== 'environment' || resource.id !== id);
    return {};
  });
};

const deployments: Handler = async (call) =>
  page(
    call,
    (await call.server.project.read()).deployments
      .filter(({ environmentId }) => String(environmentId) === call.params['environmentId'])
      .reverse(),
    ({ id }) => id,
    (deployment) => deployment,
    { falling: true },
  );

const groups: Handler = async (call) => {
  const { variableGroups } = await call.server.project.read();
  const view = (group: VariableGroup): unknown => ({
    ...group,
    variables: Object.fromEntries(
      Object.entries(group.variables).map(([name, { value, isSecret }]) => [
        name,
        isSecret ? { value: null, isSecret } : { value },
      ]),
    ),
  });
  const id = call.params['groupId'];
  if (id !== undefined)
    return { body: view(variableGroups.find((group) => String(group.id) === id) ?? missing(`Variable group ${id}`)) };
  const name = call.query.get('groupName')?.toLowerCase();
  const ids = call.query.get('groupIds')?.split(',');
  const fits = (group: VariableGroup): boolean =>
    (!name || wildcard(name).test(group.name)) && (!ids || ids.includes(String(group.id)));
  return page(
    call,
    [...variableGroups].filter(fits).sort((a, b) => a.id - b.id),
    (group) => group.id,
    view,
  );
};

/** `aml-*`: the service takes stars in the name of a group. */
const wildcard = (name: string): RegExp =>
  new RegExp(
    `^${name
      .split('*')
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
      .join('.*')}$`,
    'i',
  );

const groupsWrite: Handler = async (call) => {
  requirePerson(call, 'administer variable groups');
  const body = record(call.body);
  const id = call.params['groupId'];
  return await call.server.project.change((document) => {
    if (call.method === 'DELETE') {
      document.variableGroups = document.variableGroups.filter((group) => String(group.id) !== id);
      return {};
    }
    if (call.method !== 'POST' && call.method !== 'PUT') wrongMethod(call);
    const known = document.variableGroups.find((group) => String(group.id) === id);
    if (id !== undefined && !known) missing(`Variable group ${id}`);
    const group: VariableGroup = {
      id: known?.id ?? document.next++,
      name: text(body['name'], known?.name ?? ''),
      type: 'Vsts',
      ...(body['description'] === undefined ? {} : { description: text(body['description']) }),
      variables: withoutSecrets(record(body['variables'])),
    };
    document.variableGroups = [...document.variableGroups.filter((other) => other !== known), group];
    return { body: group };
  });
};

/** Secrets never reach the disk: a run gets them with `--secret`. */
function withoutSecrets(variables: Record<string, unknown>): VariableGroup['variables'] {
  return Object.fromEntries(
    Object.entries(variables).map(([name, raw]) => {
      const { value, isSecret } = record(raw);
      return [name, isSecret === true ? { value: null, isSecret: true } : { value: value == null ? null : text(value) }];
    }),
  );
}

const endpointView = (call: Call, endpoint: ServiceEndpoint): unknown => ({
  ...endpoint,
  isReady: true,
  isShared: false,
  owner: 'Library',
  serviceEndpointProjectReferences: [
    { projectReference: { id: call.server.project.id, name: call.server.project.name }, name: endpoint.name },
  ],
});

const endpoints: Handler = async (call) => {
  const { endpoints: all } = await call.server.project.read();
  const id = call.params['endpointId']?.toLowerCase();
  if (id !== undefined) {
    // The service answers 200 with null for an endpoint that is not there.
    const found = all.find((endpoint) => endpoint.id.toLowerCase() === id);
    return { body: found ? endpointView(call, found) : null };
  }
  const lower = (key: string): string[] | undefined => call.query.get(key)?.toLowerCase().split(',');
  const names = lower('endpointNames');
  const ids = lower('endpointIds');
  const type = call.query.get('type')?.toLowerCase();
  return list(
    all
      .filter(
        (endpoint) =>
          (!names || names.includes(endpoint.name.toLowerCase())) &&
          (!ids || ids.includes(endpoint.id.toLowerCase())) &&
          (!type || endpoint.type.toLowerCase() === type),
      )
      .map((endpoint) => endpointView(call, endpoint)),
  );
};

const secretParameter = /key|password|secret|token|certificate/i;

const endpointsWrite: Handler = async (call) => {
  requirePerson(call, 'administer service connections');
  const id = call.params['endpointId'];
  const body = record(call.body);
  return await call.server.project.change((document) => {
    const known = document.endpoints.find((endpoint) => endpoint.id === id);
    if (id !== undefined && !known) missing(`Service connection ${id}`);
    if (call.method === 'DELETE') {
      document.endpoints = document.endpoints.filter((endpoint) => endpoint !== known);
      return {};
    }
    if (call.method !== 'POST' && call.method !== 'PUT') wrongMethod(call);
    const { scheme, parameters } = record(body['authorization']);
    const texts = (value: unknown): Record<string, string> =>
      Object.fromEntries(Object.entries(record(value)).map(([key, text]) => [key, String(text)]));
    const endpoint: ServiceEndpoint = {
      id: known?.id ?? randomUUID(),
      name: text(body['name'], known?.name ?? ''),
      type: text(body['type'], known?.type ?? 'azurerm'),
      url: text(body['url'], known?.url ?? ''),
      authorization: {
        scheme: typeof scheme === 'string' ? scheme : 'None',
        parameters: Object.fromEntries(Object.entries(texts(parameters)).filter(([key]) => !secretParameter.test(key))),
      },
      data: texts(body['data']),
    };
    document.endpoints = [...document.endpoints.filter((other) => other !== known), endpoint];
    return { body: endpointView(call, endpoint) };
  });
};

/** Only a job asks, with its own token, for a connection of the project (reference task-contract C.2). */
const oidcToken: Handler = async (call) => {
  if (call.method !== 'POST') wrongMethod(call);
  const { job } = call.caller;
  if (!job || call.params['jobId'] !== job.jobId)
    throw new DevOpsError(403, 'The token is not that of the job.', 'AccessDeniedException');
  const id = call.query.get('serviceConnectionId') ?? '';
  const endpoint = call.server.project.endpoint(id);
  if (endpoint?.authorization.scheme.toLowerCase() !== 'workloadidentityfederation')
    missing(`The federated service connection ${id}`);
  const { project } = call.server;
  const subject = `sc://local/${project.name}/${endpoint.name}`;
  const { scheme, parameters } = endpoint.authorization;
  const connection = {
    id: endpoint.id,
    name: endpoint.name,
    url: endpoint.url,
    scheme,
    parameters: { workloadIdentityFederationSubject: subject, ...parameters },
    data: endpoint.data,
  };
  return { body: { oidcToken: await call.server.sign(connection, Date.now()) } };
};

const permissions: Handler = async (call) => {
  const { resourceType = '', resourceId = '' } = call.params;
  const key = `${resourceType.toLowerCase()}/${resourceId}`;
  const { project } = call.server;
  if (call.method === 'PATCH') {
    requirePerson(call, 'administer pipeline permissions');
    const body = record(call.body);
    await project.change((document) => {
      const now = (document.permissions[key] ??= { all: false, pipelines: [] });
      if (body['allPipelines'] !== undefined) now.all = record(body['allPipelines'])['authorized'] === true;
      for (const pipeline of (Array.isArray(body['pipelines']) ? body['pipelines'] : []).map(record)) {
        const id = Number(pipeline['id']);
        now.pipelines = now.pipelines.filter((other) => other !== id);
        if (pipeline['authorized'] === true) now.pipelines.push(id);
      }
    });
  } else if (call.method !== 'GET') wrongMethod(call);
  const now = (await project.read()).permissions[key];
  const by = { authorizedBy: call.caller.identity, authorizedOn: isoNow(), authorized: true };
  return {
    body: {
      resource: { type: resourceType.toLowerCase(), id: resourceId },
      ...(now?.all ? { allPipelines: by } : {}),
      pipelines: (now?.pipelines ?? []).map((id) => ({ id, ...by })),
    },
  };
};

export const resourceHandlers: Partial<Record<LocationName, Handler>> = {
  projects,
  connectionData,
  identities,
  environments,
  pipelineEnvironments: environments,
  deployments,
  groups,
  groupsWrite,
  endpoints,
  endpointsWrite,
  oidcToken,
  permissions,
};
