/** What a promotion would change, from looking at both sides. Writes nothing. */
import { modelDigest, type FileDigest } from './digest.js';
import { factsToKeep, judge, type Gate, type GateFacts, type Metrics } from './gate.js';
import { CHAMPION, digestOfVersion, evaluationDataOf, metricsOf, RECORD, recordsOf, trainingJobOf } from './lineage.js';
import type { ModelReader, ModelVersion, ModelWriter, RegistryWriter, ReleaseStore, Right, RunFacts } from './ports.js';
import { planDigestOf, readPointer, readRecord, type Hop, type Plan, type ReadPointer } from './record.js';
import { Refusal } from './refusal.js';

/** Both sides of a promotion. `target` of hop `use` reads the registry through `source`, so it needs no writer of bytes. */
export interface PromotionPorts {
  source: ModelReader;
  target: ModelWriter | RegistryWriter;
  /** Records and pointers: the target workspace's, or the source workspace's for a registry. */
  store: ReleaseStore;
  /** Writes tags and properties of the version that a record vouches for: the target workspace's, or the source's for a registry. */
  stamp: Pick<ModelWriter, 'place' | 'amend'>;
  /** Metrics of a training job, where the candidate carries none; undefined when this connection cannot read them. */
  jobMetrics(job: string): Promise<Metrics | undefined>;
  inspect(): Promise<Inspection>;
  say(line: string): void;
  now(): number;
}

export interface Inspection {
  conditions: Record<string, string>;
  rights: Right[];
  /** Why it cannot work at all: a registry in another region, for example. */
  problems: string[];
}

export interface PromotionRequest {
  name: string;
  /** Exact, or `latest` when that word was given. */
  version: string;
  targetName: string;
  gate: Gate;
  onNoChampion: 'pass' | 'reject';
  /** `champion`, `latest`, `none` or a version of the target. */
  champion: string;
  metrics?: { metrics: Metrics; from: string };
  run: RunFacts;
}

export interface Planned {
  plan: Plan;
  planDigest: string;
  source: ModelVersion;
  pointer: ReadPointer | undefined;
  /** The world is already as asked. */
  unchanged: boolean;
  /** Digests of the files, when planning had to read the bytes. */
  files?: FileDigest[];
  inspection: Inspection;
  notes: string[];
}

function hopOf(source: ModelReader, target: ModelReader): Hop {
  if (source.place.kind === 'registry') {
    if (target.place.kind === 'registry')
      throw new Refusal('From a registry to a registry nothing is promoted: the service shares models of workspaces only.', {
        code: 'HopUnsupported',
        input: 'targetRegistry',
        advice: 'Give the workspace that the model was registered in as the source.',
      });
    return 'use';
  }
  if (target.place.kind === 'registry') return 'share';
  return sameId(source.place.id, target.place.id) ? 'inPlace' : 'copy';
}

/** ARM ids differ in casing by producer (reference azure-ml-observed §0). */
export function sameId(a: string, b: string): boolean {
  return a.toLowerCase() === b.toLowerCase();
}

/**
 * Looks at both sides and says what would change. Throws `Refusal` for what makes no plan at all: an unknown version, a registry version
 * of that number with other bytes, records that cannot be read.
 */
export async function planPromotion(request: PromotionRequest, ports: PromotionPorts): Promise<Planned> {
  const { source: from, target, store } = ports;
  const hop = hopOf(from, target);
  if (hop === 'inPlace' && request.targetName !== request.name)
    throw new Refusal('A promotion in place moves the champion of a model; it does not rename the model.', {
      code: 'InputInvalid',
      input: 'targetModelName',
      advice: 'Leave targetModelName empty.',
    });
  const notes: string[] = [];
  const source = await findVersion(from, request.name, request.version);
  assertInUse(source, from.place.name, 'modelVersion');
  const inspection = await ports.inspect();
  let files: FileDigest[] | undefined;
  let known = digestOfVersion(source);
  if (known?.from === 'tags') notes.push('The digest of the source was read from its tags: its properties hold none.');
  if (!known) {
    notes.push(`${source.name}:${source.version} carries no digest: it was computed from the bytes.`);
    files = await from.files(source).hash();
    known = { digest: modelDigest(files), from: 'properties' };
  }
  const { digest } = known;
  const pointer = hop === 'share' ? undefined : await readPointer(store, request.targetName);
  const { targetModel, unchanged } = await planTarget(hop, request, ports, source, digest, pointer, notes);
  const gate = await planGate(request, ports, source, pointer, notes);
  const plan: Plan = {
    action: 'promote',
    hop,
    model: {
      id: source.id,
      name: source.name,
      version: source.version,
      type: source.type,
      digest,
      trainingJob: trainingJobOf(source) ?? null,
    },
    source: from.place,
    target: target.place,
    targetModel,
    gate,
    championBefore: pointer?.pointer.champion ?? null,
    recordedAs: hop === 'share' ? source.name : request.targetName,
    movesChampion: hop !== 'share',
    tags: hop === 'copy' ? withoutChampionTag(source.tags) : {},
    conditions: inspection.conditions,
  };
  return { plan, planDigest: planDigestOf(plan), source, pointer, unchanged, ...(files ? { files } : {}), inspection, notes };
}

