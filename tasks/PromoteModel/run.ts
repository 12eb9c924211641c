/** The story of PromoteModel: look at both sides, say what would change, and only then make it so, the champion last. */
import { WorkspaceStore } from '../../src/aml/models-store.js';
import { assertApplicable } from '../../src/release/applicable.js';
import { planPromotion, sameId, type Planned } from '../../src/release/plan.js';
import { applyPlan } from '../../src/release/promote.js';
import type { ApprovalFacts } from '../../src/release/ports.js';
import { placedName, readPointer } from '../../src/release/record.js';
import { planRollback } from '../../src/release/rollback.js';
import { why, whyLines } from '../../src/release/why.js';
import type { Outcome, Platform } from '../../src/task/platform.js';
import { tellingWhatIsLeft } from '../shared/cancelled.js';
import { rejection, reportFolder, showVerdict } from '../shared/gate.js';
import { approvalsOf, keepRun, runOf, told, type Run } from '../shared/release.js';
import type { Inputs } from './inputs.js';
import { openSides, type Sides } from './ports.js';
import { showPlan, publish, summarize } from './report.js';

export async function run(inputs: Inputs, platform: Platform): Promise<Outcome> {
  const current = runOf(platform);
  const sides = openSides(inputs, platform);
  const folder = reportFolder(platform, 'promote');
  const planned = await tellingWhatIsLeft(
    platform,
    () => told(() => makePlan(inputs, sides, current)),
    () => Promise.resolve('nothing was written.'),
  );
  const { plan } = planned;
  const planFile = await showPlan(platform, folder, planned);
  if (plan.gate) await showVerdict(platform, folder, `${plan.model.name}:${plan.model.version}`, plan.gate.verdict);
  platform.output('modelName', plan.targetModel.name);
  platform.output('modelVersion', plan.targetModel.version);
  platform.output('modelId', plan.targetModel.id);
  platform.output('modelDigest', plan.model.digest);
  platform.output('planDigest', planned.planDigest);
  platform.output('planFile', planFile);
  const report = { platform, folder, planned, run: current };

  if (planned.unchanged) {
    publish({ ...report, outcome: 'unchanged' });
    return done(
      platform,
      'unchanged',
      plan.movesChampion
        ? `Nothing to do: ${placedName(plan.targetModel)} is the champion of ${plan.recordedAs} in ${plan.target.name} already.`
        : `Nothing to do: ${placedName(plan.targetModel)} is there with these bytes already.`,
    );
  }
  // A plan that the gate rejects ends like a promotion that it rejects: nobody is asked to approve what cannot be.
  if (plan.gate?.verdict.verdict === 'rejected') {
    publish({ ...report, outcome: 'rejected' });
    platform.output('outcome', 'rejected');
    const message = `${rejection(plan.gate.verdict)}. Nothing was written.`;
    platform.issue({ type: inputs.onRejected === 'warn' ? 'warning' : 'error', message, code: 'Rejected' });
    return { result: inputs.onRejected === 'warn' ? 'SucceededWithIssues' : 'Failed', message };
  }
  if (inputs.action === 'plan') {
    publish({ ...report, outcome: 'planned' });
    return done(platform, 'planned', `Planned, nothing written. planDigest ${planned.planDigest}`);
  }

  const network = sides.home.azure.connection;
  const approvals = await approvalsOf(current, network, platform);
  const { planDigest, requireApproval } = inputs;
  const asked = { requireApproval, ...(planDigest === undefined ? {} : { planDigest }) };
  await told(() => Promise.resolve(assertApplicable(planned, { ...asked, run: current.facts, approvals })));
  const applied = await tellingWhatIsLeft(
    platform,
    () => apply(inputs, planned, sides, current, approvals, platform),
    (signal) => whatIsLeft(planned, sides, signal),
  );
  publish({ ...report, outcome: plan.action === 'rollback' ? 'rolledBack' : 'promoted', approvals, applied });
  platform.output('recordFile', applied.file);
  // Where approvals could not be read, Azure DevOps is out of reach or says no: said once is enough.
  if (plan.movesChampion && approvals.readable)
    await keepRun(current, network, platform, `champion ${plan.recordedAs} ${applied.record.ref.number}`);
  if (plan.movesChampion) await explain(planned, sides, platform);
  const { name: place } = plan.target;
  const now = plan.movesChampion
    ? `${placedName(plan.targetModel)} is the champion of ${plan.recordedAs} in ${place}`
    : `${plan.targetModel.name}:${plan.targetModel.version} is shared with the registry ${place}`;
  return done(platform, plan.action === 'rollback' ? 'rolledBack' : 'promoted', `${now} (record ${applied.record.ref.number}).`);
}

