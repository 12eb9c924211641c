/**
 * Who approved a stage attempt, as Azure DevOps shows it (reference azure-devops-rest §5, azure-pipelines-yaml §1.8). A stage's checkpoint
 * covers all protected resources that the stage uses, so checks of service connections are among the same records.
 * That a `Checkpoint.Approval` record's id is the approval's id is unconfirmed: where it is not, the approvals of the run are listed and
 * matched by the time of the stage's checkpoint. What cannot be told apart is said to be unreadable; nothing is guessed.
 */
import type { ApprovalFinding, RunIdentity, StageApproval } from './types.js';

export interface TimelineRecordLike {
  id?: string;
  parentId?: string | null;
  type?: string;
  name?: string;
  identifier?: string;
  attempt?: number;
  startTime?: Date | string | null;
  finishTime?: Date | string | null;
  previousAttempts?: { attempt?: number; timelineId?: string; recordId?: string }[];
}

interface IdentityLike {
  displayName?: string;
  uniqueName?: string;
}

export interface ApprovalLike {
  id: string;
  status?: string;
  createdOn?: string;
  lastModifiedOn?: string;
  steps?: {
    assignedApprover?: IdentityLike;
    actualApprover?: IdentityLike;
    lastModifiedBy?: IdentityLike;
    status?: string;
    comment?: string;
    lastModifiedOn?: string;
  }[];
  pipeline?: { id?: string | number; owner?: { id?: string | number } };
}

export interface CheckSuiteLike {
  resources?: { type?: string; id?: string; name?: string }[];
  checkRuns?: {
    id?: string;
    status?: string;
    checkConfigurationRef?: { resource?: { type?: string; id?: string; name?: string } };
  }[];
}

/** What is read; every method may throw, `undefined` is "there is none". */
export interface ApprovalSource {
  timeline(timelineId?: string): Promise<TimelineRecordLike[] | undefined>;
  approval(id: string): Promise<ApprovalLike | undefined>;
  /** Approvals of the project, any state. */
  approvals(): Promise<ApprovalLike[]>;
  checkSuite(id: string): Promise<CheckSuiteLike | undefined>;
}

const unreadable = (reason: string): ApprovalFinding => ({ readable: false, reason, approvals: [] });

/** @throws what the source throws; the caller turns that into `readable: false` */
export async function stageApprovals(run: RunIdentity, source: ApprovalSource): Promise<ApprovalFinding> {
  let records = await source.timeline();
  if (!records) return unreadable(`Run ${run.runId} has no timeline.`);
  let stage = findStage(records, run.stage);
  if (!stage) return unreadable(`The timeline of run ${run.runId} has no stage '${run.stage}'.`);
  if ((stage.attempt ?? 1) !== run.stageAttempt) {
    const earlier = stage.previousAttempts?.find((previous) => previous.attempt === run.stageAttempt);
    records = earlier?.timelineId ? await source.timeline(earlier.timelineId) : undefined;
    stage = records ? findStage(records, run.stage) : undefined;
    if (!records || !stage)
      return unreadable(`The timeline of run ${run.runId} does not show attempt ${run.stageAttempt} of stage '${run.stage}'.`);
  }
  const all = records;
  const checkpoints = all.filter((record) => record.type === 'Checkpoint' && record.parentId === stage.id);
  const ids = approvalRecords(all, checkpoints);
  const found: ApprovalLike[] = [];
  for (const id of ids) {
    const approval = await source.approval(id);
    if (approval) found.push(approval);
  }
  if (found.length < ids.length || (ids.length === 0 && checkpoints.length > 0)) {
    const matched = await matchByTime(run, all, checkpoints, source);
    if (typeof matched === 'string') return unreadable(matched);
    const known = new Set(found.map((approval) => approval.id.toLowerCase()));
    found.push(...matched.filter((approval) => !known.has(approval.id.toLowerCase())));
    if (found.length < ids.length)
      return unreadable(
        `Stage '${run.stage}' passed ${ids.length} approval(s), but Azure DevOps shows ${found.length} of them to this run's token.`,
      );
  }
  const suites: CheckSuiteLike[] = [];
  for (const { id } of found.length > 0 ? checkpoints : []) {
    const suite = id ? await source.checkSuite(id).catch(() => undefined) : undefined; // only adds detail; see `describe`
    if (suite) suites.push(suite);
  }
  const approvals: StageApproval[] = [];
  for (const approval of found) {
    const entries = describe(approval, suites);
    if (entries.length === 0) return unreadable(`Approval ${approval.id} is ${approval.status}, but does not say by whom.`);
    approvals.push(...entries);
  }
  return { readable: true, approvals };
}

