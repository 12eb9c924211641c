/** A world of workspaces and registries in memory that the release domain works on, with seeded crashes, lost replies and interleavings. */
import { createHash } from 'node:crypto';
import { modelDigest, type FileDigest } from '../../src/release/digest.js';
import type { Metrics } from '../../src/release/gate.js';
import type { PromotionPorts } from '../../src/release/plan.js';
import type {
  ModelFiles,
  ModelVersion,
  ModelWriter,
  Place,
  RegistryWriter,
  ReleaseStore,
  RunFacts,
} from '../../src/release/ports.js';
import { verifyRecords } from '../../src/release/verify.js';

export class Crash extends Error {}

/** xorshift: the same seed gives the same schedule. */
export function random(seed: number): () => number {
  let state = (seed * 2654435761) >>> 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

/** Decides what happens at each write: nothing, death before or after it, or an answer that is lost. */
export interface Schedule {
  write(): 'ok' | 'dieBefore' | 'dieAfter' | 'loseReply';
  /** Lets others go first. */
  pause(): Promise<void>;
}

export const calm: Schedule = { write: () => 'ok', pause: () => Promise.resolve() };

interface Blob {
  bytes: Buffer;
  etag: string;
}

export class MemoryPlace {
  readonly models = new Map<string, ModelVersion>();
  readonly blobs = new Map<string, Blob>();
  writes: string[] = [];
  private etags = 0;
  constructor(readonly place: Place) {}

  put(name: string, bytes: Buffer): string {
    const etag = `"${++this.etags}"`;
    this.blobs.set(name, { bytes, etag });
    return etag;
  }

  /** A version with these files, as RegisterModel would leave it. */
  seed(name: string, version: string, files: Record<string, string>, metrics?: Metrics): ModelVersion {
    const folder = `jobs/${name}/${version}/`;
    for (const [path, text] of Object.entries(files)) this.put(folder + path, Buffer.from(text));
    const digest = modelDigest(Object.entries(files).map(([path, text]) => fileDigest(path, Buffer.from(text))));
    const model: ModelVersion = {
      id: `${this.place.id}/models/${name}/versions/${version}`,
      name,
      version,
      type: 'custom_model',
      uri: folder,
      jobName: `job-${version}`,
      tags: {},
      properties: { 'amlops.digest': digest, ...(metrics ? { 'amlops.metrics': JSON.stringify(metrics) } : {}) },
    };
    this.models.set(`${name}:${version}`, model);
    return model;
  }
}

export function fileDigest(path: string, bytes: Buffer): FileDigest {
  return { path, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
}

export class MemoryWorld {
  readonly places = new Map<string, MemoryPlace>();
  time = Date.parse('2026-01-01T00:00:00Z');

  workspace(name: string, location = 'westeurope'): MemoryPlace {
    return this.add({
      kind: 'workspace',
      id: `/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/${name}`,
      name,
      location,
    });
  }
  registry(name: string): MemoryPlace {
    return this.add({ kind: 'registry', id: `azureml://registries/${name}`, name });
  }
  private add(place: Place): MemoryPlace {
    const made = new MemoryPlace(place);
    this.places.set(place.id, made);
    return made;
  }

  ports(source: MemoryPlace, target: MemoryPlace, schedule: Schedule = calm): PromotionPorts {
    const home = target.place.kind === 'registry' ? source : target;
    return {
      source: this.models(source, schedule),
      target: this.models(target, schedule),
      store: store(home, schedule),
      stamp: this.models(home, schedule),
      jobMetrics: () => Promise.resolve(undefined),
      inspect: () => Promise.resolve({ conditions: {}, rights: [], problems: [] }),
      say: () => undefined,
      now: () => (this.time += 1000),
    };
  }

  models(at: MemoryPlace, schedule: Schedule): ModelWriter & RegistryWriter {
    const find = (id: string) =>
      [...this.places.values()].flatMap((place) => [...place.models.values()]).find((model) => model.id === id);
    const home = (model: ModelVersion) =>
      [...this.places.values()].find((place) => place.models.get(`${model.name}:${model.version}`)?.id === model.id)!;
    const files = (model: ModelVersion): ModelFiles & { read(): [string, Buffer][] } => {
      const read = () =>
        [...home(model).blobs]
          .filter(([name]) => name.startsWith(model.uri))
          .map(([name, { bytes }]) => [name.slice(model.uri.length), bytes] as [string, Buffer]);
      return {
        read,
        list: () => Promise.resolve(read().map(([path, bytes]) => ({ path, size: bytes.length }))),
        hash: () => Promise.resolve(read().map(([path, bytes]) => fileDigest(path, bytes))),
      };
    };
    const write = <T>(what: string, effect: () => T) => step(at, schedule, what, effect);
    return {
      place: at.place,
      version: async (name, version) => (await schedule.pause(), structuredClone(at.models.get(`${name}:${version}`))),
      versions: async (name) => (
        await schedule.pause(),
        structuredClone([...at.models.values()].filter((model) => model.name === name))
      ),
      byId: async (id) => (await schedule.pause(), structuredClone(find(id))),
      files,
      nextVersion: (name) =>
        Promise.resolve(
          String(Math.max(0, ...[...at.models.values()].filter((m) => m.name === name).map((m) => Number(m.version))) + 1),
        ),
      create: async (name, version, body) => {
        await schedule.pause();
        return write(`create ${name}:${version}`, () => {
          const there = at.models.get(`${name}:${version}`);
          if (there) return there.uri === body.uri ? 'same' : 'taken';
          at.models.set(`${name}:${version}`, {
            id: `${at.place.id}/models/${name}/versions/${version}`,
            name,
            version,
            ...structuredClone(body),
          });
          return 'created';
        });
      },
      amend: async (name, version, change) => {
        await schedule.pause();
        await write(`amend ${name}:${version}`, () => {
          const model = at.models.get(`${name}:${version}`)!;
          Object.assign(model.tags, change.tags);
          Object.assign(model.properties, change.properties);
        });
      },
      stage: async (name, digest, from) => {
        const uri = `amlops/models/${name}/${digest.slice(7)}/`;
        const source = (from as ReturnType<typeof files>).read();
        for (const [path, bytes] of source)
          if (!at.blobs.get(uri + path)?.bytes.equals(bytes)) await write(`blob ${path}`, () => void at.put(uri + path, bytes));
        for (const blob of [...at.blobs.keys()])
          if (blob.startsWith(uri) && !source.some(([path]) => uri + path === blob))
            await write(`delete ${blob}`, () => at.blobs.delete(blob));
        return { uri, files: source.map(([path, bytes]) => fileDigest(path, bytes)) };
      },
      unstage: async (name, digest) => {
        for (const blob of [...at.blobs.keys()])
          if (blob.startsWith(`amlops/models/${name}/${digest.slice(7)}/`))
            await write(`delete ${blob}`, () => at.blobs.delete(blob));
      },
      share: async (model, name, version) => {
        await write(`share ${name}:${version}`, () => {
          const uri = `assets/${name}/${version}/`;
          for (const [path, bytes] of files(model).read()) at.put(uri + path, bytes);
          const { tags, properties, type } = structuredClone(model);
          at.models.set(`${name}:${version}`, {
            id: `${at.place.id}/models/${name}/versions/${version}`,
            name,
            version,
            type,
            uri,
            tags,
            properties,
          });
        });
      },
    };
  }
}

function store(at: MemoryPlace, schedule: Schedule): ReleaseStore {
  return {
    place: at.place,
    read: async (name) => (await schedule.pause(), at.blobs.get(name)),
    list: async (prefix) => (await schedule.pause(), [...at.blobs.keys()].filter((name) => name.startsWith(prefix))),
    write: async (name, bytes, condition) => {
      await schedule.pause();
      const there = at.blobs.get(name);
      if ('ifNoneMatch' in condition ? there : there?.etag !== condition.ifMatch) return undefined;
      return step(at, schedule, `store ${name}`, () => ({ etag: at.put(name, Buffer.from(bytes)) }), undefined);
    },
  };
}

/** `lost`: what the caller hears when the answer is lost and the retry finds its condition not met; without it losing an answer is death. */
async function step<T>(
  at: MemoryPlace,
  schedule: Schedule,
  what: string,
  effect: () => T,
  ...lost: T[] | [undefined]
): Promise<T> {
  const fate = schedule.write();
  if (fate === 'dieBefore') throw new Crash(`before ${what}`);
  const result = effect();
  at.writes.push(what);
  if (fate === 'dieAfter' || (fate === 'loseReply' && lost.length === 0)) throw new Crash(`after ${what}`);
  await schedule.pause();
  return fate === 'loseReply' ? (lost[0] as T) : result;
}

/** What must hold at the end of every schedule: records verify, and nothing lies about. Gives the champion's version id. */
export function settled(home: MemoryPlace, model: string): { champion: string | undefined; records: number; problems: string[] } {
  const folder = `amlops/records/${model}/`;
  const files = new Map(
    [...home.blobs].filter(([name]) => name.startsWith(folder)).map(([name, { bytes }]) => [name.slice(folder.length), bytes]),
  );
  const { records, problems } = files.size > 0 ? verifyRecords(files) : { records: [], problems: [] };
  const pointer = home.blobs.get(`amlops/champions/${model}.json`);
  const champion = pointer && (JSON.parse(pointer.bytes.toString()) as { champion: { modelId: string } }).champion.modelId;
  return { champion, records: records.length, problems: problems.map(({ file, message }) => `${file} ${message}`) };
}

/** What is known of run `runId`; `more` where a test looks at it. */
export const runFacts = (runId: string, more: Partial<RunFacts> = {}): RunFacts => ({
  collectionUri: 'https://dev.azure.com/org/',
  organization: 'org',
  project: 'p',
  pipeline: 'ml',
  definitionId: '1',
  runId,
  runNumber: `2026.${runId}`,
  runUrl: `https://dev.azure.com/org/p/_build/results?buildId=${runId}`,
  stage: 'prod',
  stageAttempt: 1,
  job: 'promote',
  repository: 'r',
  branch: 'refs/heads/main',
  commit: 'c0ffee',
  requestedBy: 'A',
  ...more,
});
