/** Tags and properties that a version carries, and how they are read back (design §6; docs/release.md, "What a version carries"). */
import { sha256Hex } from './canonical.js';
import type { Metrics } from './gate.js';
import type { ModelVersion, RunFacts } from './ports.js';

export const DIGEST = 'amlops.digest';
const METRICS = 'amlops.metrics';
export const EVALUATION_DATA = 'amlops.evaluationData';
export const TRAINING_JOB = 'amlops.job';
const GATE = 'amlops.gate';
export const CHAMPION = 'amlops.champion';
export const PROMOTED_FROM = 'amlops.promotedFrom';
/** Beginning of the properties that hold the hash of a record. */
export const RECORD = 'amlops.record.';
const ALSO = 'amlops.alsoProducedBy.';

/** Longest value of a tag; a longer one is cut to its beginning and 16 hex of its SHA-256, and named in `cut`. */
const LONGEST_TAG = 256;
/** Longest part of a metrics snapshot; a longer one is written in numbered parts. */
const LONGEST_PART = 4000;

interface Lineage {
  jobName?: string;
  /** `name:version` of data assets that the job read, by input. */
  data?: Record<string, string>;
  codeHash?: string;
  environment?: string;
}

/** Tags of the run that made a version. Empty facts make no tag. */
export function lineageTags(
  run: RunFacts | undefined,
  lineage: Lineage,
  gate: string,
): { tags: Record<string, string>; cut: string[] } {
  return cutTags({
    'ado.organization': run?.organization,
    'ado.project': run?.project,
    'ado.pipeline': run?.pipeline,
    'ado.runId': run?.runId,
    'ado.runUrl': run?.runUrl,
    'ado.repository': run?.repository,
    'ado.branch': run?.branch,
    'ado.commit': run?.commit,
    'ado.requestedBy': run?.requestedBy,
    'aml.job': lineage.jobName,
    'aml.data': Object.entries(lineage.data ?? {})
      .map(([input, asset]) => `${input}=${asset}`)
      .join(' '),
    'aml.codeHash': lineage.codeHash,
    'aml.environment': lineage.environment,
    [GATE]: gate,
  });
}

export function cutTags(values: Record<string, string | undefined>): { tags: Record<string, string>; cut: string[] } {
  const tags: Record<string, string> = {};
  const cut: string[] = [];
  for (const [name, value] of Object.entries(values)) {
    if (value === undefined || value === '') continue;
    tags[name] = cutValue(value);
    if (tags[name] !== value) cut.push(name);
  }
  return { tags, cut };
}

/** A value of at most 256 characters: itself, or its beginning, `…#` and 16 hex of its SHA-256 (so two long values stay apart). */
export function cutValue(value: string): string {
  if (value.length <= LONGEST_TAG) return value;
  const head = value.slice(0, LONGEST_TAG - 18).replace(/[\ud800-\udbff]$/, '');
  return `${head}…#${sha256Hex(value).slice(0, 16)}`;
}

/** Snapshot of metrics as entries: one, or numbered parts when it is long. */
export function metricsEntries(metrics: Metrics): Record<string, string> {
  const text = JSON.stringify(metrics);
  if (text.length <= LONGEST_PART) return { [METRICS]: text };
  const parts: Record<string, string> = {};
  for (let at = 0, n = 1; at < text.length; at += LONGEST_PART, n++)
    parts[`${METRICS}.${String(n).padStart(3, '0')}`] = text.slice(at, at + LONGEST_PART);
  return parts;
}

/** Longest snapshot in all: it stands in the properties and the tags of every copy. */
const LONGEST_SNAPSHOT = 64_000;

/** What of the metrics travels with a version: all, or when they are too long those in `first` and then as many others as fit. */
export function snapshotOf(metrics: Metrics, first: readonly string[]): { metrics: Metrics; left: number } {
  const names = Object.keys(metrics);
  const wanted = new Set(first);
  const kept: [string, Metrics[string]][] = [];
  let length = 2;
  for (const name of [...names.filter((one) => wanted.has(one)), ...names.filter((one) => !wanted.has(one))]) {
    length += JSON.stringify(name).length + JSON.stringify(metrics[name]).length + 2;
    if (length > LONGEST_SNAPSHOT) break;
    kept.push([name, metrics[name]!]);
  }
  return kept.length === names.length
    ? { metrics, left: 0 }
    : { metrics: Object.fromEntries(kept), left: names.length - kept.length };
}

