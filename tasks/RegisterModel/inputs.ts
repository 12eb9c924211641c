/** Inputs of RegisterModel (design §3), read once. */
import { parseDatastoreUri, parseJobOutputUri, parseRunUri } from '../../src/aml/uris.js';
import { InputReader, modelNamePattern } from '../../src/task/inputs.js';
import type { Platform } from '../../src/task/platform.js';
import { gateInputs, type GateInputs } from '../shared/gate.js';
import { ownPlace, workspaceInput, type WorkspaceInput } from '../shared/places.js';

export type ModelSource =
  | { kind: 'output'; job: string; output: string; path: string }
  | { kind: 'run'; run: string; path: string }
  | { kind: 'datastore'; uri: string }
  | { kind: 'local'; path: string };

export interface Inputs extends GateInputs {
  place: WorkspaceInput;
  source: ModelSource;
  modelName: string;
  modelVersion?: string;
  modelType?: 'mlflow_model' | 'custom_model' | 'triton_model';
  description?: string;
  modelStage?: string;
  tags: Record<string, string>;
  properties: Record<string, string>;
}

export async function parse(platform: Platform): Promise<Inputs> {
  const read = new InputReader(platform);
  const place = workspaceInput(read, platform, ownPlace, true);
  const source = sourceOf(read, platform);
  const modelName = read.required('modelName', 'the name to register under');
  if (modelName && !modelNamePattern.test(modelName))
    read.problem('modelName', `"${modelName}" is no name of a model.`, 'Letters, digits, dots, - and _; at most 255 characters.');
  const modelVersion = read.optional('modelVersion');
  if (modelVersion && !/^[1-9]\d{0,8}$/.test(modelVersion))
    read.problem(
      'modelVersion',
      `"${modelVersion}" is no version that a workspace takes.`,
      'Give a positive whole number, or leave it empty for the next free one.',
    );
  const modelType = read.optional('modelType')
    ? read.choice('modelType', ['mlflow_model', 'custom_model', 'triton_model'], 'custom_model')
    : undefined;
  const [description, modelStage] = [read.optional('description'), read.optional('modelStage')];
  const tags = await read.texts('tags');
  const properties = await read.texts('properties');
  for (const [input, entries] of [
    ['tags', tags],
    ['properties', properties],
  ] as const)
    for (const key of Object.keys(entries))
      if (/^amlops\./i.test(key))
        read.problem(input, `"${key}" is a name that the task writes itself.`, 'Use a name that does not begin with amlops.');
  const inputs = {
    place,
    source,
    modelName,
    ...(modelVersion ? { modelVersion } : {}),
    ...(modelType ? { modelType } : {}),
    ...(description ? { description } : {}),
    ...(modelStage ? { modelStage } : {}),
    tags,
    properties,
    ...gateInputs(read),
  };
  read.done();
  return inputs as Inputs; // `done` has thrown where a part is missing
}

function sourceOf(read: InputReader, platform: Platform): ModelSource | undefined {
  const job = read.optional('jobName');
  const output = read.optional('outputName');
  const path = read.optional('modelPath');
  if (path !== undefined && (job !== undefined || output !== undefined)) {
    read.problem(
      'modelPath',
      'a job output and a path were given; only one of them can be the model.',
      'Give jobName and outputName, or modelPath.',
    );
    return undefined;
  }
  if (path === undefined) {
    if (job === undefined && output === undefined) {
      read.problem('jobName', 'nothing says what to register.', 'Give jobName and outputName, or modelPath.');
      return undefined;
    }
    const found = {
      job: read.required('jobName', 'the job whose output is the model'),
      output: read.required('outputName', "the job's output that is the model"),
    };
    return { kind: 'output', ...found, path: '' };
  }
  const fromJob = parseJobOutputUri(path);
  if (fromJob) return { kind: 'output', ...fromJob };
  const fromRun = parseRunUri(path);
  if (fromRun) return { kind: 'run', ...fromRun };
  if (parseDatastoreUri(path)) return { kind: 'datastore', uri: path };
  if (/^[a-z][a-z0-9+.-]*:/i.test(path) && !/^[a-z]:[\\/]/i.test(path)) {
    read.problem(
      'modelPath',
      `"${path}" is no address that a model can be registered from.`,
      'Accepted: a local folder or file, azureml://datastores/…/paths/…, azureml://jobs/…/outputs/…, runs:/….',
    );
    return undefined;
  }
  return { kind: 'local', path: local(path, platform) };
}

/** The input is a string (it may be a URI), so the agent does not make it absolute: relative to the repository's root, as file paths are. */
function local(path: string, platform: Platform): string {
  if (/^([a-z]:)?[\\/]/i.test(path)) return path;
  const root =
    platform.variable('System.DefaultWorkingDirectory') ?? platform.variable('Build.SourcesDirectory') ?? process.cwd();
  return `${root.replace(/[\\/]+$/, '')}/${path}`;
}
