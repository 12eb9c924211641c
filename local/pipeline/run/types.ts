/** What a local run takes, keeps and says (docs/pipelines.md). */
import type { AgentEndpoint, AgentWaits, NodeVersion } from '../../agent/types.js';
import type { Federation } from '../../connection-file.js';
import type { EnvironmentsFile } from '../../../src/devops/environments-file.js';
import type { Catalogue, ExpandedDocument, UsedFile } from '../expand/types.js';
import type { NodeResult } from '../expressions/types.js';
import type { Approval, CheckConfiguration, ResourceRef } from '../devops/types.js';

export interface RunOptions {
  /** The YAML file, relative to `root` or absolute inside it. */
  entry: string;
  /** Root of the repository. */
  root: string;
  parameters: Record<string, string>;
  variables: Record<string, string>;
  repositories: Record<string, string>;
  /** Name → value; never written anywhere. */
  secrets: Record<string, string>;
  catalogue?: Catalogue;
  environments?: EnvironmentsFile;
  /** Folder for projects, runs, certificates. */
  stateFolder: string;
  /** Name of the Azure DevOps project. */
  project: string;
  /** Brings the workspace: asked only when the pipeline has a step that uses one, after everything else has been checked. */
  connect: () => Promise<Connected>;
  /** Folder of task folders, or a VSIX. */
  tasks: string;
  node: NodeVersion;
  /** Run again what failed of this run. */
  rerun?: number;
  /** Jobs at the same time. */
  parallel: number;
  waits?: Partial<AgentWaits>;
  approver: Approver;
  observer: RunObserver;
  /** Aborts: cancel the run. */
  signal: AbortSignal;
  /** Aborts after `signal`: also stop the steps that run after a cancel (`always()`). */
  hurry?: AbortSignal;
}

/** A workspace to run against. */
export interface Connected {
  /** Service connections, with their secrets. */
  endpoints: AgentEndpoint[];
  /** PEM files to trust. */
  ca: string[];
  /** Who signs federated assertions. */
  federation?: Federation;
  close(): Promise<void>;
}

export interface ApprovalQuestion {
  runId: number;
  stage: string;
  stageDisplayName: string;
  resource: ResourceRef;
  check: CheckConfiguration;
  approval: Approval;
  /** Markdown of the summaries of the stages before: the plan, when there is one. */
  summaries: { stage: string; text: string }[];
  signal: AbortSignal;
}

export type ApprovalAnswer =
  { status: 'approved' | 'rejected'; comment: string; by: string } | { status: 'bypassed'; comment: string; by: string };

/** Asks whoever decides. `undefined`: nobody answers here; the approval waits for the REST, or for its time-out. */
export type Approver = (question: ApprovalQuestion) => Promise<ApprovalAnswer | undefined>;

type NodeKind = 'stage' | 'job' | 'step' | 'check';

/** A line of the tree: where it stands is `path` (stage, job, step). */
export interface TreeNode {
  kind: NodeKind;
  /** Unique in the run. */
  id: string;
  parent?: string;
  title: string;
}

/** Told of everything that a person wants to see while it happens. */
export interface RunObserver {
  message(text: string): void;
  warning(text: string): void;
  started(node: TreeNode): void;
  waiting(node: TreeNode, what: string): void;
  ended(node: TreeNode, result: string, detail?: string): void;
  line(node: TreeNode, text: string): void;
  issue(node: TreeNode, type: 'error' | 'warning', text: string): void;
}

/** One output variable, by where it was made. A secret's value is not kept on disk. */
export interface OutputFact {
  hook?: string;
  leg?: string;
  step: string;
  variable: string;
  value: string;
  isSecret: boolean;
}

export interface JobState {
  attempt: number;
  result?: NodeResult;
  /** Why it was skipped. */
  reason?: string;
  outputs: OutputFact[];
}

export interface StageState {
  attempt: number;
  started: boolean;
  result?: NodeResult;
  reason?: string;
  jobs: Record<string, JobState>;
}

/** Kept in run.json: what a rerun needs. */
export interface RunnerState {
  entry: string;
  parameters: Record<string, string>;
  variables: Record<string, string>;
  rootVariables: Record<string, string>;
  document: ExpandedDocument;
  files: UsedFile[];
  stages: Record<string, StageState>;
}

export interface RunOutcome {
  runId: number;
  buildNumber: string;
  folder: string;
  result: 'succeeded' | 'partiallySucceeded' | 'failed' | 'canceled';
  stages: { name: string; result: NodeResult; attempt: number; reason?: string }[];
}
