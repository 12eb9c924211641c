/** The definition of a run, as `rundata` shows it: a run configuration for what is a process, the job for a pipeline (azure-ml-observed.md §2). */
import { asObject, type Json } from '../engine/json.js';
import { historyType, parseShort } from '../engine/uris.js';
import type { JobDocument } from './jobs.js';
import type { RunDefinition, RunRecord } from './record.js';

const mechanism = (mode: string | undefined): string =>
  /upload/i.test(mode ?? '')
    ? 'Upload'
    : /download/i.test(mode ?? '')
      ? 'Download'
      : /direct/i.test(mode ?? '')
        ? 'Direct'
        : 'Mount';

function dataBody(inputs: RunDefinition['inputs']): Json {
  return Object.fromEntries(
    Object.entries(inputs).map(([name, { uri, type, mode }]) => [
      name,
      {
        dataLocation: { dataset: null, dataPath: null, uri: { path: uri, isFile: type === 'uri_file' }, type: historyType(type) },
        mechanism: mechanism(mode),
        environmentVariableName: `AZURE_ML_INPUT_${name}`,
        pathOnCompute: null,
        overwrite: false,
        options: null,
      },
    ]),
  );
}

function outputBody(outputs: RunDefinition['outputs']): Json {
  return Object.fromEntries(
    Object.entries(outputs).map(([name, { uri, type, mode, assetName }]) => [
      name,
      {
        outputLocation: {
          dataset: null,
          dataPath: null,
          uri: {
            path: uri ?? `azureml://datastores/workspaceblobstore/paths/azureml/\${{name}}/${name}/`,
            isFile: type === 'uri_file',
          },
          type: historyType(type),
        },
        mechanism: mechanism(mode),
        additionalOptions: {
          pathOnCompute: null,
          registrationOptions: { name: assetName ?? null, description: null, tags: null, datasetRegistrationOptions: null },
          uploadOptions: null,
          mountOptions: null,
        },
        environmentVariableName: `AZURE_ML_OUTPUT_${name}`,
      },
    ]),
  );
}

/** Name and version of an environment reference. */
function environmentBody(reference: string): Json {
  const match = /environments\/([^/]+)(?:\/(?:versions|labels)\/([^/]+))?/i.exec(reference);
  const short = match ? undefined : parseShort(reference);
  return { name: match?.[1] ?? short?.name ?? reference, version: match?.[2] ?? short?.version ?? null };
}

/** Outputs of a pipeline in its definition: PascalCase, the type as a number of which only that of a folder was seen. */
function bindings(outputs: unknown): Json {
  return Object.fromEntries(
    Object.entries(asObject(outputs)).map(([name, raw]) => {
      const { description = null, uri = null, mode = 'ReadWriteMount', jobOutputType } = asObject(raw);
      const type = jobOutputType === 'uri_folder' ? { JobOutputType: 3 } : {};
      return [name, { Description: description, Uri: uri, Mode: mode, ...type }];
    }),
  );
}

/** `runDefinition` of rundata. */
export function definitionBody(run: RunRecord, document: JobDocument | undefined): Json {
  const jobType = document?.properties['jobType'];
  if (document && run.definition === undefined)
    return {
      JobType: jobType,
      Jobs: document.properties['jobs'] ?? {},
      OutputBindings: bindings(document.properties['outputs']),
      Status: 'NotStarted',
    };
  const { definition } = run;
  return {
    script: null,
    command: definition?.command ?? null,
    useAbsolutePath: false,
    arguments: [],
    sourceDirectoryDataStore: null,
    framework: 'Python',
    communicator: 'None',
    target: run.target ?? null,
    dataReferences: {},
    data: dataBody(definition?.inputs ?? {}),
    outputData: outputBody(definition?.outputs ?? {}),
    datacaches: [],
    jobName: null,
    maxRunDurationSeconds: definition?.timeout ?? null,
    nodeCount: 1,
    instanceTypes: [],
    priority: null,
    credentialPassthrough: false,
    identity: null,
    environment: definition ? environmentBody(definition.environment) : null,
    history: { outputCollection: true, directoriesToWatch: ['logs'], enableMLflowTracking: true },
    docker: { useDocker: false },
    environmentVariables: definition?.environmentVariables ?? {},
  };
}
