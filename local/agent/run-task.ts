/** The room's door: a task, or a script, as a step of an agent job. */
import { existsSync } from 'node:fs';
import { isAbsolute, resolve } from 'node:path';
import { Failure } from '../../src/azure/errors.js';
import { findInput, missingInputs, prepareInputs, type PreparedInputs } from './inputs.js';
import { createJob, type AgentJob } from './job.js';
import { nodeBinary } from './node-binary.js';
import { runStep } from './run-step.js';
import { handlerTarget, type TaskDefinition, type TaskHandler } from './task-definition.js';
import { fingerprintFolder, unpackTask, type UnpackedTask } from './task-folder.js';
import type { JobOptions, ScriptStep, TaskRunResult, TaskStep } from './types.js';

export { createJob, AgentJob } from './job.js';

/** Handlers in the agent's order of preference. */
const handlerOrder = ['Node24', 'Node20_1'];

/**
 * The handler that agents of a platform take: on Windows one that names it in `platforms` first, then the best one, whichever Node runs it
 * (without a feature flag that is Node 20 also for Node24; B.3). `platforms` means nothing elsewhere. Undefined when there is none.
 */
export function preferredHandler(handlers: Record<string, TaskHandler>, platform = process.platform): TaskHandler | undefined {
  const known = handlerOrder.map((name) => handlers[name]).filter((found) => found !== undefined);
  const pinned = ({ platforms }: TaskHandler): boolean =>
    platform === 'win32' && (platforms ?? []).some((name) => name.toLowerCase() === 'windows');
  return known.find(pinned) ?? known[0];
}

function chooseHandler({ definition, folder }: UnpackedTask): { target: string; cwd: string | undefined } {
  const handlers = definition.execution ?? {};
  const handler = preferredHandler(handlers);
  if (!handler) {
    throw new Failure(
      `${definition.name} has no handler for Node 20 or Node 24, only ${Object.keys(handlers).join(', ') || 'none'}.`,
      {
        code: 'TaskInvalid',
      },
    );
  }
  return { target: handlerTarget(folder, handler), cwd: handler.workingDirectory };
}

/** The server sends a job to no agent that is older than its tasks ask for (B.1 minimumAgentVersion). */
function checkAgent(job: AgentJob, { name, minimumAgentVersion: least }: TaskDefinition): void {
  const own = job.variables.get('Agent.Version')?.value ?? '';
  if (least === undefined || own.localeCompare(least, 'en', { numeric: true }) >= 0) return;
  throw new Failure(`${name} needs an agent of version ${least} or later; this is ${own}.`, {
    code: 'AgentTooOld',
    advice: 'Update the agent.',
  });
}

/** A pull request from a fork gets no secrets: a task that names a connection or a secure file is not run then (B.5, job access). */
function forkRefusal(job: AgentJob, { endpoints, secureFiles }: PreparedInputs): { skip?: string } {
  const isTrue = (name: string): boolean => job.variables.get(name)?.value.toLowerCase() === 'true';
  if (!isTrue('system.restrictSecrets') || !isTrue('system.pullRequest.isFork')) return {};
  if (endpoints.length === 0 && secureFiles.length === 0) return {};
  const what = endpoints.length > 0 ? 'service endpoint' : 'secure file';
  return { skip: `References ${what}. PRs from repository forks are not allowed to access secrets in the pipeline.` };
}

function header({ definition }: UnpackedTask): string[] {
  const { version, friendlyName, description, author, helpUrl, helpMarkDown } = definition;
  const line = '='.repeat(78);
  const row = (name: string, value: string | undefined): string => `${name.padEnd(13)}: ${value ?? ''}`;
  return [
    line,
    row('Task', friendlyName),
    row('Description', description),
    row('Version', `${version.Major}.${version.Minor}.${version.Patch}`),
    row('Author', author),
    row('Help', helpUrl ?? helpMarkDown),
    line,
  ];
}

/** The step's name as the server makes it: instanceNameFormat with the inputs as they were written (paths are not absolute yet), or their defaults. */
function instanceName({ definition }: UnpackedTask, given: Record<string, string>): string {
  const byName = new Map(definition.inputs.map(({ name, defaultValue }) => [name.toLowerCase(), String(defaultValue ?? '')]));
  for (const [name, value] of Object.entries(given)) byName.set((findInput(definition, name)?.name ?? name).toLowerCase(), value);
  return definition.instanceNameFormat
    .replaceAll(/\$\(([^)]+)\)/g, (whole, name: string) => byName.get(name.toLowerCase()) ?? whole)
    .trim();
}

/**
 * Runs a task as a step of `job`. Never rejects because of what the task does; rejects with a Failure (`TaskUnknown`, `TaskInvalid`,
 * `InputUnknown`, `NodeMissing`) when there is nothing to run, as the server would have refused the pipeline.
 */
export async function runTaskIn(job: AgentJob, step: TaskStep): Promise<TaskRunResult> {
  const task = unpackTask(step.from, step.name, job.folders.tasks);
  const { definition, folder } = task;
  const given = step.inputs ?? {};
  const start = job.beginStep(step.step, definition.name, step.displayName ?? instanceName(task, given));
  const inputs = prepareInputs(definition, given, {
    variables: job.variables,
    endpoints: job.endpoints,
    secureFiles: job.options.secureFiles ?? [],
    sourcesFolder: job.folders.sources,
  });
  const missing = step.serverChecks ? missingInputs(definition, given) : [];
  if (missing.length) {
    throw new Failure(`${definition.name}@${definition.version.Major}: required inputs are missing: ${missing.join(', ')}.`, {
      code: 'InputMissing',
      input: missing[0] ?? '',
    });
  }
  if (step.serverChecks) checkAgent(job, definition);
  const node = step.node ?? 20;
  const { target, cwd } = chooseHandler(task);
  const binary = await nodeBinary(node, step.onLine ?? job.options.onLine);
  const usual = job.variables.get('System.DefaultWorkingDirectory')?.value ?? job.folders.sources;
  const folderOf = cwd === undefined ? usual : isAbsolute(cwd) ? cwd : resolve(folder, cwd);
  return await runStep(job, step, {
    file: binary,
    args: [target],
    cwd: existsSync(folderOf) ? folderOf : job.folders.work,
    env: inputs.environment,
    endpoints: inputs.endpoints,
    ...forkRefusal(job, inputs),
    definition,
    start,
    header: header(task),
    findings: () => {
      const touched = fingerprintFolder(folder) !== task.fingerprint;
      return touched ? [`The task wrote into its own folder ${folder}; agents share it between jobs.`] : [];
    },
  });
}

/** Runs a script step (`script`, `bash`, `pwsh`, `python`) with the same rules: it may use logging commands, outputs, attachments. */
export async function runScriptIn(job: AgentJob, step: ScriptStep): Promise<TaskRunResult> {
  return await runStep(job, step, {
    file: step.file,
    args: step.args ?? [],
    cwd: step.cwd ?? job.folders.sources,
    env: {},
    endpoints: [],
    start: job.beginStep(step.step, 'CmdLine', step.displayName ?? 'CmdLine'),
    header: [],
  });
}

/** One task in a job of its own, which is finished when this resolves: kept files are there, services and processes are not. */
export async function runTask(options: JobOptions & TaskStep): Promise<TaskRunResult> {
  const job = await createJob(options);
  try {
    return await runTaskIn(job, options);
  } finally {
    await job.finish();
  }
}
