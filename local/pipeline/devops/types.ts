/** What the local Azure DevOps holds, in the shapes that its REST answers with (reference azure-devops-rest §2 to §6). Times are ISO texts. */

export interface Identity {
  id: string;
  displayName: string;
  uniqueName: string;
  /** A group: any member answers for it. */
  isContainer?: boolean;
}

export interface Environment {
  id: number;
  name: string;
  description: string;
  createdOn: string;
  lastModifiedOn: string;
}

interface DeploymentRecord {
  id: number;
  environmentId: number;
  definition: { id: number; name: string };
  owner: { id: number; name: string };
  planId: string;
  planType: 'Build';
  requestIdentifier: string;
  stageName: string;
  jobName: string;
  stageAttempt: number;
  jobAttempt: number;
  result?: string;
  queueTime: string;
  startTime?: string;
  finishTime?: string;
}

export type ResourceType = 'environment' | 'endpoint' | 'variablegroup' | 'queue' | 'repository' | 'securefile';

export interface ResourceRef {
  type: ResourceType;
  id: string;
  name: string;
}

export interface CheckConfiguration {
  id: number;
  type: { id: string; name: string };
  settings: Record<string, unknown>;
  resource: ResourceRef;
  /** Minutes. */
  timeout: number;
  createdOn: string;
  modifiedOn: string;
}

export interface VariableGroup {
  id: number;
  name: string;
  type: 'Vsts';
  description?: string;
  variables: Record<string, { value: string | null; isSecret?: boolean }>;
}

/** A service connection; secrets are never here. */
export interface ServiceEndpoint {
  id: string;
  name: string;
  type: string;
  url: string;
  authorization: { scheme: string; parameters: Record<string, string> };
  data: Record<string, string>;
}

export interface Definition {
  id: number;
  name: string;
  /** The YAML file, from the repository's root. */
  yamlFilename: string;
}

/** Everything of a project that outlives a run: `project.json`. */
export interface ProjectDocument {
  id: string;
  name: string;
  next: number;
  environments: Environment[];
  deployments: DeploymentRecord[];
  checks: CheckConfiguration[];
  variableGroups: VariableGroup[];
  endpoints: ServiceEndpoint[];
  definitions: Definition[];
  identities: Identity[];
  /** `type/id` → who may use it; absent: everybody, as on a laptop there is nobody to ask. */
  permissions: Record<string, { all: boolean; pipelines: number[] }>;
  /** `counter()` of root variables: `definition/prefix` → last value. */
  counters?: Record<string, number>;
}

export type RecordType =
  | 'Stage'
  | 'Phase'
  | 'Job'
  | 'Task'
  | 'Checkpoint'
  | 'Checkpoint.Approval'
  | 'Checkpoint.TaskCheck'
  | 'Checkpoint.ExtendsCheck'
  | 'Checkpoint.ExclusiveLock';
type RecordState = 'pending' | 'inProgress' | 'completed';
type RecordResult = 'succeeded' | 'succeededWithIssues' | 'failed' | 'canceled' | 'skipped' | 'abandoned';

export interface RecordIssue {
  type: 'error' | 'warning';
  message: string;
  category?: string;
  data?: Record<string, string>;
}

export interface TimelineRecord {
  id: string;
  parentId: string | null;
  type: RecordType;
  name: string;
  refName: string | null;
  identifier: string;
  order: number;
  attempt: number;
  state: RecordState;
  result: RecordResult | null;
  startTime: string | null;
  finishTime: string | null;
  currentOperation: string | null;
  percentComplete: number | null;
  workerName: string | null;
  errorCount: number;
  warningCount: number;
  issues: RecordIssue[];
  log: { id: number; type: 'Container'; url: string } | null;
  task: { id: string; name: string; version: string } | null;
  previousAttempts: { attempt: number; timelineId: string; recordId: string }[];
  changeId: number;
}

interface ApprovalStep {
  assignedApprover: Identity;
  actualApprover?: Identity;
  lastModifiedBy?: Identity;
  status: ApprovalStatus;
  comment: string;
  order: number;
  initiatedOn: string;
  lastModifiedOn: string;
}

export type ApprovalStatus =
  'uninitiated' | 'pending' | 'approved' | 'rejected' | 'skipped' | 'canceled' | 'timedOut' | 'deferred';

export interface Approval {
  id: string;
  status: ApprovalStatus;
  steps: ApprovalStep[];
  createdOn: string;
  lastModifiedOn: string;
  executionOrder: 'anyOrder' | 'inSequence';
  minRequiredApprovers: number;
  instructions: string;
  blockedApprovers: Identity[];
  pipeline: { id: string; name: string; owner: { id: number; name: string } };
}

export type CheckStatus = 'queued' | 'running' | 'approved' | 'rejected' | 'canceled' | 'timedOut' | 'bypassed' | 'failed';

export interface CheckRun {
  id: string;
  status: CheckStatus;
  resultMessage: string;
  createdDate: string;
  completedDate?: string;
  checkConfigurationRef: { id: number; type: { id: string; name: string }; resource: { type: string; id: string; name: string } };
}

export interface CheckSuite {
  id: string;
  status: CheckStatus;
  message: string;
  context: Record<string, unknown>;
  resources: ResourceRef[];
  checkRuns: CheckRun[];
}

interface Attachment {
  type: string;
  name: string;
  timelineId: string;
  recordId: string;
  /** Below the run's folder. */
  path: string;
}

interface BuildArtifact {
  id: number;
  name: string;
  source: string;
  /** Folder below the run's folder. */
  path: string;
}

export interface RetentionLease {
  leaseId: number;
  definitionId: number;
  runId: number;
  ownerId: string;
  protectPipeline: boolean;
  createdOn: string;
  validUntil: string;
}

export interface RunDocument {
  id: number;
  buildNumber: string;
  definitionId: number;
  status: 'notStarted' | 'inProgress' | 'cancelling' | 'completed';
  result: 'none' | 'succeeded' | 'partiallySucceeded' | 'failed' | 'canceled';
  reason: 'manual';
  queueTime: string;
  startTime: string;
  finishTime: string | null;
  sourceBranch: string;
  sourceVersion: string;
  repository: { id: string; type: string; name: string };
  requestedFor: Identity;
  templateParameters: Record<string, string>;
  planId: string;
  timelineId: string;
  tags: string[];
  properties: Record<string, string>;
  records: TimelineRecord[];
  /** Timelines of earlier attempts, by id. */
  previous: Record<string, TimelineRecord[]>;
  logs: { id: number; lineCount: number; createdOn: string }[];
  attachments: Attachment[];
  artifacts: BuildArtifact[];
  leases: RetentionLease[];
  approvals: Approval[];
  suites: CheckSuite[];
  /** Process that runs it now. */
  owner: number | null;
  /** The runner's own: what a rerun needs. */
  runner: unknown;
}
