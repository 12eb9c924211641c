/**
 * Checks and approvals of all resources of a stage, before the stage starts (reference azure-pipelines-yaml §1.8): five waves in order,
 * the first failure stops. Each resource is asked once, however many jobs of the stage use it.
 */
import type { Approver } from './types.js';
import { approvalPhases, checkTypes, taskChecks } from '../../../src/devops/check-bodies.js';
import { isoNow } from '../devops/files.js';
import type { Project } from '../devops/project.js';
import { ApprovalRefused, type RunState } from '../devops/run-state.js';
import { approvalOf, openSuite } from '../devops/suites.js';
import type {
  CheckConfiguration,
  CheckRun,
  CheckStatus,
  CheckSuite,
  Identity,
  ResourceRef,
  TimelineRecord,
} from '../devops/types.js';
import { addIdentity } from '../devops/project.js';
import type { UsedFile } from '../expand/types.js';
import type { RunObserver, TreeNode } from './types.js';

interface CheckContext {
  project: Project;
  run: RunState;
  stage: TimelineRecord;
  resources: ResourceRef[];
  /** Facts that static checks look at. */
  files: UsedFile[];
  repositories: Record<string, { type: string; name: string; ref: string }>;
  approver: Approver;
  observer: RunObserver;
  node: TreeNode;
  summaries: () => Promise<{ stage: string; text: string }[]>;
  /** Takes the exclusive locks; resolves false when a newer run takes this one's place. */
  lock: (resources: ResourceRef[]) => Promise<boolean>;
  signal: AbortSignal;
}

/** `skipped`: an approval's time was up. `lost`: a newer run waits for the same lock. */
interface CheckOutcome {
  verdict: 'approved' | 'rejected' | 'skipped' | 'canceled' | 'lost';
  reason?: string;
}

type Wave = 'static' | 'preCheck' | 'dynamic' | 'postCheck' | 'lock';
const waves: Wave[] = ['static', 'preCheck', 'dynamic', 'postCheck', 'lock'];

function waveOf(check: CheckConfiguration): Wave {
  const definition = (check.settings['definitionRef'] as { id?: string } | undefined)?.id;
  if (check.type.id === checkTypes.exclusiveLock) return 'lock';
  if (check.type.id === checkTypes.requiredTemplate || definition === taskChecks.branchControl) return 'static';
  if (definition === approvalPhases.preCheck) return 'preCheck';
  return definition === approvalPhases.postCheck ? 'postCheck' : 'dynamic';
}

/** Runs them all. The stage has a checkpoint in the timeline only when there is something to check. */
export async function runChecks(context: CheckContext): Promise<CheckOutcome> {
  const { project, run, stage, resources, observer } = context;
  await project.read();
  const all = resources.flatMap(({ type, id }) => project.checksOf(type, id));
  if (all.length === 0) return { verdict: 'approved' };
  const suite = openSuite(run, stage, resources, all);
  let outcome: CheckOutcome = { verdict: 'approved' };
  for (const wave of waves) {
    const members = all.filter((check) => waveOf(check) === wave);
    if (members.length === 0) continue;
    // A lock that is free is not waited for: who waits is told by whom it is held.
    if (wave !== 'lock') observer.waiting(context.node, wave === 'static' ? 'checks' : members.map(describeCheck).join(', '));
    outcome = wave === 'lock' ? await lockWave(context, suite, members) : await ordinaryWave(context, suite, members);
    if (outcome.verdict !== 'approved') break;
  }
  const status: CheckStatus =
    outcome.verdict === 'approved'
      ? 'approved'
      : outcome.verdict === 'skipped'
        ? 'timedOut'
        : outcome.verdict === 'canceled'
          ? 'canceled'
          : 'rejected';
  for (const check of suite.checkRuns)
    if (check.status === 'queued' || check.status === 'running') finish(run, check, 'canceled', '');
  suite.status = status;
  suite.message = outcome.reason ?? '';
  const checkpoint = run.run.records.find(({ id }) => id === suite.id);
  if (checkpoint)
    run.update(checkpoint, {
      state: 'completed',
      finishTime: isoNow(),
      result: (
        { approved: 'succeeded', skipped: 'skipped', canceled: 'canceled', lost: 'canceled', rejected: 'failed' } as const
      )[outcome.verdict],
    });
  run.changed();
  await run.flush();
  return outcome;
}

