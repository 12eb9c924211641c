/** The project on disk: environments, checks, connections, groups; one JSON file, changed under a lock, because several runs share it. */
import { mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { ApprovalSpec, EnvironmentsFile, GuardSpec } from '../../../src/devops/environments-file.js';
import { checkBodies } from '../../../src/devops/check-bodies.js';
import { withLock } from '../../lock.js';
import { fileName, guid, isoNow, readJson, writeJson } from './files.js';
import { RunState, type NewRun } from './run-state.js';
import type {
  CheckConfiguration,
  Definition,
  Environment,
  Identity,
  ProjectDocument,
  ResourceRef,
  ResourceType,
  ServiceEndpoint,
} from './types.js';

export const organization = 'local';

export class Project {
  private constructor(
    readonly folder: string,
    private document: ProjectDocument,
  ) {}

  /** Opens `folder/<name>`, made when missing. */
  static async open(stateFolder: string, name: string): Promise<Project> {
    const folder = join(stateFolder, fileName(name));
    await mkdir(join(folder, 'runs'), { recursive: true });
    const empty: ProjectDocument = {
      id: guid('project', name),
      name,
      next: 1,
      environments: [],
      deployments: [],
      checks: [],
      variableGroups: [],
      endpoints: [],
      definitions: [],
      identities: [],
      permissions: {},
    };
    const project = new Project(folder, empty);
    await project.change(() => undefined);
    return project;
  }

  /** What was last read or written by this process; `read` asks the file. */
  get now(): Readonly<ProjectDocument> {
    return this.document;
  }

  get id(): string {
    return this.document.id;
  }

  get name(): string {
    return this.document.name;
  }

  async read(): Promise<Readonly<ProjectDocument>> {
    this.document = (await readJson<ProjectDocument>(join(this.folder, 'project.json'))) ?? this.document;
    return this.document;
  }

  /** Changes the document as one step, also against other processes. */
  async change<R>(body: (document: ProjectDocument) => R): Promise<R> {
    return await withLock(join(this.folder, 'project.lock'), async () => {
      await this.read();
      const result = body(this.document);
      await writeJson(join(this.folder, 'project.json'), this.document);
      return result;
    });
  }

  /** A run with the next free number. The folder is what makes the number ours. */
  async newRun(run: NewRun): Promise<RunState> {
    const runs = join(this.folder, 'runs');
    for (let id = Math.max(0, ...(await this.runIds())) + 1; ; id += 1) {
      try {
        await mkdir(join(runs, String(id)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'EEXIST') continue;
        throw error;
      }
      return await RunState.create(join(runs, String(id)), id, run);
    }
  }

  async openRun(id: number): Promise<RunState | undefined> {
    return await RunState.open(join(this.folder, 'runs', String(id)));
  }

  async runIds(): Promise<number[]> {
    const names = await readdir(join(this.folder, 'runs'));
    return names
      .filter((name) => /^\d+$/.test(name))
      .map(Number)
      .sort((a, b) => a - b);
  }

  async definition(name: string, yamlFilename: string): Promise<Definition> {
    return await this.change((document) => {
      const known = document.definitions.find(
        (definition) => definition.name === name && definition.yamlFilename === yamlFilename,
      );
      if (known) return known;
      const definition = { id: document.next++, name, yamlFilename };
      document.definitions.push(definition);
      return definition;
    });
  }

  /** Service connections of connection.json; ids stay what they are. */
  async setEndpoints(endpoints: ServiceEndpoint[]): Promise<void> {
    if (endpoints.length === 0) return;
    await this.change((document) => {
      const ids = new Set(endpoints.map(({ id }) => id));
      const names = new Set(endpoints.map(({ name }) => name));
      document.endpoints = [...document.endpoints.filter(({ id, name }) => !ids.has(id) && !names.has(name)), ...endpoints];
    });
  }

  /** Makes environments and checks what the file says; what the file does not name stays. */
  async applyFile(file: EnvironmentsFile): Promise<void> {
    await this.change((document) => {
      for (const spec of file.environments) {
        const environment = addEnvironment(document, spec.name, spec.description);
        if (spec.description !== undefined) environment.description = spec.description;
        this.#guard(document, { type: 'environment', id: String(environment.id), name: environment.name }, spec);
      }
      for (const spec of file.serviceConnections) {
        const endpoint = document.endpoints.find(({ name }) => name.toLowerCase() === spec.name.toLowerCase());
        // A connection that this machine does not have cannot be used here either; its guards would never be asked.
        if (endpoint) this.#guard(document, { type: 'endpoint', id: endpoint.id, name: endpoint.name }, spec);
      }
      const gone = new Set(file.delete.environments.map((name) => name.toLowerCase()));
      document.environments = document.environments.filter(({ name }) => !gone.has(name.toLowerCase()));
    });
  }

  #guard(document: ProjectDocument, resource: ResourceRef, spec: GuardSpec): void {
    const known = new Map<string, Identity>();
    for (const approval of spec.approvals ?? [])
      for (const name of approval.approvers) known.set(name, addIdentity(document, name));
    const wanted = checkBodies(spec, resource, (name) => known.get(name)?.id ?? guid('identity', name));
    const others = document.checks.filter(({ resource: { type, id } }) => type !== resource.type || id !== resource.id);
    document.checks = [
      ...others,
      ...wanted.map(
        ({ body }) => ({ ...body, id: document.next++, createdOn: isoNow(), modifiedOn: isoNow() }) as CheckConfiguration,
      ),
    ];
  }

  checksOf(type: ResourceType, id: string): CheckConfiguration[] {
    return this.document.checks.filter(({ resource }) => resource.type === type && resource.id === id);
  }

  environment(name: string): Environment | undefined {
    return this.document.environments.find((environment) => environment.name.toLowerCase() === name.toLowerCase());
  }

  endpoint(nameOrId: string): ServiceEndpoint | undefined {
    const wanted = nameOrId.toLowerCase();
    return this.document.endpoints.find(({ id, name }) => id.toLowerCase() === wanted || name.toLowerCase() === wanted);
  }

  identity(id: string): Identity {
    return this.document.identities.find((identity) => identity.id === id) ?? { id, displayName: id, uniqueName: id };
  }
}

export function addEnvironment(document: ProjectDocument, name: string, description = ''): Environment {
  const known = document.environments.find((environment) => environment.name.toLowerCase() === name.toLowerCase());
  if (known) return known;
  const environment = { id: document.next++, name, description, createdOn: isoNow(), lastModifiedOn: isoNow() };
  document.environments.push(environment);
  return environment;
}

/** `[project]\Group` is a group, everything else a user: there is no directory to ask on a laptop. */
export function addIdentity(document: ProjectDocument, name: string): Identity {
  const known = document.identities.find(({ displayName, uniqueName }) =>
    [displayName, uniqueName].some((text) => text.toLowerCase() === name.toLowerCase()),
  );
  if (known) return known;
  const identity = { id: guid('identity', name), displayName: name, uniqueName: name, isContainer: name.startsWith('[') };
  document.identities.push(identity);
  return identity;
}

export type { ApprovalSpec };
