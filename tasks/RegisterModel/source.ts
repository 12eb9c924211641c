/** Where the model's bytes are, for every way to name them. */
import { openDatastore } from '../../src/aml/datastore.js';
import { BlobModelFiles, type FileSum } from '../../src/aml/models-files.js';
import { hashLocal, localFiles, uploadLocal } from '../../src/aml/models-local.js';
import { readJob } from '../../src/aml/jobs/job.js';
import { locateOutput } from '../../src/aml/jobs/outputs.js';
import { locate } from '../../src/aml/datastore.js';
import { formatDatastoreUri, parseDatastoreUri } from '../../src/aml/uris.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { Failure } from '../../src/azure/errors.js';
import { modelDigest, sortFiles, type FileDigest } from '../../src/release/digest.js';
import { readFile } from 'node:fs/promises';
import type { ModelSource } from './inputs.js';

export interface Found {
  digest: string;
  files: FileDigest[];
  jobName?: string;
  /** Text of the `MLmodel` file in the root, where there is one. */
  mlmodel?: string;
  /** Makes sure that the bytes are in the workspace, and gives their address there. */
  place(): Promise<string>;
}

/** Reads every byte once. Errors: `Failure` for a job that has not completed, an output or folder with nothing in it. */
export async function findModel(
  source: ModelSource,
  modelName: string,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<Found> {
  if (source.kind === 'local') return fromDisk(source.path, modelName, workspace, signal);
  const { uri, jobName } = await addressOf(source, workspace, signal);
  const { datastore, path } = await locate(workspace, uri, signal);
  const blobs = new BlobModelFiles(datastore.container, path.replace(/^\/+|\/+$/g, ''), label(source), signal);
  const list = await blobs.list();
  const mlmodel = list.find((file) => file.path === 'MLmodel');
  const files = sortFiles(await blobs.hash());
  return {
    digest: modelDigest(files),
    files,
    ...(jobName ? { jobName } : {}),
    ...(mlmodel ? { mlmodel: (await blobs.readBytes(mlmodel)).toString('utf8') } : {}),
    place: () => Promise.resolve(long(uri, workspace)),
  };
}

function label(source: ModelSource): string {
  if (source.kind === 'output') return `output ${source.output} of job ${source.job}`;
  return source.kind === 'run' ? `${source.path} of run ${source.run}` : source.kind === 'datastore' ? source.uri : source.path;
}

async function addressOf(
  source: Exclude<ModelSource, { kind: 'local' }>,
  workspace: Workspace,
  signal: AbortSignal,
): Promise<{ uri: string; jobName?: string }> {
  if (source.kind === 'datastore') return { uri: source.uri };
  const name = source.kind === 'output' ? source.job : source.run;
  const job = await readJob(workspace, name, { signal });
  if (!job)
    throw new Failure(`There is no job named ${name} in workspace ${workspace.workspace}.`, {
      code: 'JobNotFound',
      input: source.kind === 'output' ? 'jobName' : 'modelPath',
      advice: 'Give the name (not the display name) of a job of this workspace.',
    });
  if (job.phase !== 'completed')
    throw new Failure(`Job ${name} is ${job.status}: only the output of a completed job is registered.`, {
      code: 'JobNotCompleted',
      input: 'jobName',
      advice: job.phase === 'active' ? 'Wait for it first (RunAmlPipeline, action attach).' : 'Run the job again.',
    });
  // `artifacts` is the run's own artifact folder, as `runs:/` speaks of it (observed §4).
  if (source.kind === 'run' || (source.output === 'artifacts' && !job.outputs['artifacts'])) {
    const path = `ExperimentRun/dcid.${name}/${source.path}`;
    return { uri: `azureml://datastores/workspaceartifactstore/paths/${path}`, jobName: name };
  }
  const output = await locateOutput(workspace, job, source.output, signal);
  return { uri: source.path ? `${output.uri.replace(/\/+$/, '')}/${source.path}` : output.uri, jobName: name };
}

function long(uri: string, { subscriptionId, resourceGroup, workspace }: Workspace): string {
  const parsed = parseDatastoreUri(uri);
  return parsed ? formatDatastoreUri({ ...parsed, subscriptionId, resourceGroup, workspace }) : uri;
}

async function fromDisk(path: string, modelName: string, workspace: Workspace, signal: AbortSignal): Promise<Found> {
  const { files: local, single } = await localFiles(path);
  const sums: FileSum[] = await hashLocal(local);
  const files = sortFiles(sums);
  const digest = modelDigest(files);
  const mlmodel = local.find((file) => file.path === 'MLmodel');
  return {
    digest,
    files,
    ...(mlmodel ? { mlmodel: await readFile(mlmodel.file, 'utf8') } : {}),
    place: async () => {
      const datastore = await openDatastore(workspace, undefined, signal);
      const prefix = `amlops/models/${modelName}/${digest.slice('sha256:'.length)}`;
      await uploadLocal(local, sums, datastore.container, prefix, signal);
      return long(`azureml://datastores/${datastore.name}/paths/${prefix}${single ? `/${local[0]!.path}` : ''}`, workspace);
    },
  };
}
