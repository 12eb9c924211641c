/** Registering bytes as a version: the same bytes give the same version, races end in two versions or one (design §3). */
import { CHAMPION, DIGEST, digestOfVersion, EVALUATION_DATA, isContested, metricsEntries, alsoProducedBy } from './lineage.js';
import type { Metrics } from './gate.js';
import { newest } from './plan.js';
import type { ModelVersion, ModelWriter, RunFacts } from './ports.js';
import { Refusal } from './refusal.js';

export interface Registration {
  name: string;
  /** An exact version; undefined takes the next free one. */
  version?: string;
  uri: string;
  type: string;
  digest: string;
  description?: string;
  stage?: string;
  jobName?: string;
  flavors?: unknown;
  tags: Record<string, string>;
  properties: Record<string, string>;
  metrics: Metrics;
  evaluationData?: string;
  run: RunFacts;
}

export interface Registered {
  outcome: 'registered' | 'unchanged';
  model: ModelVersion;
}

/**
 * The version that holds these bytes: one that is there, or a new one. A version is made in two steps: first what the bytes say (the same for
 * everybody who registers them), then who made it. So two runs that meet on one number never overwrite each other's lineage, and a run
 * that died between the steps is completed by running it again.
 * Throws `Refusal` (`VersionTaken`) for a version asked for by name that holds other bytes.
 */
export async function registerModel(registration: Registration, models: ModelWriter): Promise<Registered> {
  const { name, digest } = registration;
  for (let attempt = 0; attempt < 50; attempt++) {
    // First the number, then the look: who registers the same bytes after the look meets this run on the number, or takes it.
    const version = registration.version ?? (await models.nextVersion(name));
    const known = (await models.versions(name)).filter((model) => {
      const have = digestOfVersion(model)?.digest;
      return have === undefined ? samePath(model.uri, registration.uri) : have === digest;
    });
    const existing = registration.version === undefined ? newest(known) : known.find((model) => model.version === version);
    if (existing) return adopt(existing, registration, models);
    const outcome = await models.create(name, version, {
      uri: registration.uri,
      type: registration.type,
      ...(registration.description ? { description: registration.description } : {}),
      ...(registration.stage ? { stage: registration.stage } : {}),
      ...(registration.jobName ? { jobName: registration.jobName } : {}),
      ...(registration.flavors ? { flavors: registration.flavors } : {}),
      tags: {},
      properties: vital(registration),
    });
    if (outcome === 'taken') {
      // Somebody was faster, maybe with the same bytes from another place.
      const there = await models.version(name, version);
      if (there && digestOfVersion(there)?.digest === digest) return adopt(there, registration, models);
      if (registration.version === undefined) continue;
      throw new Refusal(`Version ${version} of "${name}" is there already, with other bytes. It is not overwritten.`, {
        code: 'VersionTaken',
        input: 'modelVersion',
        advice: 'Leave modelVersion empty for the next free one.',
      });
    }
    const model = await models.version(name, version);
    if (!model)
      throw new Refusal(`"${name}:${version}" was registered and is not there.`, {
        code: 'ModelNotFound',
        advice: 'Run this again.',
      });
    if (outcome === 'same') return adopt(model, registration, models);
    if (isBare(model)) await models.amend(name, version, { tags: allTags(registration) });
    const made = (await models.version(name, version)) ?? model;
    return { outcome: 'registered', model: isContested(made) ? await note(made, registration, models) : made };
  }
  throw new Refusal(`Other runs keep taking the next version of "${name}".`, { code: 'Busy', advice: 'Run this again.' });
}

function vital(registration: Registration): Record<string, string> {
  const { digest, metrics, evaluationData, properties } = registration;
  const snapshot = Object.keys(metrics).length > 0 ? metricsEntries(metrics) : {};
  return { ...properties, [DIGEST]: digest, ...snapshot, ...(evaluationData ? { [EVALUATION_DATA]: evaluationData } : {}) };
}

/** Vital facts stand in the tags too: whether properties survive sharing is not known (design §6). */
function allTags(registration: Registration): Record<string, string> {
  const { [DIGEST]: digest, [EVALUATION_DATA]: data } = vital(registration);
  const snapshot = Object.keys(registration.metrics).length > 0 ? metricsEntries(registration.metrics) : {};
  return { ...registration.tags, [DIGEST]: digest ?? '', ...snapshot, ...(data ? { [EVALUATION_DATA]: data } : {}) };
}

/**
 * Another run's version gets a note first, and tags only where it has none then. The maker looks for notes after its tags and leaves its own
 * beside them. So whoever's tags stand in the end, every run is named on the version.
 */
async function adopt(model: ModelVersion, registration: Registration, models: ModelWriter): Promise<Registered> {
  const own = model.tags['ado.runId'] === registration.run.runId;
  const noted = own ? model : await note(model, registration, models);
  if (!isBare(noted)) return { outcome: 'unchanged', model: noted };
  const properties = digestOfVersion(noted) ? {} : vital(registration);
  await models.amend(noted.name, noted.version, { tags: allTags(registration), properties });
  return { outcome: 'unchanged', model: (await models.version(noted.name, noted.version)) ?? noted };
}

/** That this run produced the version too. Gives the version as it is then. */
async function note(model: ModelVersion, { run }: Registration, models: ModelWriter): Promise<ModelVersion> {
  if (run.runId === '') return model;
  await models.amend(model.name, model.version, { properties: alsoProducedBy(run) });
  return (await models.version(model.name, model.version)) ?? model;
}

function isBare({ tags }: ModelVersion): boolean {
  return Object.keys(tags).every((tag) => tag === CHAMPION);
}

/** The part of a datastore URI that says where the bytes are. */
function samePath(a: string, b: string): boolean {
  const tail = (uri: string) => uri.replace(/^.*\/datastores\//i, '').replace(/\/+$/, '');
  return a !== '' && tail(a) === tail(b);
}
