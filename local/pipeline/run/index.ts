/** Runs a multi-stage pipeline on this machine, as Azure Pipelines would (docs/pipelines.md). */
import { existsSync, readdirSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { setWritable } from '../../agent/task-folder.js';
import type { AgentEndpoint } from '../../agent/types.js';
import { Failure } from '../../../src/azure/errors.js';
import { isAlive } from '../../processes.js';
import { isoNow } from '../devops/files.js';
import { addIdentity, Project } from '../devops/project.js';
import type { RunState } from '../devops/run-state.js';
import type { ServiceEndpoint } from '../devops/types.js';
import { LocalDevOps } from '../devops/server.js';
import { stageEdges } from '../expand/graph.js';
import { expandPipeline, type Catalogue, type ExpandedPipeline } from '../expand/index.js';
import { evaluateRuntime } from '../expressions/runtime.js';
import type { NodeResult } from '../expressions/types.js';
import type { RunContext } from './context.js';
import { runGraph, Slots } from './graph.js';
import { stageKey, stepLists } from './names.js';
import { builtInSteps } from './builtin.js';
import { endKilled } from './killed.js';
import { runNumber } from './number.js';
import { callerPlaces } from '../lint/places.js';
import { prepare, type Prepared } from './prepare.js';
import { applyEnvironments, makeEnvironments, setGroups } from './seed.js';
import { sourceFacts, type SourceFacts } from './source.js';
import { resetForRerun, runStage } from './stage.js';
import type { Connected, RunnerState, RunOptions, RunOutcome } from './types.js';
import { layer, merge, nested, runVariables, values, type Variables } from './variables.js';

export * from './types.js';

/**
 * Runs the pipeline to its end.
 * @throws PipelineError (expansion, in the service's words), Failure `PipelineRefused` (a step that cannot be run here, an unknown
 *   connection), `RerunRefused`; then nothing was run. What stages, jobs and steps do is in the outcome.
 */
export async function runPipeline(options: RunOptions): Promise<RunOutcome> {
  const project = await Project.open(options.stateFolder, options.project);
  await setGroups(project, options.catalogue);
  const source = await sourceFacts(options.root);
  const override = (name: string): string | undefined =>
    Object.entries(options.variables).find(([key]) => key.toLowerCase() === name)?.[1];
  source.branch = override('build.sourcebranch') ?? source.branch;
  source.commit = override('build.sourceversion') ?? source.commit;
  const earlier = options.rerun === undefined ? undefined : await openEarlier(project, options.rerun);
  const { pipeline, state } = earlier ? fromEarlier(earlier) : expand(options, project, source);
  for (const { message } of pipeline.warnings) options.observer.warning(message);
  await makeEnvironments(project, state, options);
  const connected = usesTasks(state) ? await options.connect() : nothing;
  try {
    await project.setEndpoints(connected.endpoints.map(openEndpoint));
    if (options.environments) await applyEnvironments(project, options, connected !== nothing);
    const groups = groupsOfRoot(state);
    const prepared = prepare(
      state.document.stages,
      groups,
      project,
      options.tasks,
      (node, property) => pipeline.positionOf(node, property),
      earlier ? undefined : callerPlaces(join(options.root, state.entry), `/${state.entry.replace(/^(\.?\/)+/, '')}`),
    );
    for (const warning of prepared.warnings) options.observer.warning(warning);
    return await runPrepared({ options, project, source, state, prepared, connected, earlier });
  } finally {
    await connected.close();
  }
}

const nothing: Connected = { endpoints: [], ca: [], close: () => Promise.resolve() };

/** What the local Azure DevOps may show of a service connection: no secrets. */
function openEndpoint({ id, name, url, scheme, parameters, data }: AgentEndpoint): ServiceEndpoint {
  const { serviceprincipalkey: _key, ...open } = parameters;
  return { id, name, type: 'azurerm', url, authorization: { scheme, parameters: open }, data };
}

function usesTasks({ document }: RunnerState): boolean {
  return document.stages.some(({ jobs }) =>
    (jobs ?? []).some((job) =>
      stepLists(job).some(({ steps }) => steps.some(({ task }) => !builtInSteps.has(task.toLowerCase()))),
    ),
  );
}

interface PreparedRun {
  options: RunOptions;
  project: Project;
  source: SourceFacts;
  state: RunnerState;
  prepared: Prepared;
  connected: Connected;
  earlier: RunState | undefined;
}

async function runPrepared({ options, project, source, state, prepared, connected, earlier }: PreparedRun): Promise<RunOutcome> {
  const definition = await project.definition(definitionName(options), state.entry);
  const run = earlier ?? (await newRun(project, definition.id, source, options));
  run.run.runner = state;
  const server = await LocalDevOps.start({
    project,
    tlsFolder: resolve(options.stateFolder, 'tls'),
    ...(connected.federation ? { federation: connected.federation } : {}),
  });
  server.runs.set(run.id, run);
  const cancel = new AbortController();
  const onAbort = (): void => cancel.abort();
  options.signal.addEventListener('abort', onAbort, { once: true });
  if (options.signal.aborted) cancel.abort();
  run.events.on('cancel', onAbort);
  try {
    const context: RunContext = {
      options: { ...options, signal: cancel.signal },
      project,
      server,
      run,
      state,
      document: state.document,
      prepared,
      source,
      variables: {},
      connected,
      slots: new Slots(options.parallel),
      secretOutputs: new Set(),
    };
    if (earlier) {
      await removeAgents(run);
      await endKilled(run, project);
      options.observer.message(`Run ${run.id} again: ${resetForRerun(context).join(', ') || 'stages that did not run'}.`);
    }
    context.variables = await rootVariables(context, definition.name);
    if (!earlier) await setNumber(context);
    Object.assign(run.run, { status: 'inProgress', result: 'none', finishTime: null, owner: process.pid });
    run.changed();
    await run.flush();
    options.observer.message(
      `Run ${run.id} (${run.run.buildNumber}) of ${definition.name} at ${source.branch}, ${source.commit.slice(0, 8)}${source.dirty ? ' with changes' : ''}.`,
    );
    cancel.signal.addEventListener('abort', () => {
      run.run.status = 'cancelling';
      run.changed();
    });
    const results = await runGraph(stageEdges(state.document.stages), (index) => runStage(context, index));
    return await finish(context, results);
  } finally {
    options.signal.removeEventListener('abort', onAbort);
    run.run.owner = null;
    run.changed();
    await run.flush();
    await server.close();
  }
}

/** What a killed run left of its agents. */
async function removeAgents(run: RunState): Promise<void> {
  const folder = join(run.folder, 'agents');
  if (!existsSync(folder)) return;
  for (const agent of readdirSync(folder)) setWritable(join(folder, agent, '_work', '_tasks'), true);
  await rm(folder, { recursive: true, force: true, maxRetries: 3 });
}

/** `name:` of the pipeline, when it has one; else the number that the run was made with. */
async function setNumber({ project, run, document, variables }: RunContext): Promise<void> {
  if (!document.name?.trim()) return;
  const taken = new Set<string>();
  for (const id of (await project.runIds()).filter((other) => other !== run.id).slice(-200)) {
    const other = await project.openRun(id);
    if (other?.run.definitionId === run.run.definitionId) taken.add(other.run.buildNumber);
  }
  run.run.buildNumber = runNumber(document.name, values(nested(variables)), new Date(run.run.startTime), run.id, taken);
  const name = Object.keys(variables).find((key) => key.toLowerCase() === 'build.buildnumber') ?? 'Build.BuildNumber';
  variables[name] = { value: run.run.buildNumber };
}

async function finish({ run, document, state }: RunContext, results: NodeResult[]): Promise<RunOutcome> {
  const result = results.some((one) => one === 'Failed' || one === 'Abandoned')
    ? 'failed'
    : results.includes('Canceled')
      ? 'canceled'
      : results.includes('SucceededWithIssues')
        ? 'partiallySucceeded'
        : 'succeeded';
  Object.assign(run.run, { status: 'completed', result, finishTime: isoNow() });
  run.changed();
  await run.flush();
  return {
    runId: run.id,
    buildNumber: run.run.buildNumber,
    folder: run.folder,
    result,
    stages: results.map((one, index) => {
      const name = stageKey(document, index);
      const { attempt = 1, reason } = state.stages[name] ?? {};
      return { name, result: one, attempt, ...(reason ? { reason } : {}) };
    }),
  };
}

function definitionName({ entry, root }: RunOptions): string {
  return relative(root, resolve(root, entry))
    .replaceAll('\\', '/')
    .replace(/\.ya?ml$/i, '');
}

function expand(options: RunOptions, project: Project, source: SourceFacts): { pipeline: ExpandedPipeline; state: RunnerState } {
  const known = options.catalogue;
  const catalogue: Catalogue = {
    ...known,
    // With a file of environments, what it does not name does not exist; without one, environments are made as they are met.
    ...(options.environments ? { environments: [...options.environments.environments, ...(known?.environments ?? [])] } : {}),
    tasks: taskNames(options.tasks),
  };
  const variables = { ...values(runVariables(project, source, definitionName(options))), ...options.variables };
  const pipeline = expandPipeline(options.entry, {
    root: options.root,
    parameters: options.parameters,
    variables,
    repositories: options.repositories,
    catalogue,
  });
  const { document, parameters, files } = pipeline;
  const entry = relative(options.root, resolve(options.root, options.entry)).replaceAll('\\', '/');
  return { pipeline, state: { entry, parameters, variables: options.variables, rootVariables: {}, document, files, stages: {} } };
}

function taskNames(tasks: string): string[] {
  return existsSync(tasks) && !tasks.endsWith('.vsix')
    ? readdirSync(tasks).filter((name) => existsSync(join(tasks, name, 'task.json')))
    : ['RunAmlPipeline', 'RegisterModel', 'PromoteModel'];
}

function fromEarlier(run: RunState): { pipeline: ExpandedPipeline; state: RunnerState } {
  const state = run.run.runner as RunnerState;
  const { document, parameters, files } = state;
  return { state, pipeline: { document, parameters, files, warnings: [], positionOf: () => undefined } };
}

async function openEarlier(project: Project, id: number): Promise<RunState> {
  const refuse = (message: string, advice: string): Failure => new Failure(message, { code: 'RerunRefused', advice });
  const run = await project.openRun(id);
  if (!run?.run.runner)
    throw refuse(
      `There is no run ${id} in project '${project.name}'.`,
      `Runs that are there: ${(await project.runIds()).join(', ') || 'none'}.`,
    );
  const { owner, status, result } = run.run;
  if (owner !== null && owner !== process.pid && isAlive(owner))
    throw refuse(`Run ${id} is still running (process ${owner}).`, 'Wait for it, or cancel it with Ctrl-C.');
  if (status === 'completed' && (result === 'succeeded' || result === 'partiallySucceeded')) {
    const skipped = Object.values((run.run.runner as RunnerState).stages).some(
      (stage) => stage.result === 'Skipped' && stage.started,
    );
    if (!skipped)
      throw refuse(
        `Run ${id} ${result === 'succeeded' ? 'succeeded' : 'succeeded with issues'}: there is nothing to run again.`,
        'Start a new run.',
      );
  }
  return run;
}

async function newRun(project: Project, definitionId: number, source: SourceFacts, options: RunOptions): Promise<RunState> {
  const requestedFor = await project.change((document) => addIdentity(document, 'local user'));
  return await project.newRun({
    definitionId,
    sourceBranch: source.branch,
    sourceVersion: source.commit,
    repositoryName: source.repository,
    requestedFor,
    templateParameters: options.parameters,
  });
}

function groupsOfRoot({ document }: RunnerState): string[] {
  return (document.variables ?? []).flatMap(({ group }) => (group ? [group] : []));
}

/** Predefined, queue-time, secret and root variables; `$[ ]` of the root is evaluated once, when the run starts. */
async function rootVariables(context: RunContext, definitionName: string): Promise<Variables> {
  const { project, source, run, state, options, document } = context;
  const known = runVariables(project, source, definitionName, run);
  const queued: Variables = Object.fromEntries(Object.entries(state.variables).map(([name, value]) => [name, { value }]));
  const secrets: Variables = Object.fromEntries(
    Object.entries(options.secrets).map(([name, value]) => [name, { value, isSecret: true }]),
  );
  const root = layer(document.variables, project, options.secrets);
  const all = merge(queued, root, secrets, known);
  await project.change((stored) => {
    const counter = (prefix: string, seed: number): number => {
      const counters = (stored.counters ??= {});
      const key = `${run.run.definitionId}/${prefix}`;
      return (counters[key] = key in counters ? (counters[key] ?? seed) + 1 : seed);
    };
    for (const [name, variable] of Object.entries(root)) {
      const kept = state.rootVariables[name];
      const runtime = { variables: values(all), pipeline: { startTime: run.run.startTime }, counter };
      const value = kept ?? evaluateRuntime(variable.value, 'rootVariable', runtime);
      if (value !== variable.value) {
        state.rootVariables[name] = value;
        all[name] = { ...variable, value };
      }
    }
  });
  return all;
}
