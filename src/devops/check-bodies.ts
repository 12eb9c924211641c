/** Check configurations as the REST takes them, from the file's words (reference azure-devops-rest §4). */
import type { ApprovalSpec, BranchControlSpec, GuardSpec, RequiredTemplateSpec } from './environments-file.js';

/** Ids of the check types. */
export const checkTypes = {
  approval: '8c6f20a7-a545-4486-9777-f762fafe0d4d',
  task: 'fe1de3ee-a436-41b4-bb20-f6eb4cb879a7',
  requiredTemplate: '4020e66e-b0f3-47e1-bc88-48f3cc59b5f3',
  exclusiveLock: '2ef31ad6-baa0-403a-8b45-2cbc9b4e5563',
} as const;

/** Task checks that are told apart by their definition. */
export const taskChecks = {
  branchControl: '86b05a0c-73e6-4f7d-b3cf-e38f3b39a75b',
  businessHours: '445fde2f-6c39-441c-807f-8a59ff2e075f',
} as const;

/** The waves of an approval. */
export const approvalPhases = {
  check: '26014962-64a0-49f4-885b-4b874119a5cc',
  preCheck: '0f52a19b-c67e-468f-b8eb-0ae83b532c99',
  postCheck: '06441319-13fb-4756-b198-c2da116894a4',
} as const;

export type CheckKind = 'approval' | 'branchControl' | 'requiredTemplate' | 'exclusiveLock';

export interface CheckBody {
  type: { id: string; name: string };
  settings: Record<string, unknown>;
  resource: { type: string; id: string; name: string };
  timeout: number;
}

export interface WantedCheck {
  kind: CheckKind;
  /** Words for a person. */
  title: string;
  body: CheckBody;
}

const thirtyDays = 43_200;

/**
 * @param identityId turns the name of a user or group into its id
 * @returns the checks that a guard asks for, in the order of the file
 */
export function checkBodies(
  guard: GuardSpec,
  resource: CheckBody['resource'],
  identityId: (name: string) => string,
): WantedCheck[] {
  const wanted: WantedCheck[] = [];
  for (const approval of guard.approvals ?? []) wanted.push(approvalCheck(approval, resource, identityId));
  if (guard.branchControl) wanted.push(branchControl(guard.branchControl, resource));
  if (guard.requiredTemplates) wanted.push(requiredTemplates(guard.requiredTemplates, resource));
  if (guard.exclusiveLock)
    wanted.push({
      kind: 'exclusiveLock',
      title: 'exclusive lock',
      body: { type: { id: checkTypes.exclusiveLock, name: 'ExclusiveLock' }, settings: {}, resource, timeout: thirtyDays },
    });
  return wanted;
}

function approvalCheck(spec: ApprovalSpec, resource: CheckBody['resource'], identityId: (name: string) => string): WantedCheck {
  const { approvers, minimumApprovers = 0, order = 'anyOrder', requesterCannotApprove = false, phase = 'check' } = spec;
  const how = minimumApprovers > 0 ? `${minimumApprovers} of ` : '';
  return {
    kind: 'approval',
    title: `approval by ${how}${approvers.join(order === 'inSequence' ? ', then ' : ', ')}${requesterCannotApprove ? ', not by the requester' : ''}`,
    body: {
      type: { id: checkTypes.approval, name: 'Approval' },
      settings: {
        approvers: approvers.map((name) => ({ id: identityId(name) })),
        executionOrder: order,
        minRequiredApprovers: minimumApprovers,
        instructions: spec.instructions ?? '',
        blockedApprovers: [],
        requesterCannotBeApprover: requesterCannotApprove,
        definitionRef: { id: approvalPhases[phase] },
      },
      resource,
      timeout: spec.timeoutInMinutes ?? thirtyDays,
    },
  };
}

function branchControl(spec: BranchControlSpec, resource: CheckBody['resource']): WantedCheck {
  const branches = spec.allowedBranches.join(',');
  const unknown = String(spec.allowUnknownStatus ?? false);
  return {
    kind: 'branchControl',
    title: `branch control: ${spec.allowedBranches.join(', ')}${spec.protectedOnly ? ' (protected only)' : ''}`,
    body: {
      type: { id: checkTypes.task, name: 'Task Check' },
      settings: {
        displayName: 'Branch control',
        definitionRef: { id: taskChecks.branchControl, name: 'evaluatebranchProtection', version: '0.0.1' },
        inputs: {
          allowedBranches: branches,
          ensureProtectionOfBranch: String(spec.protectedOnly ?? false),
          // Both spellings: sources differ (reference azure-devops-rest §10 row 6).
          allowUnknownStatusBranch: unknown,
          allowUnknownStatusBranches: unknown,
        },
        retryInterval: 5,
      },
      resource,
      timeout: spec.timeoutInMinutes ?? 1440,
    },
  };
}

function requiredTemplates(specs: RequiredTemplateSpec[], resource: CheckBody['resource']): WantedCheck {
  return {
    kind: 'requiredTemplate',
    title: `required template: ${specs.map(({ repository, ref, path }) => `${path} of ${repository} at ${ref}`).join(' or ')}`,
    body: {
      type: { id: checkTypes.requiredTemplate, name: 'ExtendsCheck' },
      settings: {
        extendsChecks: specs.map(({ repositoryType = 'git', repository, ref, path }) => ({
          repositoryType,
          repositoryName: repository,
          repositoryRef: ref,
          templatePath: path,
        })),
      },
      resource,
      timeout: thirtyDays,
    },
  };
}
