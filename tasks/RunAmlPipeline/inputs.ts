/** Inputs of RunAmlPipeline (design §3), read once. */
import { InputReader } from '../../src/task/inputs.js';
import { connectionOf, type TaskConnection } from '../../src/task/connection.js';
import { Failure } from '../../src/azure/errors.js';
import type { Platform } from '../../src/task/platform.js';

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

const jobName = /^[a-zA-Z0-9][a-zA-Z0-9_-]{0,254}$/;

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
  const resourceGroup = read.optional('resourceGroupName') ?? connection?.resourceGroup;
  const workspace = read.optional('workspaceName') ?? connection?.workspace;
  if (endpoint && resourceGroup === undefined) {
    read.problem('resourceGroupName', 'is required but was not given.', 'Give the resource group of the workspace.');
  }
  if (endpoint && workspace === undefined) {
    read.problem('workspaceName', 'is required but was not given.', 'Give the name of the Azure Machine Learning workspace.');
  }
  const file = action === 'attach' ? '' : (read.path('pipelineFile') ?? '');
  if (action !== 'attach' && file === '') {
    read.problem(
      'pipelineFile',
      'is required but was not given.',
      "Give the path of a job YAML file below the repository's root.",
    );
  }
  const name = action === 'attach' ? read.required('jobName', 'the name of the job to attach to') : read.optional('jobName');
  if (name && !jobName.test(name)) {
    read.problem(
      'jobName',
      `"${name}" is no name of a job.`,
      'Letters, digits, - and _; it begins with a letter or digit and has at most 255 characters.',
    );
  }
  const texts = (mapped: Awaited<ReturnType<InputReader['mapping']>>) =>
    Object.fromEntries(Object.entries(mapped).map(([key, { text }]) => [key, text]));
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
    tags: texts(await read.mapping('tags')),
    jobInputs: texts(await read.mapping('jobInputs')),
    overrides: read.lines('overrides'),
    streamLogs: read.choice('streamLogs', ['all', 'failed', 'none'], 'all'),
    downloadOutputs: read.names('downloadOutputs'),
    ...optional('downloadPath', read.path('downloadPath')),
    ...(limitMinutes === undefined ? {} : { limitMinutes }),
    onTimeout: read.choice('onTimeout', ['cancel', 'leave'], 'cancel'),
    cancelWithPipeline: read.boolean('cancelWithPipeline', true),
  };
  for (const override of inputs.overrides) {
    if (!/^[^=]+=/.test(override))
      read.problem('overrides', `"${override}" is not path=value.`, 'One a line, for example jobs.train.compute=azureml:gpu.');
  }
  read.done();
  return inputs;
}
