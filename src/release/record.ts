/** Promotion records: in-toto statements in canonical JSON, chained by SHA-256, and the champion pointer (design §6). */
import { canonicalJson, digestOf, sha256Hex } from './canonical.js';
import type { FileDigest } from './digest.js';
import type { GateFacts, Verdict } from './gate.js';
import { recordName } from './lineage.js';
import type { ApprovalFacts, Place, ReleaseStore, RunFacts } from './ports.js';
import { Refusal } from './refusal.js';

export const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
export const PREDICATE_TYPE = 'urn:amlops:promotion-record:v1';
export type Hop = 'share' | 'use' | 'copy' | 'inPlace';

/** One model version as a champion; `record` is the record that made it so. */
export interface ChampionRef {
  modelId: string;
  name: string;
  version: string;
  digest: string;
  record: RecordRef;
}

/** `m:3 of registry shared`, `m:3 of workspace prod`: version numbers alone do not tell the two apart. */
export function placedName({ id, name, version }: { id: string; name: string; version: string }): string {
  const registry = /^azureml:\/\/registries\/([^/]+)\//i.exec(id)?.[1];
  const workspace = /\/workspaces\/([^/]+)\//i.exec(id)?.[1];
  const place = registry ? ` of registry ${registry}` : workspace ? ` of workspace ${workspace}` : '';
  return `${name}:${version}${place}`;
}

export interface RecordRef {
  number: number;
  sha256: string;
}

export interface Pointer {
  schemaVersion: 1;
  model: string;
  champion: ChampionRef;
  since: string;
  /** The run that moved it last. */
  run: { organization: string; runId: string; runUrl: string };
  /** The newest run that ever moved it: an older one that promotes is stale. */
  newestRun: { organization: string; runId: string };
}

/** What would change, and why it may: the part that `planDigest` speaks of. The same whenever the world is the same. */
export interface Plan {
  action: 'promote' | 'rollback';
  hop: Hop;
  model: { id: string; name: string; version: string; type: string; digest: string; trainingJob: string | null };
  source: Place;
  target: Place;
  targetModel: { id: string; name: string; version: string };
  /** null: no gate was asked for (rollback). */
  gate: { text: string; onNoChampion: 'pass' | 'reject'; champion: string; facts: GateFacts; verdict: Verdict } | null;
  championBefore: ChampionRef | null;
  /** Name that the records and the champion stand under. */
  recordedAs: string;
  /** Whether the champion moves (not for a registry target). */
  movesChampion: boolean;
  tags: Record<string, string>;
  /** Network and storage facts of both sides: `source.location`, `target.storage`, … */
  conditions: Record<string, string>;
}

export const PLAN_KEYS = [
  'action',
  'hop',
  'model',
  'source',
  'target',
  'targetModel',
  'gate',
  'championBefore',
  'recordedAs',
  'movesChampion',
  'tags',
  'conditions',
] as const satisfies readonly (keyof Plan)[];

export interface Predicate extends Plan {
  schemaVersion: 1;
  number: number;
  recordedAt: string;
  digest: string;
  planDigest: string;
  onRejected: 'fail' | 'warn';
  requireApproval: boolean;
  /** `none found` when nothing was found or approvals could not be read (then `approvalsReason` says why). */
  approvals: ApprovalFacts['approvals'] | 'none found';
  approvalsReason: string | null;
  build: RunFacts;
  previousRecord: RecordRef | null;
  /** Earlier records that never came to move the pointer. */
  abandons: RecordRef[];
}

export interface PromotionRecord {
  _type: typeof STATEMENT_TYPE;
  subject: { name: string; digest: { sha256: string }; annotations: { size: number } }[];
  predicateType: typeof PREDICATE_TYPE;
  predicate: Predicate;
}

/** `sha256:…` over the plan's canonical JSON. */
export function planDigestOf(plan: Plan): string {
  return digestOf(Object.fromEntries(PLAN_KEYS.map((key) => [key, plan[key]])));
}

export function statement(predicate: Predicate, files: readonly FileDigest[]): PromotionRecord {
  return {
    _type: STATEMENT_TYPE,
    subject: files.map(({ path, size, sha256 }) => ({ name: path, digest: { sha256 }, annotations: { size } })),
    predicateType: PREDICATE_TYPE,
    predicate,
  };
}

