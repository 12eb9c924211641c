/** Check suites: the checks of one stage attempt over all its resources, as the service shows them in timeline and REST. */
import { guid, isoNow } from './files.js';
import type { Project } from './project.js';
import type { RunState } from './run-state.js';
import type { Approval, CheckConfiguration, CheckRun, CheckSuite, RecordType, ResourceRef, TimelineRecord } from './types.js';
import { checkTypes } from '../../../src/devops/check-bodies.js';

const recordTypes: Record<string, RecordType> = {
  [checkTypes.approval]: 'Checkpoint.Approval',
  [checkTypes.task]: 'Checkpoint.TaskCheck',
  [checkTypes.requiredTemplate]: 'Checkpoint.ExtendsCheck',
  [checkTypes.exclusiveLock]: 'Checkpoint.ExclusiveLock',
};

/** Opens the checkpoint of a stage attempt: its record, one record a check, all queued. The suite's id is the checkpoint's. */
export function openSuite(
  run: RunState,
  stage: TimelineRecord,
  resources: ResourceRef[],
  checks: CheckConfiguration[],
): CheckSuite {
  const checkpoint = run.record('Checkpoint', `${stage.identifier}.checkpoint`, 'Checkpoint', stage, stage.attempt);
  run.update(checkpoint, { state: 'inProgress', startTime: isoNow() });
  const checkRuns = checks.map((check): CheckRun => {
    const type = recordTypes[check.type.id] ?? 'Checkpoint.TaskCheck';
    const shown = check.settings['displayName'];
    const name = typeof shown === 'string' && shown ? shown : check.type.name;
    const record = run.record(type, `${stage.identifier}.checkpoint.${check.id}`, name, checkpoint, stage.attempt);
    return {
      id: record.id,
      status: 'queued',
      resultMessage: '',
      createdDate: isoNow(),
      checkConfigurationRef: { id: check.id, type: check.type, resource: check.resource },
    };
  });
  const suite: CheckSuite = {
    id: checkpoint.id,
    status: 'queued',
    message: '',
    context: {
      Id: checkpoint.id,
      OrchestrationId: `${run.run.planId}.${stage.identifier}.${stage.attempt}.checkpoint`,
      PlanId: run.run.planId,
      HubName: 'Build',
      Pipeline: { Owner: { Id: run.id, Name: run.run.buildNumber }, Id: String(run.run.definitionId) },
      GraphNode: { Attempt: stage.attempt, Id: stage.id, Name: stage.identifier },
    },
    resources,
    checkRuns,
  };
  run.run.suites.push(suite);
  run.changed();
  return suite;
}

/** Asks the approvers of an approval check; the approval's id is its record's. */
export function approvalOf(run: RunState, suite: CheckSuite, check: CheckRun, project: Project): Approval {
  const known = run.approval(check.id);
  if (known) return known;
  const configuration = project.now.checks.find(({ id }) => id === check.checkConfigurationRef.id);
  const settings = (configuration?.settings ?? {}) as {
    approvers?: { id: string }[];
    executionOrder?: string;
    minRequiredApprovers?: number;
    instructions?: string;
    requesterCannotBeApprover?: boolean;
    blockedApprovers?: { id: string }[];
  };
  const when = isoNow();
  const inSequence = settings.executionOrder === 'inSequence';
  const definition = project.now.definitions.find(({ id }) => id === run.run.definitionId);
  const blocked = (settings.blockedApprovers ?? []).map(({ id }) => project.identity(id));
  const approval: Approval = {
    id: check.id,
    status: 'pending',
    steps: (settings.approvers ?? []).map(({ id }, index) => ({
      assignedApprover: project.identity(id),
      status: inSequence && index > 0 ? 'uninitiated' : 'pending',
      comment: '',
      order: index + 1,
      initiatedOn: when,
      lastModifiedOn: when,
    })),
    createdOn: when,
    lastModifiedOn: when,
    executionOrder: inSequence ? 'inSequence' : 'anyOrder',
    minRequiredApprovers: settings.minRequiredApprovers ?? 0,
    instructions: settings.instructions ?? '',
    blockedApprovers: settings.requesterCannotBeApprover ? [...blocked, run.run.requestedFor] : blocked,
    pipeline: {
      id: String(run.run.definitionId),
      name: definition?.name ?? guid('pipeline'),
      owner: { id: run.id, name: run.run.buildNumber },
    },
  };
  check.status = 'running';
  suite.status = 'running';
  run.run.approvals.push(approval);
  run.changed();
  return approval;
}
