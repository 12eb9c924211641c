/**
 * The seam of job compilation: what goes in (a job file and overrides), what comes out (the body of the job and the writes before it),
 * and the target that carries the writes out (src/aml/compile/offline.ts records them, src/aml/assets-online.ts sends them).
 *
 * Compilation has two halves. The first reads files only and finds every problem of the file; the second talks to the target.
 * A file with a problem therefore writes nothing anywhere.
 */
import type { WorkspaceRef } from '../workspace.js';
import type { CodeSnapshot, LocalData } from '../snapshot/types.js';

export type { CodeSnapshot, LocalData, SnapshotFile } from '../snapshot/types.js';

/** A job file and what a caller overrides in it (design §3 RunAmlPipeline). */
export interface JobSource {
  /** Path of the job YAML; relative to the process's folder or absolute. */
  file: string;
  /** Job name; wins over the file's. Without either a name is generated (adjective_noun_suffix). */
  name?: string;
  /** `jobs.train.compute=azureml:gpu`, as `az ml job create --set` takes them. */
  overrides?: string[];
  /** Values of the job's inputs by name, as text that was written: `0.10` stays `0.10`; `azureml:data@latest`, a URI or a path work too. */
  inputs?: Record<string, string>;
  experimentName?: string;
  displayName?: string;
  description?: string;
  /** Added to the file's tags, winning over them. */
  tags?: Record<string, string>;
  /** Environment variables that git properties come from (AZUREML_GIT_*). Default: process.env. */
  env?: Readonly<Record<string, string | undefined>>;
  /**
   * Told what the file holds when it is known to be good, before anything is looked up or written; what it throws ends the compilation.
   * It may give the job's name, where that is found out while the files are read; it wins over `name`.
   */
  onRead?: (job: ReadJob) => Promise<string> | undefined;
  signal?: AbortSignal;
}

export type JobType = 'Pipeline' | 'Command' | 'Sweep' | 'AutoML' | 'Spark';

export interface ReadJob {
  type: JobType;
  /** Its submission takes the token of the service as well (`x-azureml-token`). */
  needsAmlToken: boolean;
  /** Names of its outputs; absent where there may be some that no file names (a registered pipeline component). */
  outputs?: readonly string[];
}

export interface CompileWarning {
  message: string;
  file?: string;
  line?: number;
  column?: number;
}

/** One write in the form of conformance/jobs. `path` begins with `/subscriptions/`. */
export interface WriteRequest {
  method: 'PUT';
  path: string;
  query: Record<string, string>;
  body: unknown;
}

/** What the job PUT needs, and what was written before it. */
export interface CompiledJob {
  name: string;
  /** Where the name is from: the caller, the file, or made up here. */
  nameFrom: 'source' | 'file' | 'generated';
  type: JobType;
  displayName: string;
  experimentName: string;
  /** `/subscriptions/…/jobs/{name}`: PUT `body` there with `query`. Not sent by compilation: idempotent submission is the task's. */
  path: string;
  query: { 'api-version': string };
  body: { properties: Record<string, unknown> };
  /** Whether the PUT carries `x-azureml-token` (scope `https://ml.azure.com/.default` of the cloud). */
  needsAmlToken: boolean;
  warnings: CompileWarning[];
  /** The asset writes in the order made, and the job PUT last. */
  requests: WriteRequest[];
  /** What uploading cost. Zero bytes when nothing changed (and always offline). */
  upload: { bytes: number; files: number; reused: number };
}

export type AssetKind = 'code' | 'environment' | 'component' | 'data' | 'model';

/** Something a job names but does not define: looked up before anything is written. */
export interface Reference {
  kind: AssetKind | 'compute' | 'datastore';
  name: string;
  version?: string;
  label?: string;
  /** Where the file says it, for messages. */
  file: string;
  line: number;
  column: number;
  /** No file says it, but this override or input of the task. */
  input?: string;
}

/** Where assets go. Every method may be called several times with the same content; a target answers from memory then. */
export interface CompileTarget {
  readonly workspace: WorkspaceRef;
  /** Base of relative ARM ids: `/subscriptions/…/workspaces/{name}`. */
  readonly workspaceId: string;
  /** Whether assets are written one after the other, for a record that is the same each time. */
  readonly sequential: boolean;
  /** Whether jobs are sent: one with `compute: local` would wait for a machine that never takes it. */
  readonly sends?: boolean;
  /** Writes made so far, in order. */
  readonly requests: readonly WriteRequest[];
  readonly upload: { bytes: number; files: number; reused: number };
  /**
   * Looks up everything that the file names, all at once, before the first write.
   * Errors: one Failure that lists every reference that does not exist. The offline target looks nothing up.
   */
  check(references: readonly Reference[], signal?: AbortSignal): Promise<CompileWarning[]>;
  /** Registers a code snapshot; gives its ARM id. Reuse is asked for by hash first. */
  code(snapshot: CodeSnapshot, signal?: AbortSignal): Promise<string>;
  /** Puts a local file or folder on the default datastore (or `datastore`); gives `azureml://datastores/{ds}/paths/LocalUpload/{hash}/{name}[/]`. */
  data(local: LocalData, signal?: AbortSignal): Promise<string>;
  /** Storage address of registered code. */
  codeUri(snapshot: CodeSnapshot, signal?: AbortSignal): Promise<string>;
  /** Registers code that is already at a URL; gives its ARM id. */
  codeAt(url: string, signal?: AbortSignal): Promise<string>;
  /** Uploads a Docker build context; gives its storage URL with a final `/`. */
  contextUri(local: LocalData, signal?: AbortSignal): Promise<string>;
  /** Creates an environment version; gives its ARM id. */
  environment(asset: AssetWrite, signal?: AbortSignal): Promise<string>;
  /** Creates a component version; gives its ARM id. */
  component(asset: AssetWrite, signal?: AbortSignal): Promise<string>;
  /** Version behind `@label`. Offline: `1` (the caller warns). */
  resolveLabel(
    kind: AssetKind,
    name: string,
    label: string,
    signal?: AbortSignal,
  ): Promise<{ version: string; certain: boolean }>;
}

export interface AssetWrite {
  name: string;
  /** Absent: the next free version is taken. */
  version?: string;
  apiVersion: string;
  body: { properties: Record<string, unknown> };
}
