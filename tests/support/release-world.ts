/** What two workspaces and a registry hold of a model, looked at with the project's own readers: for asking whether anything is between. */
import assert from 'node:assert/strict';
import { openFrom } from '../../cli/connection.js';
import { openDatastore } from '../../src/aml/datastore.js';
import { WorkspaceStore } from '../../src/aml/models-store.js';
import { WorkspaceModels, type ModelInfo } from '../../src/aml/models.js';
import { RegistryModels } from '../../src/aml/registries.js';
import { modelDigest } from '../../src/release/digest.js';
import { readPointer } from '../../src/release/record.js';
import { verifyRecords } from '../../src/release/verify.js';
import { send, tokenOf, type Running } from './workspace.js';

/** Sets the faults of a running workspace; '' ends them. */
export async function faultsOf(up: Running, faults: string): Promise<void> {
  const token = await tokenOf(up.connection);
  const reply = await send(up.connection, 'PUT', `${up.connection.resourceManager}/_amlops`, { token, body: { faults } });
  assert.equal(reply.status, 200, reply.text);
}

/** Faults that were injected since they were set. */
export async function injectedBy(up: Running): Promise<{ method: string; path: string; kind: string }[]> {
  const token = await tokenOf(up.connection);
  const reply = await send(up.connection, 'GET', `${up.connection.resourceManager}/_amlops`, { token });
  return reply.json.injected;
}

/** One workspace of a running service as a test looks at it. */
export class Site {
  readonly models: WorkspaceModels;
  readonly #store: WorkspaceStore;
  readonly #workspace: ReturnType<typeof openFrom>;
  constructor(
    up: Running,
    readonly name: string,
  ) {
    this.#workspace = openFrom(up.file, name);
    this.models = new WorkspaceModels(this.#workspace);
    this.#store = new WorkspaceStore(this.#workspace);
  }

  registry(name = 'shared'): RegistryModels {
    return new RegistryModels(this.#workspace, name);
  }

  /** Every blob below `amlops/` that is of this model, name to etag. */
  async blobs(model: string): Promise<Map<string, string>> {
    const { container } = await openDatastore(this.#workspace);
    const found = new Map<string, string>();
    for await (const { name, etag } of container.list('amlops/'))
      if (name.split('/')[2]?.replace(/\.json$/, '') === model) found.set(name, etag);
    return found;
  }

  /** Id of the champion, or undefined. */
  async champion(model: string): Promise<string | undefined> {
    return (await readPointer(this.#store, model))?.pointer.champion.modelId;
  }

  /** Number of records of a chain that holds; fails on one that does not. */
  async records(model: string): Promise<number> {
    const folder = `amlops/records/${model}/`;
    const files = new Map<string, Buffer>();
    for (const name of await this.#store.list(folder))
      files.set(name.slice(folder.length), (await this.#store.read(name))!.bytes);
    if (files.size === 0) return 0;
    const { records, problems } = verifyRecords(files);
    assert.deepEqual(problems, []);
    return records.length;
  }

  /** Blobs of the model's bytes that no version names. */
  async orphans(model: string): Promise<string[]> {
    const places = (await this.models.versions(model)).map(({ uri }) => uri.replace(/^.*\/paths\//, ''));
    return [...(await this.blobs(model)).keys()].filter(
      (name) => name.startsWith('amlops/models/') && !places.some((place) => name === place || name.startsWith(`${place}/`)),
    );
  }

  /** All that a promotion may write here: equal before and after means that nothing was written. */
  async everything(model: string): Promise<unknown> {
    const versions = await this.models.versions(model);
    return {
      versions: versions.sort((a, b) => Number(a.version) - Number(b.version)),
      blobs: [...(await this.blobs(model))].sort(),
    };
  }

  /** Digest of a version's bytes, read now. */
  async digest(model: ModelInfo): Promise<string> {
    return modelDigest(await this.models.files(model).hash());
  }
}
