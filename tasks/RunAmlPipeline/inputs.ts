/** Inputs of RunAmlPipeline (design §3), read once. */
import { statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { InputReader, missing } from '../../src/task/inputs.js';
import { connectionOf, type TaskConnection } from '../../src/task/connection.js';
import { Failure } from '../../src/azure/errors.js';
import type { Platform } from '../../src/task/platform.js';
import { unreadable } from './job-file.js';

export interface Inputs {
  action: 'run' | 'submit' | 'attach' | 'validate';
  /** Absent only for `validate`. */
  connection?: TaskConnection;
  resourceGroup: string;
  workspace: string;
  /** Job file; '' for `attach`. */
  file: string;
  jobName?: string;
  experimentName?: string;
  displayName?: string;
  description?: string;
  tags: Record<string, string>;
  /** Text as it was written. */
  jobInputs: Record<string, string>;
  overrides: string[];
  streamLogs: 'all' | 'failed' | 'none';
  /** Names; `all` alone means every output. */
  downloadOutputs: string[];
  downloadPath?: string;
  limitMinutes?: number;
  onTimeout: 'cancel' | 'leave';
  cancelWithPipeline: boolean;
}

/** What Azure ML takes as the name of a job. */
const jobNamePattern = /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}$/;

/** The file that stands where a folder is to be made; undefined when nothing does. */
function inTheWay(folder: string): string | undefined {
  for (let path = resolve(folder); ; path = dirname(path)) {
    try {
      return statSync(path).isDirectory() ? undefined : path;
    } catch {
      // not there: what is above it decides
      if (dirname(path) === path) return undefined;
    }
  }
}

export async function parse(platform: Platform): Promise<Inputs> {
  const read = new InputReader(platform);
  const action = read.choice('action', ['run', 'submit', 'attach', 'validate'], 'run');
  const endpoint = read.endpoint('azureSubscription', action !== 'validate');
  let connection: TaskConnection | undefined;
  if (endpoint) {
    try {
      connection = connectionOf(endpoint, platform);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      read.problem('azureSubscription', error.message, error.details.advice ?? '');
    }
  }
  const resourceGroup = read.resourceGroup('resourceGroupName') ?? connection?.resourceGroup;
  const workspace = read.workspace('workspaceName') ?? connection?.workspace;
  if (endpoint && resourceGroup === undefined) {
    read.problem('resourceGroupName', missing, 'Give the resource group of the workspace.');
  }
  if (endpoint && workspace === undefined) {
    read.problem('workspaceName', missing, 'Give the name of the Azure Machine Learning workspace.');
  }
  const file = action === 'attach' ? '' : (read.path('pipelineFile') ?? '');
  if (action !== 'attach' && file === '') {
    read.problem('pipelineFile', missing, "Give the path of a job YAML file below the repository's root.");
  } else if (file !== '') {
    const root = platform.variable('System.DefaultWorkingDirectory') ?? platform.variable('Build.SourcesDirectory');
    const problem = unreadable(file, root);
    if (problem) read.problem('pipelineFile', problem.what, problem.advice);
  }
  const name = action === 'attach' ? read.required('jobName', 'the name of the job to attach to') : read.optional('jobName');
  if (name && !jobNamePattern.test(name)) {
    read.problem(
      'jobName',
      `"${name}" is no name of a job.`,
      'Letters, digits, - and _; it begins with a letter or digit and has at most 255 characters.',
    );
  }
  const optional = <K extends string>(key: K, value: string | undefined) =>
    (value ? { [key]: value } : {}) as { [key in K]?: string };
  const limitMinutes = read.integer('jobTimeoutInMinutes', 1, 60 * 24 * 60);
  const inputs: Inputs = {
    action,
    ...(connection ? { connection } : {}),
    resourceGroup: resourceGroup ?? '',
    workspace: workspace ?? '',
    file,
    ...optional('jobName', name),
    ...optional('experimentName', read.optional('experimentName')),
    ...optional('displayName', read.optional('displayName')),
    ...optional('description', read.optional('description')),
    tags: await read.texts('tags'),
    jobInputs: Object.fromEntries(Object.entries(await read.mapping('jobInputs')).map(([key, { text }]) => [key, text])),
    overrides: read.lines('overrides'),
    streamLogs: read.choice('streamLogs', ['all', 'failed', 'none'], 'all'),
    downloadOutputs: read.names('downloadOutputs'),
    ...optional('downloadPath', read.path('downloadPath')),
    ...(limitMinutes === undefined ? {} : { limitMinutes }),
    onTimeout: read.choice('onTimeout', ['cancel', 'leave'], 'cancel'),
    cancelWithPipeline: read.boolean('cancelWithPipeline', true),
  };
  const blocked = inputs.downloadPath === undefined ? undefined : inTheWay(inputs.downloadPath);
  if (blocked !== undefined)
    read.problem('downloadPath', `${blocked} is a file, not a folder.`, 'Give a folder; it is made when it is not there.');
  for (const override of inputs.overrides) {
    if (!/^[^=]+=/.test(override))
      read.problem('overrides', `"${override}" is not path=value.`, 'One a line, for example jobs.train.compute=azureml:gpu.');
    else if (/^name\s*=/.test(override))
      read.problem('overrides', `"${override}": a job's name is no override here.`, 'Give the name in the input jobName.');
  }
  read.done();
  return inputs;
}
