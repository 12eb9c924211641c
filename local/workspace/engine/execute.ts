/** One command as one run: environment, slot, files, process, outputs. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { open, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ServiceError } from '../errors.js';
import { artifactPlace, locate } from './locate.js';
import { buildEnvironment, planEnvironment, type BuiltEnvironment, type EnvironmentPlan } from './environment/resolve.js';
import { copyPath, discard, storePath, type SnapshotCache } from './data.js';
import type { BlobPlace } from '../storage/types.js';
import { definitionOf, onCluster } from './describe.js';
import type { RunRecord, RunStatus } from '../runs/record.js';
import { directUri, fetchInput, segment, snapshotOf } from './inputs.js';
import { amend, enter, unlessCanceled } from './life.js';
import { pumpLog } from './log.js';
import { markOf, runProcess } from './process.js';
import { registerOutput } from './register.js';
import { jobTemp } from './place.js';
import { jobEnvironment, type Site } from './site.js';
import type { Slots } from './slots.js';
import { fillCommand, fillOutputPath } from './text.js';
import {
  Canceled,
  JobFailure,
  type CommandSpec,
  type DataValue,
  type InputValue,
  type OutputTarget,
  type RunOutcome,
  type Task,
} from './types.js';
import { historyType } from './uris.js';

/** What the engine keeps for all runs. */
export interface Shared {
  site: Site;
  snapshots: SnapshotCache;
  slots(wsGuid: string, compute: string | undefined): Slots;
  /** Builds of environments in this process, by reference; many nodes share one. */
  environments: Map<string, Promise<{ plan: EnvironmentPlan; built: BuiltEnvironment }>>;
  processStarted(mark: string, pid: number): void;
  processEnded(mark: string): void;
}

/** Folders of the working directory whose files become artifacts of the run. */
const artifactFolders = ['outputs', 'logs'];
/** Outputs of these names are the artifacts of the run, whatever is written to `./outputs` included. */
const isArtifacts = (output: string): boolean => output === 'artifacts' || output === 'default';
const logName = 'user_logs/std_log.txt';
const buildLogName = 'azureml-logs/20_image_build_log.txt';

async function environmentOf(task: Task, shared: Shared, reference: string): Promise<BuiltEnvironment> {
  const { tree } = task;
  const key = `${tree.rootRunId} ${reference}`;
  let pending = shared.environments.get(key);
  if (!pending) {
    pending = planEnvironment(tree.ctx, tree.ws, reference).then(async (plan) => ({
      plan,
      built: await buildEnvironment(plan, tree.signal),
    }));
    shared.environments.set(key, pending);
    pending.catch(() => undefined);
  }
  return (await unlessCanceled(pending, task.signal)).built;
}

function stopIfCanceled(signal: AbortSignal): void {
  if (signal.aborted) throw new Canceled();
}

/** Goes through a state that nobody could see (no `--latency`, nothing to wait for) without writing it: forty short steps feel each write. */
async function pass(task: Task, status: RunStatus, needed: boolean, change?: (run: RunRecord) => void): Promise<void> {
  if (needed || task.tree.ctx.latency.seconds(status) > 0) await enter(task, status, change);
}

/**
 * Runs a command as `task.run` up to (not including) its end state.
 * @throws JobFailure the run failed and why · Canceled it was cancelled
 */
export async function execute(
  task: Task,
  shared: Shared,
  spec: CommandSpec,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
): Promise<RunOutcome> {
  const { tree, run, signal } = task;
  const { ctx, ws } = tree;
  const artifacts = (path: string) => artifactPlace(ws, run.dataContainerId, path);
  const slots = shared.slots(ws.guid, task.compute);
  const taken = (record: RunRecord): void => {
    onCluster(record, slots);
  };
  await pass(task, 'Preparing', run.status !== 'Preparing');
  // Data that cannot be reached fails the job before an environment is built for nothing.
  for (const value of inputs.values()) if (value.kind === 'data') locate(ctx, ws, value.uri);
  let environment: BuiltEnvironment;
  try {
    environment = await environmentOf(task, shared, spec.environmentId);
  } catch (error) {
    stopIfCanceled(signal);
    const log = (error as { log?: string }).log ?? (error instanceof JobFailure ? error.message : undefined);
    if (log !== undefined) {
      await ctx.storage.write(artifacts(buildLogName), log + '\n');
      await amend(tree, run.runId, (record) => (record.logFiles = [buildLogName]));
    }
    throw error;
  }
  stopIfCanceled(signal);
  await pass(task, 'Queued', slots.full, taken);
  const free = await slots.take(signal).catch(() => {
    throw new Canceled();
  });
  const folder = join(tree.folder, segment(run.runId));
  try {
    // A log that is listed can be read: both are there before the run shows as running. The process does not wait for that.
    const logs = Promise.all([
      ctx.storage.append(artifacts(logName), new Uint8Array()),
      ctx.storage.write(artifacts(buildLogName), environment.log),
    ]);
    logs.catch(() => undefined); // awaited below
    const files = await prepareFiles(task, shared, spec, inputs, targets, folder);
    stopIfCanceled(signal);
    const logFile = join(folder, 'std_log.txt');
    writeFileSync(logFile, '');
    const running = logs.then(() =>
      enter(task, 'Running', (record) => {
        record.logFiles = [buildLogName, logName];
        record.definition = definitionOf(spec, inputs, targets);
        taken(record);
      }),
    );
    running.catch(() => undefined); // awaited below
    if (ctx.latency.seconds('Running') > 0) await running;
    try {
      await runCommand(task, shared, spec, environment, files, logFile);
    } finally {
      await running;
    }
    const outputs = await storeOutputs(task, files.outputs);
    for (const name of artifactFolders) await store(task, name, join(files.cwd, name), artifacts(name));
    stopIfCanceled(signal);
    return { outputs };
  } finally {
    free();
    // The log stays until it has been moved; outputs are read by later nodes of the tree.
    discard(tree, join(folder, 'wd'));
    discard(tree, join(folder, 'in'));
  }
}

