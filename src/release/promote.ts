/**
 * Applies a plan as a sequence of steps that can be cut off anywhere and run again (docs/release.md, "All or nothing"):
 * bytes, version, record, its hash on the version, tags, and last of all the pointer.
 */
import { modelDigest, sortFiles, type FileDigest } from './digest.js';
import {
  CHAMPION,
  DIGEST,
  digestOfVersion,
  EVALUATION_DATA,
  evaluationDataOf,
  metricsEntries,
  metricsOf,
  PROMOTED_FROM,
  recordProperty,
  TRAINING_JOB,
  trainingJobOf,
} from './lineage.js';
import { older } from './applicable.js';
import { sameId, withoutChampionTag, type Planned, type PromotionPorts } from './plan.js';
import type { ApprovalFacts, ModelWriter, RegistryWriter, RunFacts } from './ports.js';
import {
  pointerPath,
  readPointer,
  readRecord,
  recordBytes,
  recordNumbers,
  recordPath,
  sha256Line,
  statement,
  type ChampionRef,
  type Plan,
  type Pointer,
  type Predicate,
  type RecordRef,
  type StoredRecord,
} from './record.js';
import { canonicalJson, sha256Hex } from './canonical.js';
import { Refusal } from './refusal.js';

interface ApplyOptions {
  run: RunFacts;
  approvals: ApprovalFacts;
  onRejected: 'fail' | 'warn';
  requireApproval: boolean;
  /** Told the record before the pointer moves: run tags, attachment. Must not throw for what is only nice to have. */
  announce?(record: StoredRecord): Promise<void>;
}

export interface Applied {
  record: StoredRecord;
  /** Digests of the files that are there now, read from the bytes. */
  files: FileDigest[];
}

/**
 * Makes the plan true. Every step finds out what is there and does the rest, so a run that was cut off is completed by running it again.
 * Throws `Refusal` when the bytes are not what the plan says, or when somebody else moved the champion meanwhile.
 */
export async function applyPlan(planned: Planned, ports: PromotionPorts, options: ApplyOptions): Promise<Applied> {
  const { plan } = planned;
  const files = sortFiles(await ensureBytesAndVersion(planned, ports));
  const record = await ensureRecord(planned, ports, options, files);
  ports.say(`Record ${recordPath(plan.recordedAs, record.ref.number)} in ${ports.store.place.name}, sha256:${record.ref.sha256}`);
  const own = stamped(plan, ports);
  const mirror = plan.movesChampion ? { [CHAMPION]: 'true' } : {};
  if (own)
    await ports.stamp.amend(own.name, own.version, {
      properties: recordProperty(record.ref.number, record.ref.sha256),
      tags: mirror,
    });
  if (plan.movesChampion) await dethrone(plan.championBefore, plan, ports);
  await options.announce?.(record);
  if (plan.movesChampion) await movePointer(planned, ports, options.run, record.ref);
  return { record, files };
}

/** The version that vouches for the record: the workspace's own. A registry version is never written to. */
function stamped(plan: Plan, ports: PromotionPorts): { name: string; version: string } | undefined {
  const model = plan.hop === 'share' ? plan.model : plan.targetModel;
  return isOf(model.id, ports.stamp.place.id) ? { name: model.name, version: model.version } : undefined;
}

function isOf(modelId: string, placeId: string): boolean {
  return modelId.toLowerCase().startsWith(`${placeId.toLowerCase()}/models/`);
}

async function dethrone(champion: ChampionRef | null, plan: Plan, ports: PromotionPorts): Promise<void> {
  if (!champion || sameId(champion.modelId, plan.targetModel.id) || !isOf(champion.modelId, ports.stamp.place.id)) return;
  await ports.stamp.amend(champion.name, champion.version, { tags: { [CHAMPION]: 'false' } });
}

async function ensureBytesAndVersion(planned: Planned, ports: PromotionPorts): Promise<FileDigest[]> {
  const { plan, source } = planned;
  const { digest } = plan.model;
  if (plan.hop === 'copy') return copy(planned, ports);
  const files = planned.files ?? (await ports.source.files(source).hash());
  assertDigest(files, digest, `${source.name}:${source.version} in ${ports.source.place.name}`);
  if (plan.hop !== 'share') return files;
  const target = ports.target as RegistryWriter;
  const { name, version } = plan.targetModel;
  if (!(await target.version(name, version))) {
    ports.say(`Sharing ${source.name}:${source.version} with the registry ${target.place.name}`);
    await target.share(source, name, version);
  }
  const there = await target.version(name, version);
  if (!there)
    throw new Refusal(`The registry ${target.place.name} says it has taken ${name}:${version}, and does not have it.`, {
      code: 'ShareIncomplete',
      advice: 'Run this again.',
    });
  const shared = await target.files(there).hash();
  assertDigest(shared, digest, `${name}:${version} in the registry ${target.place.name}`);
  const kept = digestOfVersion(there);
  ports.say(
    kept?.from === 'properties'
      ? 'The registry version kept its properties.'
      : `The registry version did not keep its properties: its digest and metrics are ${kept ? 'in its tags' : 'not there; give metricsFile where it is judged'}.`,
  );
  return shared;
}

