/** When a plan must not be applied: stale, changed, impossible, without approval, without rights. */
import type { Planned } from './plan.js';
import type { ApprovalFacts, RunFacts } from './ports.js';
import { Refusal } from './refusal.js';

/**
 * Refuses a plan that must not be applied, in this order: stale, changed since `planDigest`, impossible, without approval, without rights.
 * Writes nothing.
 */
export function assertApplicable(
  planned: Planned,
  options: { run: RunFacts; planDigest?: string; requireApproval: boolean; approvals: ApprovalFacts },
): void {
  const { plan, pointer } = planned;
  const newest = pointer?.pointer.newestRun;
  if (
    plan.action === 'promote' &&
    newest &&
    newest.organization === options.run.organization &&
    older(options.run.runId, newest.runId)
  )
    throw new Refusal(
      `This run (${options.run.runId}) is older than the run that moved the champion last (${newest.runId}): it is stale and changes nothing.`,
      { code: 'StalePromotion', advice: 'Promote from a newer run. To go back to an earlier champion, use the action rollback.' },
    );
  if (options.planDigest && options.planDigest !== planned.planDigest)
    throw new Refusal(
      `The world has changed since the plan was made: it was ${options.planDigest}, now it is ${planned.planDigest}. Nothing was written.`,
      { code: 'PlanChanged', input: 'planDigest', advice: 'Look at the plan above, make a new plan and have that approved.' },
    );
  const [problem] = planned.inspection.problems;
  if (problem) throw new Refusal(problem, { code: 'PromotionImpossible' });
  if (options.requireApproval) assertApproved(options.approvals);
  const missing = planned.inspection.rights.filter((right) => right.found === 'no');
  if (missing.length > 0)
    throw new Refusal(
      `Rights are missing: ${missing.map((right) => `${right.whose} may not ${right.right} on ${right.on}${right.detail ? ` (${right.detail})` : ''}`).join('; ')}. Nothing was written.`,
      { code: 'RightsMissing' },
    );
}

function assertApproved(finding: ApprovalFacts): void {
  if (!finding.readable)
    throw new Refusal(
      `Approvals could not be read (${finding.reason ?? 'no reason given'}), and requireApproval is set. Nothing was written.`,
      {
        code: 'ApprovalUnreadable',
        input: 'requireApproval',
        advice:
          'Give the job the right to read approvals of this project (the build service needs to view the environment), or run it in a pipeline.',
      },
    );
  const given = finding.approvals.filter((approval) => approval.status.toLowerCase() === 'approved' && !approval.bypassed);
  if (given.length > 0) return;
  const bypassed = finding.approvals.some((approval) => approval.bypassed);
  throw new Refusal(
    bypassed
      ? 'The approval of this stage was bypassed, and requireApproval is set. Nothing was written.'
      : 'No approval of this stage was found, and requireApproval is set. Nothing was written.',
    {
      code: bypassed ? 'ApprovalBypassed' : 'ApprovalMissing',
      input: 'requireApproval',
      advice: 'Put an approval check on the environment of this stage.',
    },
  );
}

/** Run ids of one organization rise with time. */
export function older(run: string, than: string): boolean {
  return /^\d+$/.test(run) && /^\d+$/.test(than) && BigInt(run) < BigInt(than);
}
