/** The built-in registry `azureml`: its environments are those that the engine's table maps to packages (engine/environment/tables.ts). */
import { curated, findRow } from '../engine/environment/tables.js';
import type { Scope, WorkspaceRecord, World } from '../context.js';
import type { Catalog } from './catalog.js';
import type { AssetKind, AssetVersion, FoundAsset } from './types.js';

const isBuiltIn = (scope: Scope, kind: AssetKind): boolean =>
  scope.kind === 'registry' && scope.name.toLowerCase() === 'azureml' && kind === 'environments';

/** Names to list; `undefined` when the scope holds no curated environments. */
export function curatedNames(scope: Scope, kind: AssetKind): string[] | undefined {
  return isBuiltIn(scope, kind) ? curated.map((row) => row.match.replace(/[-.]?\*$/, '')) : undefined;
}

/** A curated environment; the service has many versions of each, here every number stands for the same packages. */
export function curatedAsset(scope: Scope, kind: AssetKind, name: string, version = '1'): AssetVersion | undefined {
  if (!isBuiltIn(scope, kind) || !/^[1-9]\d*$/.test(version) || !findRow(curated, name)) return undefined;
  const stamp = '2024-01-01T00:00:00+00:00';
  return {
    kind,
    name,
    version,
    order: 0,
    systemData: {
      createdAt: stamp,
      createdBy: 'Microsoft',
      createdByType: 'User',
      lastModifiedAt: stamp,
      lastModifiedBy: 'Microsoft',
      lastModifiedByType: 'User',
    },
    properties: {
      description: 'Curated environment: a Python environment with the packages that the table of the embedded workspace names.',
      tags: {},
      properties: {},
      isArchived: false,
      isAnonymous: false,
      environmentType: 'Curated',
      image: `mcr.microsoft.com/azureml/curated/${name}:${version}`,
      osType: 'Linux',
      stage: null,
    },
  };
}

/** A curated environment as a workspace shows it: under the workspace's own address, the newest without a version. */
export function curatedInWorkspace(
  assets: Catalog,
  world: World,
  ws: WorkspaceRecord,
  kind: AssetKind,
  name: string,
  version?: string,
): FoundAsset | undefined {
  const registry = world.registry('azureml');
  if (!registry || kind !== 'environments' || !/^azureml-/i.test(name)) return undefined;
  const found = version === undefined ? assets.latest(registry, kind, name) : assets.get(registry, kind, name, version);
  return found && { ...found, scope: ws, id: `${ws.armId}/${kind}/${found.name}/versions/${found.version}` };
}