function describeCheck(check: CheckConfiguration): string {
  const name =
    check.type.id === checkTypes.approval
      ? 'approval'
      : check.type.id === checkTypes.exclusiveLock
        ? 'exclusive lock'
        : check.type.name;
  return `${name} of ${check.resource.type} ${check.resource.name}`;
}

async function ordinaryWave(context: CheckContext, suite: CheckSuite, members: CheckConfiguration[]): Promise<CheckOutcome> {
  const outcomes = await Promise.all(members.map((check) => oneCheck(context, suite, check)));
  return outcomes.find(({ verdict }) => verdict !== 'approved') ?? { verdict: 'approved' };
}

function finish(run: RunState, check: CheckRun, status: CheckStatus, message: string): void {
  Object.assign(check, { status, resultMessage: message, completedDate: isoNow() });
  const record = run.run.records.find(({ id }) => id === check.id);
  const good = status === 'approved' || status === 'bypassed';
  if (record)
    run.update(record, {
      state: 'completed',
      finishTime: isoNow(),
      result: good ? 'succeeded' : status === 'timedOut' ? 'skipped' : status === 'canceled' ? 'canceled' : 'failed',
    });
}

async function oneCheck(context: CheckContext, suite: CheckSuite, check: CheckConfiguration): Promise<CheckOutcome> {
  const { run } = context;
  const entry = suite.checkRuns.find(({ checkConfigurationRef }) => checkConfigurationRef.id === check.id);
  if (!entry) throw new Error(`check ${check.id} is not in its suite`);
  const record = run.run.records.find(({ id }) => id === entry.id);
  if (record) run.update(record, { state: 'inProgress', startTime: isoNow() });
  if (check.type.id === checkTypes.approval) return await approvalCheck(context, suite, check, entry);
  const failed = staticCheck(context, check);
  finish(run, entry, failed ? 'rejected' : 'approved', failed ?? '');
  return failed ? { verdict: 'rejected', reason: failed } : { verdict: 'approved' };
}