async function copy(planned: Planned, ports: PromotionPorts): Promise<FileDigest[]> {
  const { plan, source } = planned;
  const target = ports.target as ModelWriter;
  const { name, version } = plan.targetModel;
  const { digest } = plan.model;
  const staged = await target.stage(name, digest, ports.source.files(source));
  try {
    assertDigest(staged.files, digest, `what was read of ${source.name}:${source.version} in ${ports.source.place.name}`);
  } catch (error) {
    await target.unstage(name, digest);
    throw error;
  }
  const metrics = metricsOf(source)?.metrics ?? planned.plan.gate?.facts.metrics;
  const snapshot = metrics ? metricsEntries(metrics) : {};
  const job = trainingJobOf(source);
  const data = evaluationDataOf(source);
  const vital = { [DIGEST]: digest, ...snapshot, ...(data ? { [EVALUATION_DATA]: data } : {}) };
  const outcome = await target.create(name, version, {
    uri: staged.uri,
    type: source.type,
    ...(source.description ? { description: source.description } : {}),
    ...(source.flavors ? { flavors: source.flavors } : {}),
    tags: { ...withoutChampionTag(source.tags), ...vital },
    properties: { ...vital, ...(job ? { [TRAINING_JOB]: job } : {}), [PROMOTED_FROM]: source.id },
  });
  if (outcome === 'taken')
    throw new Refusal(`Version ${version} of "${name}" was taken by another run meanwhile. No champion was changed.`, {
      code: 'VersionTaken',
      advice: 'Run this again: the bytes are there already.',
    });
  if (outcome === 'created') ports.say(`Registered ${name}:${version} in ${target.place.name}`);
  return staged.files;
}

function assertDigest(files: readonly FileDigest[], digest: string, what: string): void {
  const found = modelDigest(files);
  if (found !== digest)
    throw new Refusal(`The bytes are not the ones that were registered: ${what} has ${found}, not ${digest}.`, {
      code: 'DigestMismatch',
      advice: 'The files in storage were changed after registration. Register the model again.',
    });
}

/** The head of the chain when it is ours and unfinished; else a new record behind it, which marks unfinished ones of others abandoned. */
async function ensureRecord(
  planned: Planned,
  ports: PromotionPorts,
  options: ApplyOptions,
  files: FileDigest[],
): Promise<StoredRecord> {
  const { store } = ports;
  const model = planned.plan.recordedAs;
  for (let attempt = 0; attempt < 50; attempt++) {
    const numbers = await recordNumbers(store, model);
    const last = numbers.at(-1);
    const head = last === undefined ? undefined : await readRecord(store, model, last);
    if (head && adoptable(head, planned, options.run)) {
      await ensureShaFile(store, model, head.ref);
      ports.say(`Record ${head.ref.number} of an earlier attempt is completed.`);
      return head;
    }
    if (head) await ensureShaFile(store, model, head.ref);
    const number = (last ?? 0) + 1;
    const record = statement(
      {
        ...planned.plan,
        schemaVersion: 1,
        number,
        recordedAt: new Date(ports.now()).toISOString(),
        digest: planned.plan.model.digest,
        planDigest: planned.planDigest,
        onRejected: options.onRejected,
        requireApproval: options.requireApproval,
        approvals: options.approvals.approvals.length > 0 ? options.approvals.approvals : 'none found',
        approvalsReason: options.approvals.readable ? null : (options.approvals.reason ?? 'they could not be read'),
        build: runOnly(options.run),
        previousRecord: head?.ref ?? null,
        abandons: await abandoned(numbers, planned, ports),
      } satisfies Predicate,
      files,
    );
    const bytes = recordBytes(record);
    const written = await store.write(recordPath(model, number), bytes, { ifNoneMatch: '*' });
    const stored = { record, bytes, ref: { number, sha256: sha256Hex(bytes) } };
    // A reply may be lost after the write: what stands there decides, not the answer.
    if (!written && !(await store.read(recordPath(model, number)))?.bytes.equals(bytes)) continue;
    await ensureShaFile(store, model, stored.ref);
    return stored;
  }
  throw new Refusal(`Other runs keep writing records of "${model}" in ${store.place.name}.`, {
    code: 'Busy',
    advice: 'Run this again.',
  });
}