export function withoutChampionTag(tags: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(tags).filter(([name]) => name !== CHAMPION));
}

/** A record's hash comes to stand on the version while a promotion is under way: the plan must not see its own steps. */
function withoutRecords(properties: Record<string, string>): Record<string, string> {
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !name.startsWith(RECORD)));
}

const inUse = ({ archived }: ModelVersion): boolean => archived !== true;

/** Who archives a version does not want it in production; who promotes it may not know. */
function assertInUse({ name, version, archived }: ModelVersion, where: string, input: string): void {
  if (archived)
    throw new Refusal(`${name}:${version} in ${where} is archived: somebody took it out of use. Nothing was written.`, {
      code: 'ModelArchived',
      input,
      advice: `Restore it (az ml model restore --name ${name} --version ${version}) or promote another version.`,
    });
}

/** An exact version, or the highest number when `latest` was asked for by name. */
async function findVersion(from: ModelReader, name: string, version: string): Promise<ModelVersion> {
  const wanted = version === 'latest' ? newest((await from.versions(name)).filter(inUse)) : await from.version(name, version);
  if (wanted) return wanted;
  const known = (await from.versions(name)).map((model) => model.version).sort((a, b) => Number(b) - Number(a));
  throw new Refusal(
    known.length === 0
      ? `There is no model "${name}" in ${from.place.name}.`
      : `There is no version "${version}" of the model "${name}" in ${from.place.name}.`,
    {
      code: 'ModelNotFound',
      input: known.length === 0 ? 'modelName' : 'modelVersion',
      advice:
        known.length === 0
          ? 'Register it first (RegisterModel), or correct the name.'
          : `It has ${known.slice(0, 10).join(', ')}.`,
    },
  );
}

/** Numbers by value, not as text: 11 comes after 9. */
export function newest(versions: readonly ModelVersion[]): ModelVersion | undefined {
  return [...versions].filter((model) => /^\d+$/.test(model.version)).sort((a, b) => Number(b.version) - Number(a.version))[0];
}

async function planTarget(
  hop: Hop,
  request: PromotionRequest,
  ports: PromotionPorts,
  source: ModelVersion,
  digest: string,
  pointer: ReadPointer | undefined,
  notes: string[],
): Promise<{ targetModel: Plan['targetModel']; unchanged: boolean }> {
  const { target } = ports;
  const named = pointer?.pointer.champion;
  if (hop === 'use' || hop === 'inPlace') {
    const targetModel = { id: source.id, name: source.name, version: source.version };
    return { targetModel, unchanged: named !== undefined && sameId(named.modelId, source.id) && named.digest === digest };
  }
  if (hop === 'share') {
    const targetModel = {
      id: `${target.place.id}/models/${request.targetName}/versions/${source.version}`,
      name: request.targetName,
      version: source.version,
    };
    const there = await target.version(request.targetName, source.version);
    if (!there) return { targetModel, unchanged: false };
    const have = digestOfVersion(there)?.digest ?? modelDigest(await target.files(there).hash());
    if (have !== digest)
      throw new Refusal(
        `The registry ${target.place.name} has a version ${source.version} of "${request.targetName}" already, with other bytes (${have}, not ${digest}).`,
        {
          code: 'VersionTaken',
          input: 'targetModelName',
          advice: 'A registry version never changes. Register the model again for a new version, or share it under another name.',
        },
      );
    const recorded = await sharedBefore(ports, source, there.id, digest);
    if (!recorded) notes.push('The registry has this version already, with the same bytes; only its record is missing.');
    return { targetModel: { ...targetModel, id: there.id }, unchanged: recorded };
  }
  const same = (await target.versions(request.targetName)).filter((model) => digestOfVersion(model)?.digest === digest);
  const kept = named && same.find((model) => sameId(model.id, named.modelId));
  const existing = kept ?? newest(same.filter(inUse)) ?? newest(same);
  if (existing) assertInUse(existing, target.place.name, 'targetModelName');
  const version = existing?.version ?? (await (target as ModelWriter).nextVersion(request.targetName));
  const id = existing?.id ?? `${target.place.id}/models/${request.targetName}/versions/${version}`;
  return { targetModel: { id, name: request.targetName, version }, unchanged: kept !== undefined };
}

