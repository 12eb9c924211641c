/** Registered models and their versions in MLflow's words: how the workspace's model assets are shown. */
import type { FoundAsset } from '../assets/types.js';
import { artifactBase } from './experiments.js';
import { addressOf } from './places.js';
import { getRegistered, type Registered } from './registry-store.js';
import { satisfies, type Condition } from './search-filter.js';
import { milliseconds, missing, need, pairs, type MlflowCall } from './wire.js';

export type Properties = Record<string, unknown>;
export const record = (value: unknown): Record<string, string> => (value ?? {}) as Record<string, string>;
export const string = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);
/** Property of the asset that holds what a client said as `run_link`. */
export const runLink = 'mlflow.runLink';

/** The service calls a version that was never moved `Development`; MLflow calls it `None`. */
function stageOf(properties: Properties): string {
  const stage = string(properties['stage']) ?? 'None';
  return stage === 'Development' ? 'None' : stage;
}

/** Clients leave prompts out by `tags.mlflow.prompt.is_prompt != 'true'`, and mean models without that tag. */
export const holds = (actual: string | number | undefined, condition: Condition): boolean =>
  (condition.key === 'mlflow.prompt.is_prompt' && condition.operator === '!=' && actual === undefined) ||
  satisfies(actual, condition);

/** An https address of a model's files; the stored URI when they are not in this workspace's account. */
export function downloadUri(call: MlflowCall, asset: FoundAsset): string {
  const uri = string(asset.properties['modelUri']) ?? '';
  const place = call.ctx.storage.resolve(call.ws, uri);
  const address = place && addressOf(call.ws, place);
  return address === undefined ? uri : `${artifactBase(call)}/${address}`;
}

export function showVersion(call: MlflowCall, asset: FoundAsset): Record<string, unknown> {
  const { properties, systemData } = asset;
  const aliases = Object.entries(getRegistered(call, asset.name)?.aliases ?? {});
  const runId = string(properties['jobName']) ?? record(properties['properties'])['mlflow.runId'];
  return {
    name: asset.name,
    version: asset.version,
    creation_timestamp: milliseconds(systemData.createdAt),
    last_updated_timestamp: milliseconds(systemData.lastModifiedAt ?? systemData.createdAt),
    user_id: systemData.createdBy,
    current_stage: stageOf(properties),
    description: string(properties['description']) ?? '',
    source: downloadUri(call, asset),
    ...(runId === undefined ? {} : { run_id: runId }),
    run_link: record(properties['properties'])[runLink] ?? '',
    status: 'READY',
    tags: pairs(record(properties['tags'])),
    aliases: aliases.filter(([, version]) => version === asset.version).map(([alias]) => alias),
  };
}

export function versionsOf(call: MlflowCall, name: string): FoundAsset[] {
  return (call.ctx.assets.versions(call.ws, 'models', name) ?? []).filter(({ properties }) => properties['isArchived'] !== true);
}

export function findModel(call: MlflowCall, name: string): Registered {
  const own = getRegistered(call, name);
  if (own) return own;
  const [newest] = versionsOf(call, name);
  if (!newest) throw missing(`Registered Model with name=${name} not found`);
  return {
    name: newest.name,
    createdAt: newest.systemData.createdAt,
    updatedAt: newest.systemData.createdAt,
    description: '',
    tags: {},
    aliases: {},
  };
}

export function findVersion(call: MlflowCall): FoundAsset {
  const [name, version] = [need(call.fields, 'name'), need(call.fields, 'version')];
  const found = call.ctx.assets.get(call.ws, 'models', name, version);
  if (!found) throw missing(`Model Version (name=${name}, version=${version}) not found`);
  return found;
}

/** Newest version of each stage, or of those asked for. */
export function latest(call: MlflowCall, name: string, stages: string[] = []): Record<string, unknown>[] {
  const byStage = new Map<string, Record<string, unknown>>();
  for (const asset of versionsOf(call, name)) {
    const shown = showVersion(call, asset);
    const stage = String(shown['current_stage']);
    if (!byStage.has(stage)) byStage.set(stage, shown);
  }
  const wanted = stages.map((stage) => stage.toLowerCase());
  return [...byStage].filter(([stage]) => wanted.length === 0 || wanted.includes(stage.toLowerCase())).map(([, shown]) => shown);
}

export function showModel(call: MlflowCall, model: Registered): Record<string, unknown> {
  return {
    name: model.name,
    creation_timestamp: milliseconds(model.createdAt),
    last_updated_timestamp: milliseconds(versionsOf(call, model.name)[0]?.systemData.createdAt ?? model.updatedAt),
    description: model.description,
    latest_versions: latest(call, model.name),
    tags: pairs(model.tags),
    aliases: Object.entries(model.aliases).map(([alias, version]) => ({ alias, version })),
  };
}
