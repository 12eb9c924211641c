/** What the engine's parts hand each other. */
import type { Ctx, Principal, WorkspaceRecord } from '../context.js';
import type { RunError, RunRecord } from '../runs/record.js';

/** The end of a run that is the job's or the user's fault: becomes the run's `error`. */
export class JobFailure extends Error {
  readonly error: RunError;
  constructor(message: string, code = 'UserError', extra: Partial<RunError> = {}) {
    super(message);
    this.name = 'JobFailure';
    this.error = { code, message, ...extra };
  }
}

/** The run was cancelled: not an error. */
export class Canceled extends Error {
  constructor() {
    super('The run was canceled.');
    this.name = 'Canceled';
  }
}

/** Value of one input of a node at run time. */
export type InputValue =
  | { kind: 'literal'; text: string | undefined }
  | {
      kind: 'data';
      /** Any reference form; outputs of other nodes are long datastore URIs. */
      uri: string;
      type: string;
      mode?: string;
      /** Folder or file on this machine that holds the same bytes (an output of an earlier node of this tree). */
      local?: string;
      /** True for outputs of nodes, which may have stayed empty. */
      mayBeEmpty?: boolean;
    };

/** Where one output of a node goes. */
export interface OutputTarget {
  type: string;
  mode?: string;
  /** Destination as written; may hold `${{name}}` and friends. Absent: the default path. */
  uri?: string;
  assetName?: string;
  assetVersion?: string;
}

export type DataValue = Extract<InputValue, { kind: 'data' }>;

/** What runs as one process tree. */
export interface CommandSpec {
  command: string;
  /** Reference of a code asset; absent: an empty working directory. */
  codeId?: string;
  environmentId: string;
  environmentVariables: Record<string, string>;
  /** Seconds. */
  timeout?: number;
  /** Values for `${{search_space.x}}`. */
  searchSpace?: ReadonlyMap<string, string>;
  /** Files that the engine writes beside the snapshot: name → text (drivers, configurations). */
  extraFiles?: Record<string, string>;
  /** Set when the component says `is_deterministic: false`. */
  volatile?: boolean;
}

/** One tree of runs: a submitted job and everything below it. */
export interface Tree {
  readonly ctx: Ctx;
  readonly ws: WorkspaceRecord;
  readonly principal: Principal;
  readonly rootRunId: string;
  readonly signal: AbortSignal;
  /** Folder for the files of this tree; removed when it has ended. */
  readonly folder: string;
  /** Removals under way (`discard`); waited for before `folder` is removed. */
  readonly leaving: Set<Promise<void>>;
  /** Ends one run below the root (and what is below it); by run id. */
  readonly stops: Map<string, AbortController>;
  /** ARM token for the job's processes. */
  token(): Promise<string>;
}

/** A run being executed. */
export interface Task {
  tree: Tree;
  run: RunRecord;
  compute: string | undefined;
  signal: AbortSignal;
}

export interface RunOutcome {
  outputs: Map<string, DataValue>;
}
