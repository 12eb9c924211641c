/** One job of a stage: condition, variables, its agent jobs (legs or hooks), and what is remembered of it. */
import { isoNow } from '../devops/files.js';
import type { TimelineRecord } from '../devops/types.js';
import { jobEdges } from '../expand/graph.js';
import type { ExpandedJob, NormalMapping } from '../expand/types.js';
import { evaluateCondition, type RuntimeContext } from '../expressions/runtime.js';
import type { NodeResult } from '../expressions/types.js';
import { runAgentJob, type AgentJobEnd } from './agent-job.js';
import { jobFacts, jobStateOf, recordResults, stageDependencies, type StageContext } from './context.js';
import { combine, runGraph } from './graph.js';
import { jobKey, jobTitle, stageKey, stepLists } from './names.js';
import type { OutputFact, TreeNode } from './types.js';
import { layer, merge, nested, settle, values, type Variables } from './variables.js';
import { whySkipped } from './why.js';

/** Runs the jobs of a stage by their graph; jobs that ended well in an earlier attempt are kept. */
export async function runJobs(context: StageContext, signal: AbortSignal): Promise<NodeResult> {
  const jobs = context.stage.jobs ?? [];
  const results = await runGraph(jobEdges(jobs), async (index) => {
    const job = jobs[index];
    return job ? await runJob(context, job, index, signal) : 'Skipped';
  });
  return combine(results);
}

async function runJob(context: StageContext, job: ExpandedJob, index: number, signal: AbortSignal): Promise<NodeResult> {
  const { run, stage, stageState, record: stageRecord } = context;
  const { observer } = context.options;
  const key = jobKey(stage, index);
  const state = jobStateOf(stageState, key);
  if (state.result !== undefined) return state.result;
  const title = jobTitle(stage, index);
  const phase = run.record('Phase', `${stageRecord.identifier}.${key}`, title, stageRecord, state.attempt);
  run.update(phase, { state: 'inProgress', startTime: isoNow() });
  const node: TreeNode = { kind: 'job', id: phase.id, parent: stageRecord.id, title };
  const end = (result: NodeResult, outputs: OutputFact[] = [], reason?: string): NodeResult => {
    Object.assign(state, { result, outputs });
    run.update(phase, {
      state: 'completed',
      finishTime: isoNow(),
      result: recordResults[result],
      ...(reason ? { issues: [{ type: 'error' as const, message: reason }], errorCount: 1 } : {}),
    });
    return result;
  };
  const runtime = runtimeContext(context, index, signal.aborted);
  let variables: Variables;
  try {
    const level = merge(
      layer(stage.variables, context.project, context.options.secrets),
      layer(job.variables, context.project, context.options.secrets),
    );
    runtime.variables = values(merge(context.variables, level));
    if (!evaluateCondition(job.condition, 'jobCondition', runtime)) {
      const result = signal.aborted ? 'Canceled' : 'Skipped';
      const why = result === 'Skipped' ? whySkipped(job.condition, runtime.dependencies ?? {}) : undefined;
      observer.ended(node, result, why);
      Object.assign(state, why ? { reason: why } : {});
      return end(result);
    }
    const matrix = job.strategy?.matrix;
    const dynamic: Variables = typeof matrix === 'string' ? { [matrixVariable]: { value: matrix } } : {};
    variables = settle(merge(context.variables, level, dynamic), runtime, context.secretOutputs);
  } catch (error) {
    const reason = `Job ${key}: ${(error as Error).message}`;
    observer.ended(node, 'Abandoned', reason);
    return end('Abandoned', [], reason);
  }
  const own: JobRun = { context, job, key, title, phase, attempt: state.attempt, variables, signal };
  const ended = job.deployment === undefined ? await runPlain(own) : await runDeployment(own);
  const proceed = job.continueOnError?.toLowerCase() === 'true';
  const result = ended.result === 'Failed' && proceed ? 'SucceededWithIssues' : ended.result;
  end(result, ended.outputs);
  await run.flush();
  return result;
}

