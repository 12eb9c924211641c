/** What only MLflow knows of a registered model: that it exists without a version, its own description and tags, aliases. */
import { assetTable, versionKey } from '../assets/catalog.js';
import type { AssetVersion, FoundAsset } from '../assets/types.js';
import type { MlflowCall } from './wire.js';

export interface Registered {
  name: string;
  createdAt: string;
  updatedAt: string;
  description: string;
  tags: Record<string, string>;
  /** Alias -> version. */
  aliases: Record<string, string>;
}

const table = 'mlflow.registered-models';
const keyOf = (call: Pick<MlflowCall, 'ws'>, name: string): string => `${call.ws.guid}/${name.toLowerCase()}`;

export const getRegistered = (call: Pick<MlflowCall, 'ctx' | 'ws'>, name: string): Registered | undefined =>
  call.ctx.store.get<Registered>(table, keyOf(call, name));

export const putRegistered = (call: Pick<MlflowCall, 'ctx' | 'ws'>, model: Registered): Promise<void> =>
  call.ctx.store.write((tx) => tx.put(table, keyOf(call, model.name), model));

export const listRegistered = (call: Pick<MlflowCall, 'ctx' | 'ws'>): Registered[] =>
  call.ctx.store.entries<Registered>(table, { prefix: `${call.ws.guid}/` }).map(({ value }) => value);

/**
 * Changes versions of a model in one transaction. Not a PUT of ARM: that merges tags, and MLflow takes tags away.
 * Versions that are gone by now are left out of the answer.
 */
export async function editVersions(
  call: MlflowCall,
  found: FoundAsset[],
  edit: (properties: Record<string, unknown>, asset: FoundAsset) => void,
): Promise<FoundAsset[]> {
  const at = call.ctx.clock.stamp();
  return await call.ctx.store.write((tx) =>
    found.flatMap((asset) => {
      const key = versionKey(call.ws, 'models', asset.name, asset.version);
      const before = tx.get<AssetVersion>(assetTable, key);
      if (!before) return [];
      const properties = structuredClone(before.properties);
      edit(properties, asset);
      const by = { lastModifiedAt: at, lastModifiedBy: call.principal.name, lastModifiedByType: 'Application' as const };
      const after: AssetVersion = { ...before, properties, systemData: { ...before.systemData, ...by } };
      tx.put(assetTable, key, after);
      return [{ ...asset, ...after }];
    }),
  );
}
