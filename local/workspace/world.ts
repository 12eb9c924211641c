/** The workspaces, registries, principals and keys of a state folder: made on first start, read on every other. */
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../src/azure/errors.js';
import { newKey, type KeyMaterial } from './identity/issuer.js';
import type { Assignment } from './identity/rights.js';
import type { StoredPrincipal } from './identity/signin.js';
import type { RegistryRecord, ResourceGroup, Scope, StorageAccount, WorkspaceRecord, World } from './context.js';
import type { Store, Tx } from './store.js';
import { accountKey, accountOf, registryRecord, workspaceRecord } from './world-records.js';

interface WorldOptions {
  /** Names, each with `@region` when it is to be elsewhere than the registry. */
  workspaces: string[];
  registry: string;
  storage: 'keys' | 'identity';
}

/** One-off values of a state folder. */
interface Identity {
  tenantId: string;
  subscriptions: [string, string];
  issuerKey: KeyMaterial;
  federationKey: KeyMaterial;
}

interface Secret {
  clientId: string;
  secret: string;
}

const location = 'eastus';
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_-]{1,32}$/;

export class StoredWorld implements World {
  readonly root: string;
  readonly caFile: string;
  readonly #store: Store;
  readonly identity: Identity;
  storageMode: 'keys' | 'identity' = 'keys';
  /** Told after every `change`: roles and the blob service look again. Resolves when they have. */
  onChange: () => Promise<void> = () => Promise.resolve();
  #former: StorageAccount[] = [];
  #groups: ResourceGroup[] = [];
  #workspaces: WorkspaceRecord[] = [];
  #registries: RegistryRecord[] = [];
  readonly #principals = new Map<string, StoredPrincipal>();
  readonly #keys = new Map<string, string>();

  private constructor(root: string, caFile: string, store: Store, identity: Identity) {
    this.root = root;
    this.caFile = caFile;
    this.#store = store;
    this.identity = identity;
  }

  /** Reads the world of a store, making what is missing. Throws Failure `NameInvalid` for a name that Azure would refuse. */
  static async open(root: string, caFile: string, store: Store, options: WorldOptions): Promise<StoredWorld> {
    for (const name of [...options.workspaces.map((entry) => entry.split('@')[0] ?? ''), options.registry])
      if (!namePattern.test(name))
        throw new Failure(`'${name}' is not a workspace or registry name.`, {
          code: 'NameInvalid',
          advice: 'Use 2 to 33 letters, digits, - or _, beginning with a letter or digit.',
        });
    let identity = store.get<Identity>('world', 'identity');
    if (!identity) {
      const [issuerKey, federationKey] = await Promise.all([newKey(), newKey()]);
      const made: Identity = { tenantId: randomUUID(), subscriptions: [randomUUID(), randomUUID()], issuerKey, federationKey };
      await store.write((tx) => tx.put('world', 'identity', made));
      identity = made;
    }
    const world = new StoredWorld(root, caFile, store, identity);
    world.storageMode = options.storage;
    await world.#complete(options);
    world.#load();
    return world;
  }