export function filesOf(record: PromotionRecord): FileDigest[] {
  return record.subject.map(({ name, digest, annotations }) => ({ path: name, size: annotations.size, sha256: digest.sha256 }));
}

/** Folder of a model's records; model names hold no slash (reference azure-ml-rest §0). */
export const recordsFolder = (model: string) => `amlops/records/${model}/`;
export const recordPath = (model: string, number: number) => `${recordsFolder(model)}${recordName(number)}.json`;
export const pointerPath = (model: string) => `amlops/champions/${model}.json`;

/** Line of a `.sha256` file, as `sha256sum -c` reads it. */
export const sha256Line = (sha256: string, number: number) => `${sha256}  ${recordName(number)}.json\n`;

export interface StoredRecord {
  record: PromotionRecord;
  ref: RecordRef;
  bytes: Buffer;
}

/** Numbers of the records there are, ascending. */
export async function recordNumbers(store: ReleaseStore, model: string): Promise<number[]> {
  const folder = recordsFolder(model);
  const names = await store.list(folder);
  return names
    .flatMap((name) => /^(\d{6,})\.json$/.exec(name.slice(folder.length))?.[1] ?? [])
    .map(Number)
    .sort((a, b) => a - b);
}

/** Reads one record. Throws `Refusal` (`RecordUnreadable`) when it is not one. */
export async function readRecord(store: ReleaseStore, model: string, number: number): Promise<StoredRecord | undefined> {
  const path = recordPath(model, number);
  const found = await store.read(path);
  if (!found) return undefined;
  try {
    const record = JSON.parse(found.bytes.toString('utf8')) as PromotionRecord;
    if (record.predicateType !== PREDICATE_TYPE) throw new Error(`its predicateType is ${JSON.stringify(record.predicateType)}`);
    return { record, bytes: found.bytes, ref: { number, sha256: sha256Hex(found.bytes) } };
  } catch (error) {
    throw new Refusal(`${path} in ${store.place.name} is no promotion record: ${(error as Error).message}`, {
      code: 'RecordUnreadable',
      advice: 'Fetch the records with `amlops records` and look with `amlops verify`. Nothing was written.',
      cause: error,
    });
  }
}

export interface ReadPointer {
  pointer: Pointer;
  etag: string;
}

/** The champion pointer; undefined when the model has no champion. Throws `Refusal` (`PointerUnreadable`). */
export async function readPointer(store: ReleaseStore, model: string): Promise<ReadPointer | undefined> {
  const found = await store.read(pointerPath(model));
  if (!found) return undefined;
  try {
    const pointer = JSON.parse(found.bytes.toString('utf8')) as Pointer;
    if (pointer.schemaVersion !== 1 || typeof pointer.champion.modelId !== 'string') throw new Error('it has another form');
    return { pointer, etag: found.etag };
  } catch (error) {
    throw new Refusal(`${pointerPath(model)} in ${store.place.name} is no champion pointer: ${(error as Error).message}`, {
      code: 'PointerUnreadable',
      cause: error,
    });
  }
}

export function recordBytes(record: PromotionRecord): Buffer {
  return Buffer.from(canonicalJson(record), 'utf8');
}

/**
 * Champions as they followed each other, oldest first, along the records that pointers really named (an abandoned record is not among
 * them). A rollback takes off what stood above the version it went back to: the last but one is what "previous" means.
 */
export async function championStack(store: ReleaseStore, model: string, pointer: Pointer): Promise<ChampionRef[]> {
  const history: { champion: ChampionRef; action: 'promote' | 'rollback' }[] = [];
  let next: ChampionRef | null = pointer.champion;
  while (next && history.length < 10_000) {
    const champion: ChampionRef = next;
    const stored = await readRecord(store, model, champion.record.number);
    if (!stored) break; // records before this one are gone: history begins here
    history.unshift({ champion, action: stored.record.predicate.action });
    next = stored.record.predicate.championBefore;
  }
  const stack: ChampionRef[] = [];
  for (const { champion, action } of history) {
    const at = stack.findLastIndex((entry) => entry.modelId === champion.modelId);
    if (action === 'rollback' && at >= 0) stack.splice(at);
    stack.push(champion);
  }
  return stack;
}
