/** Small files under `amlops/` in a workspace's default blob container: promotion records and champion pointers (design §6). */
import { Failure } from '../azure/errors.js';
import { openDatastore } from './datastore.js';
import type { Workspace } from './workspace.js';

const largest = 64 * 1024 * 1024;

/** Has the shape that src/release asks of a record store. */
export class WorkspaceStore {
  readonly place: { kind: 'workspace'; id: string; name: string };
  constructor(
    private readonly workspace: Workspace,
    private readonly signal?: AbortSignal,
  ) {
    this.place = { kind: 'workspace', id: workspace.id, name: workspace.workspace };
  }

  async #container() {
    return (await openDatastore(this.workspace, undefined, this.signal)).container;
  }

  async read(name: string): Promise<{ bytes: Buffer; etag: string } | undefined> {
    return (await this.#container()).readBytes(name, { maxBytes: largest, ...(this.signal ? { signal: this.signal } : {}) });
  }

  /** `undefined` when the condition is not met. */
  async write(
    name: string,
    bytes: Uint8Array,
    condition: { ifNoneMatch: '*' } | { ifMatch: string },
  ): Promise<{ etag: string } | undefined> {
    try {
      const contentType = name.endsWith('.json') ? 'application/json' : 'text/plain';
      return await (
        await this.#container()
      ).writeBytes(name, bytes, { ...condition, contentType, ...(this.signal ? { signal: this.signal } : {}) });
    } catch (error) {
      if (error instanceof Failure && error.code === 'ConditionNotMet') return undefined;
      throw error;
    }
  }

  async list(prefix: string): Promise<string[]> {
    const names: string[] = [];
    for await (const item of (await this.#container()).list(prefix, this.signal)) names.push(item.name);
    return names;
  }
}