interface Files {
  cwd: string;
  command: string;
  /** Variables that name inputs and outputs. */
  variables: Record<string, string>;
  outputs: Map<string, { target: OutputTarget; local?: string; uri: string }>;
}

async function prepareFiles(
  task: Task,
  shared: Shared,
  spec: CommandSpec,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
  folder: string,
): Promise<Files> {
  const { ctx, ws } = task.tree;
  const cwd = join(folder, 'wd');
  // The service makes both, and keeps what lands in them. (Synchronous, as all small steps here: forty short nodes feel each turn of the
  // thread pool.)
  for (const name of artifactFolders) mkdirSync(join(cwd, name), { recursive: true });
  if (spec.codeId !== undefined) await copyPath(await snapshotOf(task, shared.snapshots, spec.codeId), cwd);
  for (const [name, text] of Object.entries(spec.extraFiles ?? {})) writeFileSync(join(folder, segment(name)), text);
  const variables: Record<string, string> = {};
  const values = new Map<string, string | undefined>();
  for (const [name, value] of inputs) {
    const text = value.kind === 'literal' ? value.text : await fetchInput(task, value, join(folder, 'in', segment(name)));
    values.set(name, text);
    if (text !== undefined && value.kind === 'data') variables[`AZURE_ML_INPUT_${name}`] = text;
  }
  const outputs: Files['outputs'] = new Map();
  const outputValues = new Map<string, string>();
  const defaultDatastore = ctx.storage.defaultDatastore(ws);
  for (const [name, target] of targets) {
    const given = fillOutputPath(target.uri ?? '', { name: task.run.runId, outputName: name, defaultDatastore });
    const usual = isArtifacts(name)
      ? ctx.storage.longUri(ws, 'workspaceartifactstore', artifactPlace(ws, task.run.dataContainerId).path)
      : ctx.storage.longUri(ws, defaultDatastore, `azureml/${task.run.runId}/${name}/`);
    const uri = given !== '' ? given : usual;
    const direct = target.mode?.toLowerCase() === 'direct';
    const local = direct ? undefined : outputPath(target, uri, given !== '', join(folder, 'out', segment(name)));
    outputs.set(name, { target, uri, ...(local !== undefined && { local }) });
    outputValues.set(name, local ?? uri);
    variables[`AZURE_ML_OUTPUT_${name}`] = local ?? uri;
  }
  const command = fillCommand(spec.command, {
    inputs: values,
    outputs: outputValues,
    ...(spec.searchSpace && { searchSpace: spec.searchSpace }),
  }).replaceAll('$AMLOPS_RUN_FOLDER', folder);
  return { cwd, command, variables, outputs };
}

/** Where a job writes an output: a folder that is there, or a file in a folder that is there. */
function outputPath(target: OutputTarget, uri: string, named: boolean, folder: string): string {
  mkdirSync(folder, { recursive: true });
  if (target.type !== 'uri_file') return folder;
  const last = named && !uri.endsWith('/') ? (uri.split('/').pop() ?? 'data') : 'data';
  return join(folder, segment(last));
}

async function runCommand(
  task: Task,
  shared: Shared,
  spec: CommandSpec,
  environment: BuiltEnvironment,
  files: Files,
  logFile: string,
): Promise<void> {
  const { tree, run, signal } = task;
  const { ctx, ws } = tree;
  const mark = markOf(tree, run.runId);
  const variables = { ...environment.variables, ...files.variables, ...spec.environmentVariables };
  const temp = jobTemp(shared.site.folder);
  const env = jobEnvironment({ task, site: shared.site, venv: environment.venv, token: await tree.token(), temp, variables });
  const pump = pumpLog(ctx.storage, logFile, artifactPlace(ws, run.dataContainerId, logName));
  try {
    const end = await runProcess({
      command: files.command,
      cwd: files.cwd,
      env,
      logFile,
      mark,
      signal,
      ...(spec.timeout !== undefined && { timeout: spec.timeout }),
      onStart: (pid) => {
        shared.processStarted(mark, pid);
      },
    });
    if (signal.aborted) throw new Canceled();
    if (end.timedOut)
      throw new JobFailure(`The job ran longer than its limit of ${spec.timeout} seconds and was ended.`, 'UserError', {
        innerCode: 'JobTimeout',
      });
    if (end.code !== 0) throw await processFailure(end.code, end.signal, logFile);
  } finally {
    shared.processEnded(mark);
    await pump.finish();
    discard(tree, temp);
  }
}

