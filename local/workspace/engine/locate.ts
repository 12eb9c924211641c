/** Where the bytes behind a reference are. */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { ServiceError } from '../errors.js';
import type { BlobPlace } from '../storage/types.js';
import { getRun } from '../runs/access.js';
import { JobFailure } from './types.js';
import { parseReference } from './uris.js';

type Location = { place: BlobPlace; type?: string } | { url: string };

/** Folder of a run's files in the artifact store: `ExperimentRun/dcid.{run}/`. */
export function artifactPlace(ws: WorkspaceRecord, dataContainerId: string, path = ''): BlobPlace {
  return { account: ws.account, container: 'azureml', path: `ExperimentRun/${dataContainerId}/${path}` };
}

/** Place of an output of a run, as the run lists it. */
export function outputUri(ctx: Ctx, ws: WorkspaceRecord, job: string, output: string): string | undefined {
  const run = getRun(ctx.store, ws.guid, job);
  if (!run) return undefined;
  if (output === 'default' || output === 'artifacts')
    return ctx.storage.longUri(ws, 'workspaceartifactstore', `ExperimentRun/${run.dataContainerId}/`);
  return run.outputs[output]?.uri;
}

/**
 * Follows a reference to the storage.
 * @throws JobFailure naming what cannot be reached from here or does not exist
 */
export function locate(ctx: Ctx, ws: WorkspaceRecord, uri: string, depth = 0): Location {
  const reference = parseReference(uri, ws);
  const fail = (why: string): never => {
    throw new JobFailure(`Input data '${uri}' cannot be read: ${why}`, 'UserError', { innerCode: 'DataUnreachable' });
  };
  if (depth > 5) return fail('it refers to itself.');
  const assetOf = (kind: 'data' | 'models') => {
    try {
      return ctx.assets.resolve(ws, uri, kind);
    } catch (error) {
      if (!(error instanceof ServiceError)) throw error;
      return fail(error.options.details?.[0]?.message ?? error.message); // in the service's words
    }
  };
  const below = (base: string, path: string): Location => {
    const found = locate(ctx, ws, base, depth + 1);
    if (path === '' || 'url' in found) return found;
    return { place: { ...found.place, path: `${found.place.path.replace(/\/?$/, '/')}${path}` } };
  };
  switch (reference.kind) {
    case 'datastore': {
      const store = ctx.storage.datastore(ws, reference.datastore);
      if (!store) return fail(`the workspace has no blob datastore '${reference.datastore}'.`);
      const base = store.place.path.replace(/\/?$/, store.place.path === '' ? '' : '/');
      return { place: { ...store.place, path: base + reference.path } };
    }
    case 'jobOutput': {
      const base = outputUri(ctx, ws, reference.job, reference.output);
      return base === undefined
        ? fail(`job '${reference.job}' has no output '${reference.output}'.`)
        : below(base, reference.path);
    }
    case 'runArtifact': {
      const run = getRun(ctx.store, ws.guid, reference.run);
      return run
        ? { place: artifactPlace(ws, run.dataContainerId, reference.path) }
        : fail(`there is no run '${reference.run}'.`);
    }
    case 'asset': {
      const kind = reference.type === 'models' ? 'models' : 'data';
      const asset = assetOf(kind);
      const path = asset.properties[kind === 'models' ? 'modelUri' : 'dataUri'];
      const type = asset.properties[kind === 'models' ? 'modelType' : 'dataType'];
      if (typeof path !== 'string') return fail('the asset has no path.');
      const found = locate(ctx, ws, path, depth + 1);
      return 'place' in found && typeof type === 'string' ? { ...found, type } : found;
    }
    case 'web': {
      const place = ctx.storage.parseUrl(reference.url);
      const scopes = [...ctx.world.workspaces(), ...ctx.world.registries()];
      const ours = place && scopes.some(({ account }) => account === place.account);
      return ours ? { place } : { url: reference.url };
    }
    case 'foreign':
      return fail("it is in storage that is not this workspace's.");
    case 'unknown': {
      // `azureml:NAME:VERSION` and `azureml:NAME@label`: data assets by their short name.
      if (!/^(azureml:)?[\w.-]+(:|@)[\w.-]+$/i.test(uri)) return fail('this form is not known.');
      const asset = assetOf('data');
      const path = asset.properties['dataUri'];
      return typeof path === 'string' ? locate(ctx, ws, path, depth + 1) : fail('the asset has no path.');
    }
  }
}