/** Why a static check fails; undefined when it holds. A kind that cannot be evaluated here never passes silently. */
function staticCheck({ run, files, repositories }: CheckContext, check: CheckConfiguration): string | undefined {
  const where = `${check.resource.type} ${check.resource.name}`;
  const definition = (check.settings['definitionRef'] as { id?: string } | undefined)?.id;
  if (definition === taskChecks.branchControl) {
    const inputs = check.settings['inputs'] as {
      allowedBranches?: string;
      ensureProtectionOfBranch?: string;
      allowUnknownStatusBranch?: string;
    };
    const allowed = (inputs.allowedBranches ?? '')
      .split(',')
      .map((branch) => branch.trim())
      .filter(Boolean);
    const branch = run.run.sourceBranch;
    const fits = allowed.some((pattern) =>
      pattern.endsWith('*') ? branch.startsWith(pattern.slice(0, -1)) : pattern === branch,
    );
    if (!fits) return `Branch control of ${where}: ${branch} is not one of ${allowed.join(', ')}.`;
    if (inputs.ensureProtectionOfBranch === 'true' && inputs.allowUnknownStatusBranch !== 'true')
      return `Branch control of ${where}: whether ${branch} is protected is not known on this machine; allowUnknownStatus would let it pass.`;
    return undefined;
  }
  if (check.type.id === checkTypes.requiredTemplate) {
    const wanted = (check.settings['extendsChecks'] ?? []) as {
      repositoryName: string;
      repositoryRef: string;
      templatePath: string;
    }[];
    const fits = wanted.some(({ repositoryName, repositoryRef, templatePath }) =>
      files.some((file) => {
        const repository = repositories[file.repository.toLowerCase()];
        const same =
          repository?.name.toLowerCase() === repositoryName.toLowerCase() &&
          (file.repository === 'self' || repository.ref === repositoryRef);
        return file.extended && same && file.path.replace(/^\//, '') === templatePath.replace(/^\//, '');
      }),
    );
    const names = wanted.map((one) => `${one.templatePath} of ${one.repositoryName} at ${one.repositoryRef}`).join(' or ');
    return fits ? undefined : `Required template of ${where}: the pipeline does not extend ${names}.`;
  }
  return `${check.type.name} of ${where} cannot be evaluated on this machine.`;
}

/** The longest delay that a timer takes. */
const longest = 2 ** 31 - 1;

async function approvalCheck(
  context: CheckContext,
  suite: CheckSuite,
  check: CheckConfiguration,
  entry: CheckRun,
): Promise<CheckOutcome> {
  const { run, project, approver, stage, signal } = context;
  const approval = approvalOf(run, suite, entry, project);
  const closed = new Promise<void>((resolve) => {
    const look = (): void => {
      if (approval.status === 'pending') return;
      run.events.off('approval', look);
      resolve();
    };
    run.events.on('approval', look);
    look();
  });
  await run.flush();
  const asking = new AbortController();
  const timer = setTimeout(() => run.closeApproval(approval.id, 'timedOut'), Math.min(check.timeout * 60_000, longest));
  const onAbort = (): void => run.closeApproval(approval.id, 'canceled');
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  void closed.then(() => asking.abort());
  try {
    while (approval.status === 'pending') {
      const summaries = await context.summaries();
      const question = {
        runId: run.id,
        stage: stage.identifier,
        stageDisplayName: stage.name,
        resource: check.resource,
        check,
        approval,
        summaries,
        signal: asking.signal,
      };
      const answer = await Promise.race([approver(question), closed.then(() => undefined)]);
      if (approval.status !== 'pending') break;
      if (answer === undefined) {
        await closed;
        break;
      }
      const by: Identity = await project.change((document) => addIdentity(document, answer.by));
      await give(context, entry, approval.id, answer, by);
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    asking.abort();
  }
  return judge(context, check, entry, approval.status);
}

async function give(
  { run, observer }: CheckContext,
  entry: CheckRun,
  id: string,
  answer: { status: 'approved' | 'rejected' | 'bypassed'; comment: string },
  by: Identity,
): Promise<void> {
  if (answer.status === 'bypassed') {
    entry.status = 'bypassed';
    run.closeApproval(id, 'skipped', by);
    return;
  }
  const approval = run.approval(id);
  // One person sits at this machine: who asked for the run is also who answers. The service would not take it.
  if (answer.status === 'approved' && approval?.blockedApprovers.some((blocked) => blocked.id === by.id))
    observer.warning(
      `In Azure DevOps '${by.displayName}' could not approve this run, having requested it; on this machine the answer counts.`,
    );
  try {
    run.answer(id, { status: answer.status, comment: answer.comment }, by, { onBehalf: true });
  } catch (error) {
    if (!(error instanceof ApprovalRefused)) throw error;
    observer.warning(error.message);
  }
  await run.flush();
}

function judge({ run }: CheckContext, check: CheckConfiguration, entry: CheckRun, status: string): CheckOutcome {
  const where = `${check.resource.type} ${check.resource.name}`;
  const approval = run.approval(entry.id);
  const step = approval?.steps.find(({ actualApprover }) => actualApprover);
  const said = step?.comment ? `: ${step.comment}` : '';
  if (entry.status === 'bypassed') {
    finish(run, entry, 'bypassed', '');
    return { verdict: 'approved' };
  }
  switch (status) {
    case 'approved':
      finish(run, entry, 'approved', '');
      return { verdict: 'approved' };
    case 'rejected': {
      const reason = `Approval of ${where} was rejected by ${step?.actualApprover?.displayName ?? 'somebody'}${said}.`;
      finish(run, entry, 'rejected', reason);
      return { verdict: 'rejected', reason };
    }
    case 'timedOut': {
      const reason = `Approval of ${where} was not given within ${check.timeout} ${check.timeout === 1 ? 'minute' : 'minutes'}.`;
      finish(run, entry, 'timedOut', reason);
      return { verdict: 'skipped', reason };
    }
    default:
      finish(run, entry, 'canceled', '');
      return { verdict: 'canceled' };
  }
}

async function lockWave(context: CheckContext, suite: CheckSuite, members: CheckConfiguration[]): Promise<CheckOutcome> {
  const { run, signal } = context;
  const entries = suite.checkRuns.filter(({ checkConfigurationRef }) =>
    members.some(({ id }) => id === checkConfigurationRef.id),
  );
  for (const entry of entries) entry.status = 'running';
  const got = await context.lock(members.map(({ resource }) => resource));
  for (const entry of entries) finish(run, entry, got ? 'approved' : 'canceled', '');
  if (got) return { verdict: 'approved' };
  if (signal.aborted) return { verdict: 'canceled' };
  return {
    verdict: 'lost',
    reason: `A newer run waits for ${members.map(({ resource }) => `${resource.type} ${resource.name}`).join(', ')} (lockBehavior runLatest).`,
  };
}
