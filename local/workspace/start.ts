/** Puts the embedded workspace together, in the order that makes it ready soonest. `amlops up` and tests call this. */
import { mkdirSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Failure } from '../../src/azure/errors.js';
import { registerAdmin } from './admin.js';
import { armSurface } from './arm/index.js';
import { Catalog } from './assets/catalog.js';
import { assetsSurface } from './assets/routes.js';
import { SystemClock } from './clock.js';
import { buildConnection, type Connection } from './connection.js';
import type { Ctx, Hooks, Log, Surface, WorkspaceRecord } from './context.js';
import { discoverySurface } from './discovery.js';
import { Faults } from './faults.js';
import { writePrivate } from './files.js';
import { TokenIssuer } from './identity/issuer.js';
import { Rights } from './identity/rights.js';
import { registerSignIn } from './identity/signin.js';
import { Latency } from './latency.js';
import { lock } from './lock.js';
import { Operations } from './operations.js';
import { registriesSurface } from './registries/index.js';
import { Router } from './router.js';
import { makeServer, registerRest } from './server.js';
import { Azurite } from './storage/azurite.js';
import { Blobs } from './storage/blobs.js';
import { Datastores } from './storage/datastores.js';
import type { GuardState } from './storage/guard.js';
import { Wire } from './storage/wire.js';
import { Store } from './store.js';
import { studioSurface } from './studio.js';
import { optionalSurfaces } from './surfaces.js';
import { certificates } from './tls.js';
import { StoredWorld } from './world.js';

export interface WorkspaceOptions {
  /** State folder; made when missing. */
  state: string;
  workspaces?: string[];
  registry?: string;
  storage?: 'keys' | 'identity';
  /** 0 or absent: the port of the last start when it is free, else any. */
  port?: number;
  faults?: string;
  latency?: string;
  log?: Log;
  /** Told when the workspace can serve no longer (the blob service died). */
  onFailure?: (failure: Failure) => void;
}

export interface Workspace {
  url: string;
  connection: Connection;
  ctx: Ctx;
  close(): Promise<void>;
}

const quiet: Log = {
  warn: () => undefined,
  error: (message, error) => console.error(message, error ?? ''),
};

interface Ports {
  api: number;
  storage: number;
}

/** Starts an embedded workspace. Throws Failure (`StateInUse`, `PortInUse`, `StorageFailed`, `NameInvalid`, `FaultsInvalid`, `LatencyInvalid`). */
export async function startWorkspace(options: WorkspaceOptions): Promise<Workspace> {
  const root = resolve(options.state);
  const faults = new Faults(options.faults);
  const latency = new Latency(options.latency);
  const log = options.log ?? quiet;
  mkdirSync(join(root, 'blobs'), { recursive: true });
  const unlock = await lock(root);
  const azurite = new Azurite(join(root, 'blobs'));
  const undo: (() => unknown)[] = [unlock, () => azurite.stop()];
  try {
    azurite.load();
    const store = new Store(join(root, 'store'));
    undo.push(() => store.close());
    const files = await certificates(root);
    const world = await StoredWorld.open(root, files.caFile, store, {
      workspaces: options.workspaces ?? ['dev', 'test', 'prod'],
      registry: options.registry ?? 'shared',
      storage: options.storage ?? 'keys',
    });
    const former = store.get<Ports>('world', 'ports');
    const ports: Ports = { api: 0, storage: 0 };
    const base = () => `https://localhost:${ports.api}`;
    const issuer = new TokenIssuer(world.identity.issuerKey, world.tenantId, base, () => faults.spec.tokenLifetime);
    const rights = new Rights(store, issuer, world);
    const guard = (): GuardState => guardState(world, rights, issuer);
    rights.onChange = () => azurite.setGuard(guard());
    world.onChange = async () => {
      rights.refresh();
      azurite.setGuard(guard());
      await azurite.setAccounts(accountList(world));
    };

    const app = makeServer(files);
    undo.push(() => app.close());
    const router = new Router(app, rights, log);
    const closing = new AbortController();
    const wire = new Wire(files.caFile, () => ports.storage, storageToken(issuer, world));
    undo.push(() => wire.close());
    const datastores = new Datastores(store, world);
    const storage = new Blobs({
      wire,
      port: () => ports.storage,
      key: (account) => handedOut(world, account),
      sasLifetime: () => faults.spec.sasLifetime,
      datastores,
    });
    const clock = new SystemClock();
    const operations = new Operations(store, base);
    const hooks: Hooks = {};
    const urls = {
      get base() {
        return base();
      },
      get port() {
        return ports.api;
      },
      get storagePort() {
        return ports.storage;
      },
      mlflow: (ws: WorkspaceRecord, version = 'v2.0') => `/mlflow/${version}${ws.armId}`,
    };
    const assets = new Catalog(store, world, storage, clock, hooks);
    const ctx: Ctx = {
      ...{ store, world, urls, storage, assets, operations, issuer, faults, latency, clock, log, hooks },
      closing: closing.signal,
      authorize: (principal, resource, access, operation) => rights.check(principal, resource, access, operation),
    };
    router.attach(ctx);

    const blobs = azurite.serve(
      {
        port: former?.storage ?? 0,
        ...files,
        accounts: accountList(world),
        guard: guard(),
        faults: faults.text,
      },
      (code) =>
        options.onFailure?.(new Failure(`The blob service ended unexpectedly (exit code ${code}).`, { code: 'StorageFailed' })),
    );
    blobs.catch(() => undefined); // Awaited below; until then not unhandled.
    registerSignIn(router, ctx, {
      issuer: federationIssuer(world),
      audience: 'api://AzureADTokenExchange',
      publicJwk: world.identity.federationKey.publicJwk,
    });
    operations.register(router, ctx);
    registerAdmin(router, ctx, { world, rights, blobs: azurite });
    const surfaces: Surface[] = [
      discoverySurface,
      armSurface(datastores, rights, storage),
      assetsSurface,
      registriesSurface(rights),
      studioSurface(rights),
      ...optionalSurfaces(),
    ];
    for (const surface of surfaces) await surface.register(router, ctx);
    registerRest(app, router, (header) => rights.authenticate(header));

    const [apiPort, storagePort] = await Promise.all([listen(app, options.port || undefined, former?.api), blobs]);
    Object.assign(ports, { api: apiPort, storage: storagePort });
    await store.write((tx) => tx.put('world', 'ports', ports));
    await operations.endInterrupted(clock.now());
    await seedStorage(ctx, datastores, storage);
    const federationFile = join(root, 'federation.json');
    writePrivate(
      federationFile,
      JSON.stringify(
        {
          issuer: federationIssuer(world),
          audience: 'api://AzureADTokenExchange',
          privateJwk: world.identity.federationKey.privateJwk,
        },
        null,
        2,
      ),
    );
    for (const surface of surfaces) await surface.start?.(ctx);
    const stop = async (): Promise<void> => {
      closing.abort();
      for (const surface of [...surfaces].reverse()) await surface.stop?.();
      await app.close();
      wire.close();
      await azurite.stop();
      await store.close();
      unlock();
    };
    let stopped: Promise<void> | undefined;
    return { url: base(), connection: buildConnection(ctx, world, federationFile), ctx, close: () => (stopped ??= stop()) };
  } catch (error) {
    for (const step of undo.reverse()) await Promise.resolve(step()).catch(() => undefined);
    throw error;
  }
}