function findStage(records: TimelineRecordLike[], name: string): TimelineRecordLike | undefined {
  const stages = records.filter((record) => record.type === 'Stage');
  const same = (text?: string): boolean => text?.toLowerCase() === name.toLowerCase();
  return stages.find((record) => same(record.identifier)) ?? stages.find((record) => same(record.name));
}

function approvalRecords(records: TimelineRecordLike[], checkpoints: TimelineRecordLike[]): string[] {
  const parents = new Set(checkpoints.map((record) => record.id));
  return records.flatMap((record) =>
    record.type === 'Checkpoint.Approval' && record.id && parents.has(record.parentId ?? undefined) ? [record.id] : [],
  );
}

const time = (value: Date | string | null | undefined): number => (value == null ? NaN : new Date(value).getTime());
/** The service writes the checkpoint's record and its approvals one after the other. */
const slack = 5_000;

/** Approvals of this run whose creation lies in this stage's checkpoint and in no other stage's; a sentence when that is not clear. */
async function matchByTime(
  run: RunIdentity,
  records: TimelineRecordLike[],
  ours: TimelineRecordLike[],
  source: ApprovalSource,
): Promise<ApprovalLike[] | string> {
  const within = (record: TimelineRecordLike, at: number): boolean => {
    const finish = time(record.finishTime);
    return at >= time(record.startTime) - slack && (Number.isNaN(finish) || at <= finish + slack);
  };
  const others = records.filter((record) => record.type === 'Checkpoint' && !ours.includes(record));
  const taken = new Set(approvalRecords(records, others).map((id) => id.toLowerCase()));
  const matched: ApprovalLike[] = [];
  for (const approval of await source.approvals()) {
    if (String(approval.pipeline?.owner?.id ?? '') !== run.runId || taken.has(approval.id.toLowerCase())) continue;
    const created = time(approval.createdOn);
    if (!ours.some((record) => within(record, created))) continue;
    if (others.some((record) => within(record, created)))
      return `Approval ${approval.id} of run ${run.runId} could belong to stage '${run.stage}' or to another stage that was checked at the same time.`;
    matched.push(approval);
  }
  return matched;
}

function describe(approval: ApprovalLike, suites: CheckSuiteLike[]): StageApproval[] {
  const run = suites.flatMap((suite) => suite.checkRuns ?? []).find(({ id }) => id?.toLowerCase() === approval.id.toLowerCase());
  const status = approval.status ?? '';
  // The stage is running: an approval that was not given was passed by somebody with the right to do so.
  const bypassed = run?.status === 'bypassed' || !['approved', 'deferred', 'completed'].includes(status);
  const resource = resourceName(run?.checkConfigurationRef?.resource, suites);
  const entry = (step: NonNullable<ApprovalLike['steps']>[number], said: string): StageApproval => ({
    approvalId: approval.id,
    assigned: who(step.assignedApprover),
    actual: who(step.actualApprover) || (bypassed ? who(step.lastModifiedBy) : ''),
    status: said,
    comment: step.comment ?? '',
    when: isoTime(step.lastModifiedOn ?? approval.lastModifiedOn),
    bypassed,
    ...(resource ? { resource } : {}),
  });
  const steps = approval.steps ?? [];
  if (bypassed) return (steps.length > 0 ? steps : [{}]).map((step) => entry(step, run?.status ?? status));
  return steps
    .filter((step) => step.status === 'approved' || step.status === 'deferred')
    .map((step) => entry(step, step.status ?? status));
}

function who(identity: IdentityLike | undefined): string {
  const { displayName = '', uniqueName = '' } = identity ?? {};
  return displayName && uniqueName && displayName !== uniqueName ? `${displayName} <${uniqueName}>` : displayName || uniqueName;
}

function isoTime(value: string | undefined): string {
  return Number.isNaN(time(value)) ? '' : new Date(time(value)).toISOString();
}

function resourceName(
  resource: { type?: string; id?: string; name?: string } | undefined,
  suites: CheckSuiteLike[],
): string | undefined {
  if (!resource?.type) return undefined;
  const named = suites
    .flatMap((suite) => suite.resources ?? [])
    .find((candidate) => candidate.type === resource.type && candidate.id === resource.id);
  return `${resource.type} ${resource.name ?? named?.name ?? resource.id ?? ''}`.trim();
}