/** Only what a record says of a run: nothing secret can slip in with a wider object. */
export function runOnly(run: RunFacts): RunFacts {
  const { collectionUri, organization, project, pipeline, definitionId, runId, runNumber, runUrl } = run;
  const { stage, stageAttempt, job, repository, branch, commit, requestedBy } = run;
  return {
    collectionUri,
    organization,
    project,
    pipeline,
    definitionId,
    runId,
    runNumber,
    runUrl,
    stage,
    stageAttempt,
    job,
    repository,
    branch,
    commit,
    requestedBy,
  };
}

function adoptable(head: StoredRecord, planned: Planned, run: RunFacts): boolean {
  const { predicate } = head.record;
  if (predicate.planDigest !== planned.planDigest || predicate.targetModel.id !== planned.plan.targetModel.id) return false;
  if (planned.plan.hop === 'share') return true;
  if (planned.pointer?.pointer.champion.record.number === head.ref.number) return false;
  return predicate.build.runId === run.runId && predicate.build.organization === run.organization;
}

/** Records behind the one the pointer names that were to move it and did not. */
async function abandoned(numbers: number[], planned: Planned, ports: PromotionPorts): Promise<RecordRef[]> {
  if (!planned.plan.movesChampion) return [];
  const named = planned.pointer?.pointer.champion.record.number ?? 0;
  const refs: RecordRef[] = [];
  for (const number of numbers.filter((candidate) => candidate > named)) {
    const stored = await readRecord(ports.store, planned.plan.recordedAs, number);
    if (stored?.record.predicate.movesChampion) refs.push(stored.ref);
  }
  return refs;
}

async function ensureShaFile(store: PromotionPorts['store'], model: string, ref: RecordRef): Promise<void> {
  const path = `${recordPath(model, ref.number)}.sha256`;
  if (await store.read(path)) return;
  await store.write(path, Buffer.from(sha256Line(ref.sha256, ref.number)), { ifNoneMatch: '*' });
}

async function movePointer(planned: Planned, ports: PromotionPorts, run: RunFacts, record: RecordRef): Promise<void> {
  const { plan, pointer: before } = planned;
  const model = plan.recordedAs;
  const { id: modelId, name, version } = plan.targetModel;
  const was = before?.pointer.newestRun;
  const newestRun =
    was && was.organization === run.organization && older(run.runId, was.runId)
      ? was
      : { organization: run.organization, runId: run.runId };
  const pointer: Pointer = {
    schemaVersion: 1,
    model,
    champion: { modelId, name, version, digest: plan.model.digest, record },
    since: new Date(ports.now()).toISOString(),
    run: { organization: run.organization, runId: run.runId, runUrl: run.runUrl },
    newestRun,
  };
  const condition = before ? { ifMatch: before.etag } : { ifNoneMatch: '*' as const };
  if (await ports.store.write(pointerPath(model), Buffer.from(canonicalJson(pointer)), condition)) return;
  const now = await readPointer(ports.store, model);
  if (now?.pointer.champion.record.sha256 === record.sha256) return; // our own write, whose answer was lost
  if (now) await remirror(now.pointer.champion, plan, ports);
  throw new Refusal(
    `Another run moved the champion of "${model}" in ${ports.store.place.name} meanwhile${now ? ` (now ${now.pointer.champion.name}:${now.pointer.champion.version}, by run ${now.pointer.run.runId})` : ''}. This one did not win.`,
    { code: 'ChampionMoved', advice: 'Make a new plan against the new champion.' },
  );
}

/** Tags follow the pointer; whoever did not win puts them right. */
async function remirror(champion: ChampionRef, plan: Plan, ports: PromotionPorts): Promise<void> {
  const { place } = ports.stamp;
  if (isOf(champion.modelId, place.id))
    await ports.stamp.amend(champion.name, champion.version, { tags: { [CHAMPION]: 'true' } });
  if (!sameId(plan.targetModel.id, champion.modelId) && isOf(plan.targetModel.id, place.id))
    await ports.stamp.amend(plan.targetModel.name, plan.targetModel.version, { tags: { [CHAMPION]: 'false' } });
}
