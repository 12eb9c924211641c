/** What `amlops environments` reads and writes in a project. Routes and bodies: reference azure-devops-rest §3 and §4. */
import { Failure } from '../azure/errors.js';
import type { AgentNetwork } from '../azure/types.js';
import type { CheckBody } from './check-bodies.js';
import { access, devOpsFailure, DevOpsRest, identityUri, type DevOpsToken } from './rest.js';

interface FoundEnvironment {
  id: number;
  name: string;
  description: string;
}

export interface FoundCheck extends CheckBody {
  id: number;
}

interface FoundPermissions {
  all: boolean;
  pipelines: number[];
}

interface FoundIdentity {
  id: string;
  name: string;
}

/** One project of one organization; every method throws Failure with the service's words. */
export interface EnvironmentsService {
  /** @throws Failure `ProjectUnknown` */
  checkProject(): Promise<void>;
  environment(name: string): Promise<FoundEnvironment | undefined>;
  createEnvironment(name: string, description: string): Promise<FoundEnvironment>;
  updateEnvironment(id: number, description: string): Promise<void>;
  deleteEnvironment(id: number): Promise<void>;
  serviceConnection(name: string): Promise<{ id: string; name: string } | undefined>;
  /** Id of a user or a group. @throws Failure `IdentityUnknown`, `IdentityAmbiguous` */
  identity(name: string): Promise<FoundIdentity>;
  /** @throws Failure `PipelineUnknown` */
  pipelineId(nameOrId: string | number): Promise<number>;
  checks(type: string, id: string): Promise<FoundCheck[]>;
  addCheck(body: CheckBody): Promise<void>;
  updateCheck(id: number, body: CheckBody): Promise<void>;
  deleteCheck(id: number): Promise<void>;
  permissions(type: string, id: string): Promise<FoundPermissions>;
  authorize(
    type: string,
    id: string,
    change: { all?: boolean; pipelines?: { id: number; authorized: boolean }[] },
  ): Promise<void>;
}

const checksVersion = '7.1-preview.1';

/** @param organization URL of the organization or collection */
export async function openEnvironmentsService(
  organization: string,
  project: string,
  token: DevOpsToken,
  network: AgentNetwork = {},
): Promise<EnvironmentsService> {
  const { collectionUri, handlers, options } = access(organization, token, network);
  const [{ TaskAgentApi }, { ServiceEndpointApi }, { BuildApi }] = await Promise.all([
    import('azure-devops-node-api/TaskAgentApi.js'),
    import('azure-devops-node-api/ServiceEndpointApi.js'),
    import('azure-devops-node-api/BuildApi.js'),
  ]);
  const agent = new TaskAgentApi(collectionUri, handlers, options);
  const endpoints = new ServiceEndpointApi(collectionUri, handlers, options);
  const build = new BuildApi(collectionUri, handlers, options);
  const rest = new DevOpsRest(agent.rest, collectionUri);
  const people = new DevOpsRest(agent.rest, identityUri(collectionUri));
  const base = `${encodeURIComponent(project)}/_apis/pipelines`;
  const call = async <T>(operation: string, body: () => Promise<T>): Promise<T> => {
    try {
      return await body();
    } catch (error) {
      throw devOpsFailure(error, operation);
    }
  };
  const asEnvironment = (found: { id?: number; name?: string; description?: string }): FoundEnvironment => ({
    id: found.id ?? 0,
    name: found.name ?? '',
    description: found.description ?? '',
  });
  const same = (a: string | undefined, b: string): boolean => a?.toLowerCase() === b.toLowerCase();

  return {
    checkProject: async () => {
      if (!(await rest.get(`_apis/projects/${encodeURIComponent(project)}`, '7.1'))) throw projectUnknown(project, organization);
    },
    environment: (name) =>
      call(`read environment ${name}`, async () => {
        const found = await agent.getEnvironments(project, name);
        // 404 is null in the package: a project that is not there must not look like one without environments.
        if (!found) throw projectUnknown(project, organization);
        const match = found.find((candidate) => same(candidate.name, name));
        return match && asEnvironment(match);
      }),
    createEnvironment: (name, description) =>
      call(`create environment ${name}`, async () =>
        asEnvironment(written(await agent.addEnvironment({ name, description }, project), name)),
      ),
    updateEnvironment: (id, description) =>
      call(`change environment ${id}`, async () => {
        written(await agent.updateEnvironment({ description }, project, id), String(id));
      }),
    deleteEnvironment: (id) => call(`delete environment ${id}`, () => agent.deleteEnvironment(project, id)),
    serviceConnection: (name) =>
      call(`read service connection ${name}`, async () => {
        const found = await endpoints.getServiceEndpointsByNames(project, [name]);
        if (!found) throw projectUnknown(project, organization);
        const match = found.find((candidate) => same(candidate.name, name));
        return match?.id ? { id: match.id, name: match.name ?? name } : undefined;
      }),
    identity: (name) => findIdentity(people, project, name),
    pipelineId: (nameOrId) =>
      call(`read pipeline ${nameOrId}`, async () => {
        if (typeof nameOrId === 'number') return nameOrId;
        const found = await build.getDefinitions(project, nameOrId);
        const matches = (found ?? []).filter((candidate) => same(candidate.name, nameOrId));
        if (matches.length === 1 && matches[0]?.id !== undefined) return matches[0].id;
        throw new Failure(
          matches.length === 0
            ? `There is no pipeline '${nameOrId}' in project '${project}'.`
            : `Several pipelines are called '${nameOrId}'.`,
          { code: 'PipelineUnknown', advice: 'Give the pipeline’s id (definitionId in its address).' },
        );
      }),
    checks: async (type, id) => {
      const query = `resourceType=${type}&resourceId=${encodeURIComponent(id)}&$expand=settings`;
      const found = await rest.get<{ value?: FoundCheck[] }>(`${base}/checks/configurations?${query}`, checksVersion);
      if (!found) throw projectUnknown(project, organization);
      return found.value ?? [];
    },
    addCheck: async (body) => void (await rest.post(`${base}/checks/configurations`, checksVersion, body)),
    updateCheck: async (id, body) =>
      void (await rest.patch(`${base}/checks/configurations/${id}`, checksVersion, { id, ...body })),
    deleteCheck: async (id) => void (await rest.delete(`${base}/checks/configurations/${id}`, checksVersion)),
    permissions: async (type, id) => {
      const found = await rest.get<{
        allPipelines?: { authorized?: boolean };
        pipelines?: { id: number; authorized?: boolean }[];
      }>(`${base}/pipelinepermissions/${type}/${encodeURIComponent(id)}`, checksVersion);
      return {
        all: found?.allPipelines?.authorized === true,
        pipelines: (found?.pipelines ?? []).flatMap((pipeline) => (pipeline.authorized === false ? [] : [pipeline.id])),
      };
    },
    authorize: async (type, id, { all, pipelines }) =>
      void (await rest.patch(`${base}/pipelinepermissions/${type}/${encodeURIComponent(id)}`, checksVersion, {
        ...(all === undefined ? {} : { allPipelines: { authorized: all } }),
        ...(pipelines ? { pipelines } : {}),
      })),
  };
}

