/** What the release domain asks of the world. src/aml implements it over Azure; tests implement it in memory. */
import type { FileDigest } from './digest.js';

/** A workspace or registry, as plans and records name it. */
export interface Place {
  kind: 'workspace' | 'registry';
  /** ARM id of the workspace, or `azureml://registries/{name}`. */
  id: string;
  name: string;
  location?: string;
}

export interface ModelVersion {
  /** ARM id, or `azureml://registries/{r}/models/{n}/versions/{v}`. */
  id: string;
  name: string;
  version: string;
  /** `mlflow_model`, `custom_model`, `triton_model`. */
  type: string;
  uri: string;
  description?: string;
  stage?: string;
  jobName?: string;
  flavors?: unknown;
  /** Somebody took it out of use. */
  archived?: boolean;
  tags: Record<string, string>;
  properties: Record<string, string>;
}

export interface FileEntry {
  path: string;
  size: number;
}

/** The bytes of one model version. */
export interface ModelFiles {
  list(): Promise<FileEntry[]>;
  /** Reads every byte. */
  hash(): Promise<FileDigest[]>;
}

/** Reading models of a workspace or registry with one connection. */
export interface ModelReader {
  readonly place: Place;
  version(name: string, version: string): Promise<ModelVersion | undefined>;
  /** All versions, in any order; empty when the model is unknown. */
  versions(name: string): Promise<ModelVersion[]>;
  /** A version by the id that a pointer or record names; a registry's version too. */
  byId(id: string): Promise<ModelVersion | undefined>;
  files(model: ModelVersion): ModelFiles;
}

export interface ModelBody {
  uri: string;
  type: string;
  description?: string;
  stage?: string;
  jobName?: string;
  flavors?: unknown;
  tags: Record<string, string>;
  properties: Record<string, string>;
}

export interface ModelWriter extends ModelReader {
  /** A positive integer that no version has (deleted ones included, where the service remembers them). */
  nextVersion(name: string): Promise<string>;
  /** `created`: we made it; `same`: it was there with this path; `taken`: it was there with another path and is untouched. */
  create(name: string, version: string, body: ModelBody): Promise<'created' | 'same' | 'taken'>;
  /** Adds tags and properties; never removes. */
  amend(
    name: string,
    version: string,
    change: { tags?: Record<string, string>; properties?: Record<string, string> },
  ): Promise<void>;
  /**
   * Copies bytes to the place that the digest names, as far as they are not there yet, and gives the URI and the digests of the
   * bytes that are there. Nothing else stays in that place.
   */
  stage(name: string, digest: string, from: ModelFiles): Promise<{ uri: string; files: FileDigest[] }>;
  /** Removes what `stage` wrote (the bytes were not what they should be). */
  unstage(name: string, digest: string): Promise<void>;
}

/** A registry as a target: sharing, done with the source's connection. */
export interface RegistryWriter extends ModelReader {
  share(model: ModelVersion, name: string, version: string): Promise<void>;
}

/** Small files under `amlops/` of a workspace's default blob container. */
export interface ReleaseStore {
  /** The workspace whose container it is. */
  readonly place: Place;
  read(name: string): Promise<{ bytes: Buffer; etag: string } | undefined>;
  /** `undefined` when the condition is not met. */
  write(
    name: string,
    bytes: Uint8Array,
    condition: { ifNoneMatch: '*' } | { ifMatch: string },
  ): Promise<{ etag: string } | undefined>;
  list(prefix: string): Promise<string[]>;
}

/** A right that the work needs, and whose it is to have. */
export interface Right {
  right: string;
  /** Resource it is needed on. */
  on: string;
  /** Connection (and principal) that needs it. */
  whose: string;
  found: 'yes' | 'no' | 'unknown';
  /** What the service said, or the role that would give it. */
  detail?: string;
}

/** Which run does this; copied from the pipeline's variables. */
export interface RunFacts {
  collectionUri: string;
  organization: string;
  project: string;
  pipeline: string;
  definitionId: string;
  runId: string;
  runNumber: string;
  runUrl: string;
  stage: string;
  stageAttempt: number;
  job: string;
  repository: string;
  branch: string;
  commit: string;
  requestedBy: string;
}

/** Approvals as Azure DevOps gave them; never invented. */
export interface ApprovalFacts {
  readable: boolean;
  reason?: string;
  approvals: {
    approvalId: string;
    assigned: string;
    actual: string;
    status: string;
    comment: string;
    when: string;
    bypassed: boolean;
    resource?: string;
  }[];
}