/** The service's words for a process that failed, with the end of the log. */
async function processFailure(code: number | null, signal: string | null, logFile: string): Promise<JobFailure> {
  const how = code === null ? `was ended by ${signal}` : `exited with status code ${code}`;
  const tail = await lastBytes(logFile, 6_000);
  const traceback = tail.lastIndexOf('Traceback (most recent call last)');
  const shown = (traceback >= 0 ? tail.slice(traceback) : tail.split('\n').slice(-12).join('\n')).trim();
  return new JobFailure(
    `Execution failed. User process '/bin/bash' ${how}. Please check log file '${logName}' for error details. Error: ${shown}`,
    'UserError',
    { innerCode: 'UserExecutionFailed' },
  );
}

async function lastBytes(path: string, count: number): Promise<string> {
  const { size } = await stat(path);
  if (size <= count) return readFile(path, 'utf8');
  const handle = await open(path, 'r');
  try {
    const buffer = Buffer.alloc(count);
    const { bytesRead } = await handle.read(buffer, 0, count, size - count);
    return buffer.toString('utf8', 0, bytesRead);
  } finally {
    await handle.close();
  }
}

/** Uploads what a job has written, without following links out of the tree's folder; a run warns of those. @returns number of files */
async function store(task: Task, what: string, path: string, place: BlobPlace): Promise<number> {
  const { tree, run } = task;
  const skipped: string[] = [];
  const count = await storePath(tree.ctx.storage, path, place, tree.folder, skipped);
  if (skipped.length > 0)
    await amend(tree, run.runId, (record) =>
      record.warnings.push(
        `${what}: ${skipped.length} links were not stored, because they lead to no file of the job: ${skipped.slice(0, 5).join(', ') || 'the folder itself'}.`,
      ),
    );
  return count;
}

async function storeOutputs(task: Task, outputs: Files['outputs']): Promise<Map<string, DataValue>> {
  const { tree, run } = task;
  const { ctx, ws } = tree;
  await enter(task, 'Finalizing', (record) => {
    for (const [name, { target, uri, local }] of outputs) {
      const assetId = `azureml://locations/${ws.location}/workspaces/${ws.guid}/data/azureml_${run.runId}_output_data_${name}/versions/1`;
      record.outputs[name] = { assetId, type: historyType(target.type), uri: longForm(task, uri, target, local) };
    }
  });
  const stored = new Map<string, DataValue>();
  const empty = new Set<string>();
  for (const [name, { target, uri, local }] of outputs) {
    let place: ReturnType<typeof locate>;
    try {
      place = locate(ctx, ws, uri);
    } catch (error) {
      if (error instanceof ServiceError) throw new JobFailure(`Output '${name}': ${error.message}`);
      throw error;
    }
    if ('url' in place)
      throw new JobFailure(`Output '${name}' cannot be written to ${uri}: it is not in this workspace's storage.`);
    if (local !== undefined) {
      const file =
        target.type === 'uri_file' && uri.endsWith('/')
          ? `${place.place.path}${local.split(/[/\\]/).pop() ?? 'data'}`
          : place.place.path;
      if ((await store(task, `Output '${name}'`, local, { ...place.place, path: file })) === 0) empty.add(name);
    }
    const long = longForm(task, uri, target, local);
    stored.set(name, {
      kind: 'data',
      uri: long,
      type: target.type,
      mayBeEmpty: true,
      ...(local !== undefined && !isArtifacts(name) && { local }),
    });
  }
  for (const [name, { target }] of outputs) {
    stopIfCanceled(task.signal); // what was cancelled registers nothing
    const value = stored.get(name);
    if (target.assetName === undefined || !value) continue;
    if (!empty.has(name)) await registerOutput(task, name, target, value.uri);
    else
      await amend(tree, run.runId, (record) =>
        record.warnings.push(`Output '${name}' is empty: nothing was registered as '${target.assetName}'.`),
      );
  }
  return stored;
}

/** Output URIs in the long form that the service answers; a file in a default folder names the file. */
function longForm(task: Task, uri: string, target: OutputTarget, local: string | undefined): string {
  const long = directUri(task, uri);
  return target.type === 'uri_file' && long.endsWith('/') && local !== undefined
    ? long + (local.split(/[/\\]/).pop() ?? 'data')
    : long;
}