/** Issuer of the assertions that pipelines present for a workload identity federation connection. */
function federationIssuer(world: StoredWorld): string {
  return `https://vstoken.dev.azure.com/${world.tenantId}`;
}

function handedOut(world: StoredWorld, account: string): string | undefined {
  const known = world.storageAccounts().find(({ name }) => name === account);
  if (known?.storageMode === 'identity') return undefined;
  return world.accountKeys().get(account);
}

function accountList(world: StoredWorld): string {
  return [...world.accountKeys()].map(([account, key]) => `${account}:${key}`).join(';');
}

function guardState(world: StoredWorld, rights: Rights, issuer: TokenIssuer): GuardState {
  const accounts = world.storageAccounts();
  const roles: GuardState['roles'] = [{ objectId: world.service.objectId, account: '*', write: true }];
  for (const principal of world.principals())
    for (const entry of accounts) {
      const resource = `/subscriptions/${entry.subscriptionId}/resourceGroups/${entry.resourceGroup}/providers/Microsoft.Storage/storageAccounts/${entry.name}`;
      const held = rights.roles(principal, resource).filter((role) => role.startsWith('Storage Blob'));
      if (held.length)
        roles.push({ objectId: principal.objectId, account: entry.name, write: held.includes('Storage Blob Data Contributor') });
    }
  const identityOnly = accounts.filter((entry) => entry.storageMode === 'identity').map((entry) => entry.name);
  return { identityOnly, roles, jwk: issuer.jwks.keys[0] ?? {}, issuer: `https://sts.windows.net/${world.tenantId}/` };
}

/** Tokens of the service's own identity for the blob service, renewed before they end. */
function storageToken(issuer: TokenIssuer, world: StoredWorld): () => Promise<string> {
  let held: { token: Promise<string>; until: number } | undefined;
  return async () => {
    if (!held || held.until < Date.now())
      held = {
        token: issuer
          .mint({ ...world.service, tenantId: world.tenantId }, 'https://storage.azure.com', 86_400)
          .then(({ token }) => token),
        until: Date.now() + 80_000_000,
      };
    return await held.token;
  };
}

async function listen(
  app: ReturnType<typeof makeServer>,
  asked: number | undefined,
  former: number | undefined,
): Promise<number> {
  const attempt = async (port: number): Promise<number> => {
    await app.listen({ host: '127.0.0.1', port });
    const address = app.server.address();
    return typeof address === 'object' && address ? address.port : port;
  };
  try {
    return await attempt(asked ?? former ?? 0);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EADDRINUSE') throw error;
    if (asked !== undefined)
      throw new Failure(`Port ${asked} is in use.`, {
        code: 'PortInUse',
        input: 'port',
        advice: 'Leave --port out to take a free one.',
      });
    return await attempt(0);
  }
}

/** Containers and datastore records of workspaces and registries that have none yet. */
async function seedStorage(ctx: Ctx, datastores: Datastores, storage: Blobs): Promise<void> {
  const endpoint = `core.localhost:${ctx.urls.storagePort}`;
  const fresh = ctx.world.workspaces().filter((ws) => !datastores.get(ws, 'workspaceblobstore'));
  if (fresh.length) {
    await Promise.all(
      fresh.flatMap((ws) => [
        storage.ensureContainer(ws.account, ws.blobContainer),
        storage.ensureContainer(ws.account, 'azureml'),
      ]),
    );
    await ctx.store.write((tx) => {
      for (const ws of fresh) Datastores.seed(tx, ws, endpoint, ctx.clock.stamp());
    });
  }
  const [any] = ctx.world.workspaces();
  if (any && ctx.world.workspaces().some((ws) => ws.storageMode === 'identity')) await storage.renewDelegation(any.account);
}
