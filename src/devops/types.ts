/** Contracts of the Azure DevOps room; implementations stand beside this file, callers import them lazily. */

/** Which run, stage attempt and job this is (reference task-contract B.5: system.* and build.* variables). */
export interface RunIdentity {
  /** Collection, e.g. `https://dev.azure.com/org/`. */
  collectionUri: string;
  /** The same collection where the job's token may be sent: an earlier step can overwrite the variable above, but not the agent's connection. */
  serviceUri: string;
  organization: string;
  project: string;
  projectId: string;
  pipeline: string;
  definitionId: string;
  runId: string;
  runNumber: string;
  runUrl: string;
  stage: string;
  stageAttempt: number;
  job: string;
  jobAttempt: number;
  planId: string;
  repository: string;
  branch: string;
  commit: string;
  requestedBy: string;
  accessToken?: string;
}

/** One approval step that somebody gave (or bypassed) for this stage attempt. */
export interface StageApproval {
  approvalId: string;
  /** Who was asked and who answered (display names). */
  assigned: string;
  actual: string;
  status: string;
  comment: string;
  /** ISO time. */
  when: string;
  bypassed: boolean;
  /** Resource whose check it was, where known: `environment aml-prod`, `endpoint arm-prod`. */
  resource?: string;
}

/** `readable: false` says why; nothing is ever invented. */
export interface ApprovalFinding {
  readable: boolean;
  reason?: string;
  approvals: StageApproval[];
}

/** What tasks ask of Azure DevOps. Implemented by src/devops/client.ts over azure-devops-node-api; faked in unit tests. */
export interface DevOps {
  approvals(run: RunIdentity, signal?: AbortSignal): Promise<ApprovalFinding>;
  retain(run: RunIdentity, options: { days: number; reason: string }, signal?: AbortSignal): Promise<void>;
  addTags(run: RunIdentity, tags: string[], signal?: AbortSignal): Promise<void>;
}
