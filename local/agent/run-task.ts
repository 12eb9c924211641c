/** The room's door: a task, or a script, as a step of an agent job. */
import { existsSync } from 'node:fs';
import { isAbsolute, join, resolve } from 'node:path';
import { Failure } from '../../src/azure/errors.js';
import { findInput, missingInputs, prepareInputs } from './inputs.js';
import { createJob, type AgentJob } from './job.js';
import { nodeBinary } from './node-binary.js';
import { runStep } from './run-step.js';
import { fingerprintFolder, unpackTask, type UnpackedTask } from './task-folder.js';
import type { JobOptions, NodeVersion, ScriptStep, TaskRunResult, TaskStep } from './types.js';
import { toEnvironmentName } from './variables.js';

export { createJob, AgentJob } from './job.js';

/** Handlers in the agent's order of preference, and the Node each runs on here. */
const handlerOrder: [string, NodeVersion][] = [
  ['Node24', 24],
  ['Node20_1', 20],
];

function chooseHandler({ definition, folder }: UnpackedTask, node: NodeVersion): { target: string; cwd: string | undefined } {
  const handlers = definition.execution ?? {};
  // Without a feature flag a Node24 handler runs on Node 20 (B.3): the node asked for decides, the handler must only be there.
  const found =
    handlerOrder.find(([name, version]) => version <= Math.max(node, 20) && handlers[name]) ??
    handlerOrder.find(([name]) => handlers[name]);
  const handler = found && handlers[found[0]];
  if (!handler) {
    throw new Failure(
      `${definition.name} has no handler for Node 20 or Node 24, only ${Object.keys(handlers).join(', ') || 'none'}.`,
      {
        code: 'TaskInvalid',
      },
    );
  }
  const target = join(folder, handler.target.replaceAll('$(currentDirectory)', '.'));
  return { target, cwd: handler.workingDirectory };
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
  job.steps += 1;
  const task = unpackTask(step.from, step.name, job.folders.tasks);
  const { definition, folder } = task;
  const given = step.inputs ?? {};
  const inputs = prepareInputs(definition, given, {
    variables: job.variables,
    endpoints: job.endpoints,
    sourcesFolder: job.folders.sources,
  });
  const missing = step.serverChecks ? missingInputs(definition, given) : [];
  if (missing.length) {
    throw new Failure(`${definition.name}@${definition.version.Major}: required inputs are missing: ${missing.join(', ')}.`, {
      code: 'InputMissing',
      input: missing[0] ?? '',
    });
  }
  const node = step.node ?? 20;
  const { target, cwd } = chooseHandler(task, node);
  const binary = await nodeBinary(node, step.onLine ?? job.options.onLine);
  const taskVariables = job.taskVariables.get(definition.id) ?? {};
  const folderOf = cwd === undefined ? job.folders.sources : isAbsolute(cwd) ? cwd : resolve(folder, cwd);
  return await runStep(job, step, {
    file: binary,
    args: [target],
    cwd: existsSync(folderOf) ? folderOf : job.folders.work,
    env: {
      ...inputs.environment,
      ...Object.fromEntries(
        Object.entries(taskVariables).map(([name, value]) => [`VSTS_TASKVARIABLE_${toEnvironmentName(name)}`, value]),
      ),
    },
    endpoints: inputs.endpoints,
    definition,
    displayName: step.displayName ?? instanceName(task, given),
    header: header(task),
    findings: () => {
      const touched = fingerprintFolder(folder) !== task.fingerprint;
      return touched ? [`The task wrote into its own folder ${folder}; agents share it between jobs.`] : [];
    },
  });
}

/** Runs a script step (`script`, `bash`, `pwsh`, `python`) with the same rules: it may use logging commands, outputs, attachments. */
export async function runScriptIn(job: AgentJob, step: ScriptStep): Promise<TaskRunResult> {
  job.steps += 1;
  return await runStep(job, step, {
    file: step.file,
    args: step.args ?? [],
    cwd: step.cwd ?? job.folders.sources,
    env: {},
    endpoints: [],
    displayName: step.displayName ?? 'CmdLine',
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