async function sharedBefore(ports: PromotionPorts, source: ModelVersion, targetId: string, digest: string): Promise<boolean> {
  for (const number of recordsOf(source).keys()) {
    const stored = await readRecord(ports.store, source.name, number);
    const plan = stored?.record.predicate;
    if (plan?.hop === 'share' && sameId(plan.targetModel.id, targetId) && plan.digest === digest) return true;
  }
  return false;
}

/** The gate's facts: candidate, champion of the target, and the verdict over them. */
async function planGate(
  request: PromotionRequest,
  ports: PromotionPorts,
  source: ModelVersion,
  pointer: ReadPointer | undefined,
  notes: string[],
): Promise<Plan['gate']> {
  const asksChampion = request.gate.conditions.some((condition) => condition.usesChampion);
  const champion = asksChampion ? await championFacts(request, ports, source, pointer) : null;
  const job = trainingJobOf(source);
  let own = request.metrics ?? metricsOf(source);
  if (!own && request.gate.conditions.length > 0 && job) {
    const metrics = await ports.jobMetrics(job);
    if (metrics) own = { metrics, from: `job ${job}` };
  }
  if (own && request.gate.conditions.length > 0) notes.push(`Metrics of the candidate: ${'from' in own ? own.from : ''}.`);
  const candidateData = evaluationDataOf(source);
  const facts: GateFacts = {
    metrics: own?.metrics ?? {},
    metricsFrom: own?.from ?? `nothing: ${source.name}:${source.version} carries no metrics`,
    champion: champion && { label: champion.label, metrics: champion.metrics, metricsFrom: champion.metricsFrom },
    evaluationData: {
      ...(candidateData ? { candidate: candidateData } : {}),
      ...(champion?.data ? { champion: champion.data } : {}),
    },
    model: {
      name: source.name,
      version: source.version,
      type: source.type,
      stage: source.stage ?? '',
      tags: withoutChampionTag(source.tags),
      properties: withoutRecords(source.properties),
    },
    job: { name: job ?? '' },
    build: { ...request.run },
  };
  const kept = factsToKeep(request.gate, facts);
  const verdict = judge(request.gate, kept, request);
  return {
    text: request.gate.text,
    onNoChampion: request.onNoChampion,
    champion: request.champion,
    facts: kept,
    // Over all the facts the words of a rejection can also say which metrics there are; a rejected plan is never recorded.
    verdict: verdict.verdict === 'rejected' ? judge(request.gate, facts, request) : verdict,
  };
}

interface ChampionFacts {
  label: string;
  metrics: Metrics;
  metricsFrom: string;
  data?: string;
}

/** Who the candidate is compared with, and what it measured; null when there is nobody. */
export async function championFacts(
  request: Pick<PromotionRequest, 'champion' | 'targetName'>,
  ports: Pick<PromotionPorts, 'target' | 'store'>,
  source: ModelVersion | undefined,
  pointer: ReadPointer | undefined,
): Promise<ChampionFacts | null> {
  const { target, store } = ports;
  if (request.champion === 'none') return null;
  if (request.champion === 'champion') {
    if (!pointer) return null;
    const { champion } = pointer.pointer;
    const model = await target.byId(champion.modelId);
    return describe(model, `champion ${champion.name}:${champion.version}`, async () => {
      const stored = await readRecord(store, request.targetName, champion.record.number);
      return stored?.record.predicate.gate?.facts.metrics;
    });
  }
  if (request.champion === 'latest') {
    const others = (await target.versions(request.targetName)).filter(
      (model) => inUse(model) && (!source || !sameId(model.id, source.id)),
    );
    const model = newest(others);
    return model ? describe(model, `latest ${model.name}:${model.version}`) : null;
  }
  const model = await findVersion(target, request.targetName, request.champion);
  return describe(model, `${model.name}:${model.version}`);
}

async function describe(
  model: ModelVersion | undefined,
  label: string,
  recorded?: () => Promise<Metrics | undefined>,
): Promise<ChampionFacts> {
  const own = model && metricsOf(model);
  const metrics = own?.metrics ?? (await recorded?.());
  const data = model && evaluationDataOf(model);
  return {
    label,
    metrics: metrics ?? {},
    metricsFrom:
      own?.from ??
      (metrics ? 'the record of its promotion' : model ? `${label}, which carries no metrics` : `${label}, which is gone`),
    ...(data ? { data } : {}),
  };
}