/** The package answers null for 404: what was to be written is not. */
function written<T>(answer: T | null | undefined, name: string): T {
  if (answer !== null && answer !== undefined) return answer;
  throw new Failure(
    `Environment ${name} was not written (HTTP 404): it or its project is not there, or the token may not see it.`,
    {
      code: 'DevOpsRefused',
      status: 404,
    },
  );
}

function projectUnknown(project: string, organization: string): Failure {
  return new Failure(`There is no project '${project}' in ${organization}, or the token may not read it.`, {
    code: 'ProjectUnknown',
  });
}

interface IdentityAnswer {
  id: string;
  providerDisplayName?: string;
  customDisplayName?: string;
  isActive?: boolean;
  properties?: Record<string, { $value?: string } | undefined>;
}

const titleOf = (identity: IdentityAnswer): string =>
  `${identity.providerDisplayName ?? ''} (${identity.properties?.['Account']?.$value ?? identity.id})`;

/** Users by sign-in name or display name, groups as `[project]\Group` or by their name alone. */
async function findIdentity(people: DevOpsRest, project: string, name: string): Promise<FoundIdentity> {
  const candidates = name.startsWith('[') ? [name] : [name, `[${project}]\\${name}`];
  const similar = new Set<string>();
  for (const candidate of candidates) {
    const query = `searchFilter=General&filterValue=${encodeURIComponent(candidate)}&queryMembership=None`;
    const answer = await people.get<{ value?: (IdentityAnswer | null)[] }>(`_apis/identities?${query}`, '7.1');
    const found = (answer?.value ?? []).filter(
      (identity): identity is IdentityAnswer => identity !== null && identity.isActive !== false,
    );
    const names = (identity: IdentityAnswer): string[] =>
      [
        identity.providerDisplayName,
        identity.customDisplayName,
        identity.properties?.['Account']?.$value,
        identity.properties?.['Mail']?.$value,
      ].flatMap((text) => (text ? [text.toLowerCase()] : []));
    // The search also finds who is called something like it. Nobody becomes an approver for that.
    const wanted = candidate.toLowerCase();
    const exact = found.filter((identity) => names(identity).includes(wanted));
    const chosen =
      exact.length > 0 ? exact : found.filter((identity) => names(identity).some((text) => text.endsWith(`]\\${wanted}`)));
    for (const identity of found) similar.add(titleOf(identity));
    if (chosen.length > 1)
      throw new Failure(`'${name}' could be any of ${chosen.map(titleOf).join(', ')}.`, {
        code: 'IdentityAmbiguous',
        advice: 'Name the user by the sign-in name, the group as [project]\\Group.',
      });
    if (chosen[0]) return { id: chosen[0].id, name: chosen[0].providerDisplayName ?? name };
  }
  const near = similar.size > 0 ? ` Similar: ${[...similar].slice(0, 5).join(', ')}.` : '';
  throw new Failure(`There is no user or group '${name}' in the organization.${near}`, {
    code: 'IdentityUnknown',
    advice: 'Users are found by sign-in name or display name, groups as [project]\\Group.',
  });
}