  async #complete(options: WorldOptions): Promise<void> {
    await this.#store.write((tx) => {
      const now = new Date().toISOString();
      // What was deleted stays so; only a world without any workspace begins anew.
      const none = tx.entries('workspaces').length === 0;
      const gone = (kind: string, name: string) => !none && tx.get('removed', `${kind}/${name.toLowerCase()}`) !== undefined;
      options.workspaces.forEach((entry, index) => {
        const [name = '', region = location] = entry.split('@');
        if (tx.get('workspaces', name.toLowerCase()) || gone('workspaces', name)) return;
        this.#addWorkspace(tx, name, region, index, options.storage, now);
      });
      for (const [name, made] of [
        [options.registry, 0],
        ['azureml', 1],
      ] as const) {
        if (tx.get('registries', name.toLowerCase()) || gone('registries', name)) continue;
        this.#addRegistry(tx, name, made, now);
      }
    });
  }

  #addWorkspace(tx: Tx, name: string, region: string, index: number, storageMode: 'keys' | 'identity', createdAt: string): void {
    const subscriptionId = this.identity.subscriptions[index === 0 ? 0 : 1];
    const resourceGroup = `rg-${name}`;
    const record = workspaceRecord({ index, name, subscriptionId, resourceGroup, location: region, storageMode, createdAt });
    tx.put('workspaces', name.toLowerCase(), record);
    tx.put('accounts', record.account, accountKey());
    const group = `/subscriptions/${subscriptionId}/resourceGroups/${resourceGroup}`;
    const account = `${group}/providers/Microsoft.Storage/storageAccounts/${record.account}`;
    this.#addPrincipal(tx, `arm-${name}`, [
      { role: 'Contributor', scope: group },
      { role: 'Storage Blob Data Contributor', scope: account },
    ]);
    this.#addPrincipal(tx, `arm-${name}-read`, [
      { role: 'Reader', scope: group },
      { role: 'Storage Blob Data Reader', scope: account },
    ]);
  }

  #addRegistry(tx: Tx, name: string, builtIn: 0 | 1, createdAt: string): void {
    const record = registryRecord({
      index: builtIn,
      name,
      subscriptionId: this.identity.subscriptions[0],
      resourceGroup: `rg-${name}`,
      location,
      createdAt,
      regions: builtIn ? ['*'] : [location],
    });
    tx.put('registries', name.toLowerCase(), record);
    tx.put('accounts', record.account, accountKey());
    for (const { value } of tx.entries<StoredPrincipal>('principals'))
      this.#assign(tx, value.clientId, [
        { role: builtIn || value.name.endsWith('-read') ? 'Reader' : 'Contributor', scope: record.armId },
      ]);
  }

  #addPrincipal(tx: Tx, name: string, roles: Omit<Assignment, 'clientId'>[]): void {
    const secret = randomBytes(30).toString('base64url');
    const principal: StoredPrincipal = {
      name,
      clientId: randomUUID(),
      objectId: randomUUID(),
      tenantId: this.identity.tenantId,
      secretHash: createHash('sha256').update(secret).digest('hex'),
      connections: [name],
    };
    tx.put('principals', principal.clientId, principal);
    tx.put('secrets', name, { clientId: principal.clientId, secret } satisfies Secret);
    this.#assign(tx, principal.clientId, roles);
    for (const { value } of tx.entries<RegistryRecord>('registries'))
      this.#assign(tx, principal.clientId, [{ role: name.endsWith('-read') ? 'Reader' : 'Contributor', scope: value.armId }]);
  }

  #assign(tx: Tx, clientId: string, roles: Omit<Assignment, 'clientId'>[]): void {
    for (const { role, scope } of roles) tx.put('roles', `${clientId} ${role} ${scope.toLowerCase()}`, { clientId, role, scope });
  }

  /** Reads everything into memory again (after a change through the admin route). */
  #load(): void {
    const read = <T extends Scope>(table: string): T[] =>
      this.#store
        .entries<T>(table)
        .map(({ value }) => value)
        .sort((a, b) => a.index - b.index);
    this.#workspaces = read<WorkspaceRecord>('workspaces');
    this.#registries = read<RegistryRecord>('registries');
    this.#former = this.#store.entries<StorageAccount>('storageAccounts').map(({ value }) => value);
    this.#groups = this.#store.entries<ResourceGroup>('resourceGroups').map(({ value }) => value);
    for (const { value } of this.#store.entries<StoredPrincipal>('principals')) this.#principals.set(value.clientId, value);
    for (const { key, value } of this.#store.entries<string>('accounts')) this.#keys.set(key, value);
    // The workspaces' own identity: what the engine and asset resolution act as.
    this.#principals.set(this.service.clientId, {
      ...this.service,
      tenantId: this.tenantId,
      secretHash: '0'.repeat(64),
      connections: [],
    });
  }

  /** The service's own principal; holds no secret, tokens for it are minted inside only. */
  readonly service = {
    name: 'workspace-identity',
    clientId: '00000000-0000-0000-0000-00000000a31b',
    objectId: '00000000-0000-0000-0000-00000000a31c',
  };

  get tenantId(): string {
    return this.identity.tenantId;
  }
  folder(name: string): string {
    const path = join(this.root, name);
    mkdirSync(path, { recursive: true });
    return path;
  }
  workspaces(): WorkspaceRecord[] {
    return this.#workspaces;
  }
  registries(): RegistryRecord[] {
    return this.#registries;
  }
  workspace(subscriptionId: string, resourceGroup: string, name: string): WorkspaceRecord | undefined {
    const same = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();
    return this.#workspaces.find(
      (entry) => same(entry.name, name) && same(entry.subscriptionId, subscriptionId) && same(entry.resourceGroup, resourceGroup),
    );
  }
  workspaceByGuid(guid: string): WorkspaceRecord | undefined {
    return this.#workspaces.find((entry) => entry.guid === guid.toLowerCase());
  }
  registry(name: string): RegistryRecord | undefined {
    return this.#registries.find((entry) => entry.name.toLowerCase() === name.toLowerCase());
  }
  principal(clientId: string): StoredPrincipal | undefined {
    return this.#principals.get(clientId.toLowerCase());
  }
  principals(): StoredPrincipal[] {
    return [...this.#principals.values()];
  }
  /** Storage account name to key. */
  accountKeys(): ReadonlyMap<string, string> {
    return this.#keys;
  }
  resourceGroups(): ResourceGroup[] {
    const found = new Map<string, ResourceGroup>();
    const of = ({ subscriptionId, resourceGroup, location: region }: Scope) => ({
      subscriptionId,
      name: resourceGroup,
      location: region,
    });
    for (const group of [...this.#groups, ...[...this.#workspaces, ...this.#registries].map(of)])
      found.set(`${group.subscriptionId}/${group.name.toLowerCase()}`, group);
    return [...found.values()];
  }
  storageAccounts(): StorageAccount[] {
    const found = new Map(this.#former.map((entry) => [entry.name, entry]));
    for (const scope of [...this.#workspaces, ...this.#registries])
      if (!found.has(scope.account)) found.set(scope.account, accountOf(scope));
    return [...found.values()];
  }
  async change<R>(body: (tx: Tx) => R): Promise<R> {
    const result = await this.#store.write(body);
    this.#load();
    await this.onChange();
    return result;
  }
  secret(connection: string): Secret | undefined {
    return this.#store.get<Secret>('secrets', connection);
  }
  /** Changes a principal (certificates); durable when it resolves. */
  async update(principal: StoredPrincipal): Promise<void> {
    await this.#store.write((tx) => tx.put('principals', principal.clientId, principal));
    this.#principals.set(principal.clientId, principal);
  }
}