/** The snapshot that travels with a version: from its properties, else its tags; undefined when there is none. */
export function metricsOf(model: ModelVersion): { metrics: Metrics; from: string } | undefined {
  for (const [kind, entries] of [
    ['properties', model.properties],
    ['tags', model.tags],
  ] as const) {
    const parts = Object.keys(entries)
      .filter((key) => key.startsWith(`${METRICS}.`))
      .sort();
    const text = entries[METRICS] ?? (parts.length > 0 ? parts.map((key) => entries[key]).join('') : undefined);
    if (text === undefined) continue;
    const value = tryParse(text);
    if (value) return { metrics: value, from: `${kind} of ${model.name}:${model.version}` };
  }
  return undefined;
}

function tryParse(text: string): Metrics | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === 'object' && !Array.isArray(value) ? (value as Metrics) : undefined;
  } catch {
    return undefined; // damaged or foreign: the next source is asked, and the log says which one was used
  }
}

export function digestOfVersion(model: ModelVersion): { digest: string; from: 'properties' | 'tags' } | undefined {
  const valid = (value: string | undefined) => (value !== undefined && /^sha256:[0-9a-f]{64}$/.test(value) ? value : undefined);
  const inProperties = valid(model.properties[DIGEST]);
  if (inProperties) return { digest: inProperties, from: 'properties' };
  const inTags = valid(model.tags[DIGEST]);
  return inTags ? { digest: inTags, from: 'tags' } : undefined;
}

export function evaluationDataOf(model: ModelVersion): string | undefined {
  return model.properties[EVALUATION_DATA] ?? model.tags[EVALUATION_DATA];
}

/** Name of the job that trained a version, wherever it was trained. */
export function trainingJobOf(model: ModelVersion): string | undefined {
  return model.jobName ?? model.properties[TRAINING_JOB] ?? model.tags['aml.job'];
}

/**
 * Fingerprint of the data a job was evaluated on, where it is known: inputs whose name says so (test, eval, valid, holdout) and that are
 * data assets or content-addressed uploads. Assets count by name and version, so that the same data in another workspace is the same.
 */
export function evaluationFingerprint(inputs: Record<string, string>): string | undefined {
  const known = Object.entries(inputs)
    .filter(([name]) =>
      /(^|[^a-z])(test|eval|evaluation|valid|validation|val|holdout)([^a-z]|$)/i.test(name.replace(/([a-z])([A-Z])/g, '$1_$2')),
    )
    .map(([name, uri]) => [name, stableName(uri)] as const);
  if (known.length === 0 || known.some(([, stable]) => stable === undefined)) return undefined;
  return `sha256:${sha256Hex(
    known
      .map(([name, stable]) => `${name}\t${stable}\n`)
      .sort()
      .join(''),
  )}`;
}

/** `name:version` of a data asset, the hash of an upload; undefined for a path that may hold anything. */
export function stableName(uri: string): string | undefined {
  const asset = /\/data\/([^/]+)\/versions\/([^/]+)\/?$/i.exec(uri) ?? /^azureml:([^/:@]+):([^/:@]+)$/.exec(uri);
  if (asset) return `${asset[1]}:${asset[2]}`;
  return /\/LocalUpload\/([0-9a-f]{32,64})\//i.exec(uri)?.[1];
}

export function recordProperty(number: number, sha256: string): Record<string, string> {
  return { [`${RECORD}${recordName(number)}`]: `sha256:${sha256}` };
}

/** Records that a version's properties vouch for: number to `sha256:…`. */
export function recordsOf(model: ModelVersion): Map<number, string> {
  return new Map(
    Object.entries(model.properties).flatMap(([key, value]) =>
      key.startsWith(RECORD) ? [[Number(key.slice(RECORD.length)), value]] : [],
    ),
  );
}

export function recordName(number: number): string {
  return String(number).padStart(6, '0');
}

/** A later run that gave the same bytes. */
export function alsoProducedBy(run: RunFacts): Record<string, string> {
  return { [`${ALSO}${run.runId}`]: cutValue(`${run.runUrl || `run ${run.runId}`} (${run.branch} ${run.commit})`) };
}

/** Whether other runs gave these bytes too. */
export function isContested(model: { properties: Record<string, string> }): boolean {
  return Object.keys(model.properties).some((name) => name.startsWith(ALSO));
}