function runtimeContext(context: StageContext, index: number, canceled: boolean): RuntimeContext {
  const jobs = context.stage.jobs ?? [];
  const before = jobEdges(jobs)[index] ?? [];
  return {
    canceled,
    dependencies: Object.fromEntries(
      before.map((other) => {
        const job = jobs[other] ?? {};
        const name = jobKey(context.stage, other);
        return [name, jobFacts(job, jobStateOf(context.stageState, name))];
      }),
    ),
    stageDependencies: stageDependencies(context),
    pipeline: { startTime: context.run.run.startTime },
  };
}

interface JobRun {
  context: StageContext;
  job: ExpandedJob;
  key: string;
  title: string;
  phase: TimelineRecord;
  attempt: number;
  variables: Variables;
  signal: AbortSignal;
}

interface Leg {
  name: string;
  variables: Variables;
}

/** Minutes of a property that may be a macro; the service's default when it is not there. */
function minutes(text: string | undefined, variables: Variables, otherwise: number): number {
  if (text === undefined || text.trim() === '') return otherwise;
  const known = values(nested(variables));
  const value = Number(
    text.replace(
      /\$\(([^()]+)\)/g,
      (whole, name: string) => Object.entries(known).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1] ?? whole,
    ),
  );
  return Number.isFinite(value) && value >= 0 ? value : otherwise;
}

function agentPlan(
  own: JobRun,
  part: { name: string; title: string; hook?: string; leg?: string; variables: Variables },
): Parameters<typeof runAgentJob>[0] {
  const { context, job, key, title, phase, attempt, signal } = own;
  const lists = stepLists(job);
  const steps = (part.hook === undefined ? lists[0] : lists.find(({ hook }) => hook === part.hook))?.steps ?? [];
  return {
    context,
    phase,
    attempt,
    signal,
    steps,
    name: part.name,
    title: part.title,
    variables: merge(own.variables, part.variables),
    ...(part.hook ? { hook: part.hook } : {}),
    ...(part.leg ? { leg: part.leg } : {}),
    timeoutMinutes: minutes(job.timeoutInMinutes, own.variables, 60),
    cancelMinutes: Math.max(1, minutes(job.cancelTimeoutInMinutes, own.variables, 5)),
    place: {
      stage: stageKey(context.document, context.stageIndex),
      stageTitle: context.record.name,
      stageAttempt: context.stageState.attempt,
      phase: key,
      phaseTitle: title,
      job: part.name,
      jobTitle: part.title,
      attempt,
    },
  };
}

async function runPlain(own: JobRun): Promise<AgentJobEnd> {
  const { context, job, title } = own;
  const legs = legsOf(own);
  const limit = Number(job.strategy?.maxParallel ?? '0');
  const ends: AgentJobEnd[] = [];
  const start = async (leg: Leg | undefined): Promise<void> => {
    const part = leg
      ? { name: leg.name, title: `${title} ${leg.name}`, leg: leg.name, variables: leg.variables }
      : { name: '__default', title, variables: {} };
    ends.push(await context.slots.run(() => runAgentJob(agentPlan(own, part))));
  };
  if (!legs) await start(undefined);
  else
    for (let from = 0, size = limit > 0 ? limit : legs.length; from < legs.length; from += size)
      await Promise.all(legs.slice(from, from + size).map(start));
  return { result: combine(ends.map(({ result }) => result)), outputs: ends.flatMap(({ outputs }) => outputs) };
}

