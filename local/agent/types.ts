/**
 * The agent, as far as a task can notice (docs/agent.md). `createJob` makes what the steps of one agent job share, `runTaskIn` and
 * `runScriptIn` run a step in it, `job.finish()` is its end; `runTask` makes a job for one task and finishes it (all in run-task.ts).
 * Source of the rules: reference task-contract.md, section B; named where they are used.
 */
import type { Federation } from '../connection-file.js';

export type NodeVersion = 20 | 24;

/** Words of the agent's result (B.7). */
export type StepResult = 'Succeeded' | 'SucceededWithIssues' | 'Failed' | 'Canceled' | 'Skipped' | 'Abandoned';

export interface JobVariable {
  value: string;
  isSecret?: boolean;
  isReadOnly?: boolean;
  /** Its name in the environment keeps its letters (`task.setvariable preserveCase=true`). */
  preserveCase?: boolean;
}

/** A service connection as the server hands it to the agent; keys of parameters and data in any case. */
export interface AgentEndpoint {
  /** GUID, or `SystemVssConnection`. */
  id: string;
  name: string;
  url: string;
  scheme: string;
  parameters: Record<string, string>;
  data: Record<string, string>;
}

/** A secure file as the server names it to the agent; the task fetches it itself, with the ticket. */
export interface SecureFile {
  /** GUID. */
  id: string;
  name: string;
  ticket: string;
}

/** Milliseconds the agent waits (B.8, B.9). Tests shorten them. */
export interface AgentWaits {
  /** SIGINT to SIGTERM: 7500. */
  sigint: number;
  /** SIGTERM to SIGKILL: 2500. */
  sigterm: number;
  /** For pipes that a grandchild still holds after the task's end: 5000. */
  pipes: number;
  /** `task.complete done=true` to the end of the step: 5000. */
  done: number;
  /** One unit of the retry's back-off of 1, 4, 9 ... units: 1000. */
  retryUnit: number;
}

/** Steps may forbid commands and variables (YAML `target:`), besides what task.json forbids (B.6.4). */
export interface CommandRestrictions {
  commands?: 'any' | 'restricted';
  /** Case-insensitive globs; absent: any. */
  settableVariables?: string[];
}

/**
 * `factor`: time runs so many times as fast from `since` on (ms since 1970; default: now). `skip`: time runs as it does, but jumps to the
 * next timer whenever the task only waits for one; hours of waiting take seconds, and nothing times out that would not.
 */
export type ClockOptions = { factor: number; since?: number } | { skip: true };

export interface JobOptions {
  /** The agent's `_work`; made when missing. Several jobs never share one at the same time. */
  workFolder: string;
  /** Build.SourcesDirectory; default `<work>/1/s`. */
  sourcesFolder?: string;
  /** By their dotted names. They come on top of what the agent itself knows (`Agent.*`, folders) and of the run's defaults. */
  variables?: Record<string, JobVariable>;
  endpoints?: AgentEndpoint[];
  secureFiles?: SecureFile[];
  /** Collection and OIDC endpoint of a local Azure DevOps that is running already; without it the job serves its own on localhost. */
  collection?: { uri: string; oidcRequestUri: string; accessToken: string; ca?: string };
  /** PEM files to trust: become `agent.cainfo` and NODE_EXTRA_CA_CERTS. */
  ca?: string[];
  /** Signs federated assertions (own collection only); connection.json's `federation`. */
  federation?: Federation;
  /** Seconds a federated assertion lives (own collection only): 600. */
  assertionSeconds?: number;
  /** Another time in the tasks' processes (injected with NODE_OPTIONS) and in the job's own services; `AgentJob.now()` tells it. */
  clock?: ClockOptions;
  proxy?: { url: string; username?: string; password?: string; bypass?: string[] };
  /** The agent's client certificate (files) and whether it verifies those of servers. */
  certificates?: { certificate?: string; key?: string; archive?: string; password?: string; skipValidation?: boolean };
  waits?: Partial<AgentWaits>;
  /** The job's log as a user sees it: masked, one line a call. */
  onLine?: (line: string) => void;
}

interface StepOptions {
  /** `name:` of the step: prefix of its output variables. */
  step?: string;
  displayName?: string;
  env?: Record<string, string>;
  timeoutMs?: number;
  continueOnError?: boolean;
  retryCountOnTaskFailure?: number;
  target?: CommandRestrictions;
  /** The job's cancel. */
  signal?: AbortSignal;
  /** Kept files (attachments, summaries, artifacts) are copied below this folder; default `<work>/_kept/<step>`. */
  keepFolder?: string;
  onLine?: (line: string) => void;
}

export interface TaskStep extends StepOptions {
  /** Folder with a task.json, a folder of such folders, or a VSIX. */
  from: string;
  /** Task name or id, with or without `@major`; may be absent when `from` holds one task only. */
  name?: string;
  /** By name or alias. Values of connectedService inputs are the connection's name or id. */
  inputs?: Record<string, string>;
  node?: NodeVersion;
  /** Refuse what the server would have refused before the job: required inputs that are missing (default: the agent's own rule, it does not look). */
  serverChecks?: boolean;
}

export interface ScriptStep extends StepOptions {
  /** A user's own script: printing a secret is no finding, the agent masks it. */
  maskOnly?: boolean;
  file: string;
  args?: string[];
  cwd?: string;
}

export interface StepIssue {
  type: 'error' | 'warning';
  message: string;
  sourcepath?: string;
  linenumber?: number;
  columnnumber?: number;
  code?: string;
}

interface KeptFile {
  type: string;
  name: string;
  /** Where the copy lies. */
  path: string;
}

interface StepArtifact {
  name: string;
  /** `container` for uploaded files, else what `artifact.associate` said. */
  type: string;
  /** Copy of the files, or the location that was associated. */
  path: string;
}

export interface TimelineRecord {
  id: string;
  parentId?: string;
  type: string;
  name: string;
  order?: number;
  startTime?: string;
  finishTime?: string;
  progress?: number;
  state: string;
  result?: string;
}

export type KilledBy = 'SIGINT' | 'SIGTERM' | 'SIGKILL' | 'timeout';

export interface TaskRunResult {
  result: StepResult;
  /** At most ten of each type, as the agent keeps them; `issueCounts` counts all. */
  issues: StepIssue[];
  issueCounts: { error: number; warning: number };
  outputVariables: Record<string, { value: string; isSecret: boolean }>;
  /** Plain variables that the step set for later steps. */
  variables: Record<string, { value: string; isSecret: boolean }>;
  attachments: KeptFile[];
  summaries: string[];
  uploads: string[];
  artifacts: StepArtifact[];
  /** `results.publish`: copies of the result files. */
  testResults: { type: string; title: string; files: string[] }[];
  buildTags: string[];
  buildNumber?: string;
  /** `release.updatereleasename`, in a release only. */
  releaseName?: string;
  timeline: TimelineRecord[];
  progress?: { percent: number; text: string };
  /** Text of the last task.complete. */
  message?: string;
  /** Of the process; 128 + n when signal n ended it; null when it never started. */
  exitCode: number | null;
  /** The last signal that the agent needed to end the step; `timeout` for the step's own limit. */
  killedBy: KilledBy | null;
  durationMs: number;
  attempts: number;
  /** Commands that were carried out, by name; for tests. */
  commands: Record<string, number>;
  /** What a real agent would have let pass and the harness does not: secrets in unmasked output, writes into the task's folder, files gone before the job's end. */
  problems: string[];
}