async function makePlan(inputs: Inputs, { ports }: Sides, { facts }: Run): Promise<Planned> {
  if (inputs.action === 'rollback')
    return planRollback(
      { targetName: inputs.targetModelName, ...(inputs.modelVersion ? { version: inputs.modelVersion } : {}) },
      ports,
    );
  return planPromotion(
    {
      name: inputs.modelName,
      version: inputs.modelVersion,
      targetName: inputs.targetModelName,
      gate: inputs.gate,
      onNoChampion: inputs.onNoChampion,
      champion: inputs.champion,
      ...(inputs.metrics ? { metrics: inputs.metrics } : {}),
      run: facts,
    },
    ports,
  );
}

async function apply(
  inputs: Inputs,
  planned: Planned,
  { ports }: Sides,
  current: Run,
  approvals: ApprovalFacts,
  platform: Platform,
) {
  const folder = reportFolder(platform, 'promote');
  let file = '';
  const applied = await told(
    applyPlan(planned, planned.plan.action === 'rollback' ? { ...ports, source: ports.target } : ports, {
      run: current.facts,
      approvals,
      onRejected: inputs.onRejected,
      requireApproval: inputs.requireApproval,
      announce: (record) => {
        const { recordedAs } = planned.plan;
        file = summarize(folder, recordedAs, record);
        platform.attach('aml.promotion', `${recordedAs}-${String(record.ref.number).padStart(6, '0')}.json`, file);
        platform.buildTag(`model:${planned.plan.targetModel.name}:${planned.plan.targetModel.version}`);
        platform.buildTag(`aml.record:${recordedAs}:${record.ref.number}:sha256:${record.ref.sha256}`);
        return Promise.resolve();
      },
    }),
  );
  return { ...applied, file };
}

/** The pointer moves last: it says whether this is done. What else was written stays for the next attempt, which completes it. */
async function whatIsLeft({ plan }: Planned, { home }: Sides, signal: AbortSignal): Promise<string> {
  const again = 'Run the stage again: it goes on with what is there and completes it.';
  if (!plan.movesChampion)
    return `sharing ${placedName(plan.targetModel)} may have been under way, and its record is not complete. ${again}`;
  const now = (await readPointer(new WorkspaceStore(home, signal), plan.recordedAs))?.pointer.champion;
  const { name: place } = plan.target;
  if (now && sameId(now.modelId, plan.targetModel.id))
    return `the champion of ${plan.recordedAs} in ${place} is ${placedName(plan.targetModel)} already; only this run's reports are missing.`;
  const champion = now ? placedName({ ...now, id: now.modelId }) : 'none';
  return `the champion of ${plan.recordedAs} in ${place} was not moved (${champion}). What was written before stays and changes nothing by itself. ${again}`;
}

/** The answer to "what is champion, and why", as `amlops why` gives it. */
async function explain({ plan }: Planned, { ports }: Sides, platform: Platform): Promise<void> {
  const answer = await told(why(plan.recordedAs, ports.store, ports.target));
  await platform.group('Why', () => {
    for (const line of answer ? whyLines(answer) : []) platform.info(line);
    return Promise.resolve();
  });
}

function done(platform: Platform, outcome: string, message: string): Outcome {
  platform.output('outcome', outcome);
  platform.info(message);
  return { result: 'Succeeded', message };
}