/** Legs of a matrix or of `parallel`; undefined for a job that is one agent job. */
function legsOf({ job, variables }: JobRun): Leg[] | undefined {
  const { matrix, parallel } = job.strategy ?? {};
  if (parallel !== undefined) {
    const count = minutes(parallel, variables, 1);
    return Array.from({ length: count }, (_, index) => ({
      name: `slice${index + 1}`,
      variables: {
        'System.JobPositionInPhase': { value: String(index + 1) },
        'System.TotalJobsInPhase': { value: String(count) },
      },
    }));
  }
  if (matrix === undefined) return undefined;
  // A matrix from `$[ ]` has been settled with the variables under a name of its own.
  const legs = typeof matrix === 'string' ? (JSON.parse(variables[matrixVariable]?.value ?? '{}') as NormalMapping) : matrix;
  return Object.entries(legs).map(([name, entries]) => ({
    name,
    variables: Object.fromEntries(
      Object.entries(entries as Record<string, string>).map(([key, value]) => [key, { value: String(value) }]),
    ),
  }));
}

const matrixVariable = 'amlops.matrix';

const hookTitles: Record<string, string> = { success: 'on success', failure: 'on failure' };

/** runOnce: hooks one after the other, each an agent job; the first that fails ends it, then `on.failure`, else `on.success`. */
async function runDeployment(own: JobRun): Promise<AgentJobEnd> {
  const { context, job, key, title, phase } = own;
  const { project, run } = context;
  const hooks = stepLists(job).map(({ hook }) => hook ?? '');
  const environment = job.environment?.name === undefined ? undefined : project.environment(job.environment.name);
  const deployment = environment ? await openDeployment(own, environment.id) : undefined;
  const base: Variables = {
    'Strategy.Name': { value: 'runOnce' },
    'Environment.Name': { value: environment?.name ?? '' },
    'Environment.Id': { value: environment ? String(environment.id) : '' },
    'Environment.ResourceName': { value: job.environment?.resourceName ?? '' },
    'Environment.ResourceId': { value: job.environment?.resourceId ?? '' },
  };
  const ends: AgentJobEnd[] = [];
  const runHook = async (hook: string): Promise<void> => {
    if (!hooks.includes(hook)) return;
    const variables = { ...base, 'Strategy.CycleName': { value: hook }, 'Strategy.Action': { value: hook } };
    const hookTitle = hooks.length > 1 ? `${title}: ${hookTitles[hook] ?? hook}` : title;
    ends.push(await context.slots.run(() => runAgentJob(agentPlan(own, { name: hook, title: hookTitle, hook, variables }))));
  };
  const good = (): boolean => ends.every(({ result }) => result === 'Succeeded' || result === 'SucceededWithIssues');
  for (const hook of ['preDeploy', 'deploy', 'routeTraffic', 'postRouteTraffic']) if (good()) await runHook(hook);
  if (good()) await runHook('success');
  else if (!own.signal.aborted) await runHook('failure');
  const result = combine(ends.map((end) => end.result));
  if (deployment !== undefined)
    await project.change((document) => {
      const found = document.deployments.find(({ id }) => id === deployment);
      if (found) Object.assign(found, { result: recordResults[result], finishTime: isoNow() });
    });
  run.update(phase, { name: title, refName: key });
  return { result, outputs: ends.flatMap(({ outputs }) => outputs) };
}

/** The environment's history: who deployed what, when (reference azure-devops-rest §3). */
async function openDeployment({ context, key, phase, attempt }: JobRun, environmentId: number): Promise<number> {
  const { project, run } = context;
  return await project.change((document) => {
    const id = document.next++;
    const definition = document.definitions.find((known) => known.id === run.run.definitionId);
    document.deployments.push({
      id,
      environmentId,
      definition: { id: run.run.definitionId, name: definition?.name ?? '' },
      owner: { id: run.id, name: run.run.buildNumber },
      planId: run.run.planId,
      planType: 'Build',
      requestIdentifier: phase.id,
      stageName: context.record.identifier,
      jobName: key,
      stageAttempt: context.stageState.attempt,
      jobAttempt: attempt,
      queueTime: isoNow(),
      startTime: isoNow(),
    });
    return id;
  });
}
