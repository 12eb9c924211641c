/** What only MLflow knows of a registered model: that it exists without a version, its own description and tags, aliases. */
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
