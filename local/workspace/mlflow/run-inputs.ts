/** What a run read and made: datasets and logged models (limits of datasets: mlflow `utils/validation.py`). */
import { getRun, updateRun } from '../runs/access.js';
import type { RunDataset, RunRecord } from '../runs/record.js';
import type { Tx } from '../store.js';
import { linkModels } from './logged-models-store.js';
import { isDeleted } from './run-view.js';
import { fromPairs, invalid, missing, need, objects, text, type Fields, type Handler, type MlflowCall } from './wire.js';

export const runId = (fields: Fields): string => text(fields, 'run_id') ?? need(fields, 'run_uuid');

/** A run that may be written to. */
export function live(tx: Pick<Tx, 'get' | 'entries'>, call: MlflowCall, id: string): RunRecord {
  const run = getRun(tx, call.ws.guid, id);
  if (!run) throw missing(`Run '${id}' not found`);
  if (isDeleted(tx, run)) throw invalid(`The run ${id} must be in the 'active' state. Current state is deleted.`);
  return run;
}

const longest = { name: 500, digest: 36, source: 65_535, schema: 1_048_575, profile: 16_777_215, tagKey: 255, tagValue: 500 };

function atMost(value: string, what: keyof typeof longest): string {
  if (value.length > longest[what])
    throw invalid(`The ${what} of a dataset exceeds the maximum length of ${longest[what]} characters (it has ${value.length}).`);
  return value;
}

function datasetOf(input: Fields): RunDataset {
  const dataset = (input['dataset'] ?? {}) as Fields;
  const [schema, profile] = [text(dataset, 'schema'), text(dataset, 'profile')];
  const tags = fromPairs(input, 'tags');
  for (const [key, value] of Object.entries(tags)) {
    atMost(key, 'tagKey');
    atMost(value, 'tagValue');
  }
  return {
    name: atMost(need(dataset, 'name'), 'name'),
    digest: atMost(need(dataset, 'digest'), 'digest'),
    sourceType: text(dataset, 'source_type') ?? 'unknown',
    source: atMost(text(dataset, 'source') ?? '', 'source'),
    ...(schema === undefined ? {} : { schema: atMost(schema, 'schema') }),
    ...(profile === undefined ? {} : { profile: atMost(profile, 'profile') }),
    tags,
  };
}

/** `POST runs/log-inputs`. A dataset (name and digest) that the run has already stays as it was first said, with its tags. */
export const logInputs: Handler = async (call) => {
  const id = runId(call.fields);
  const datasets = objects(call.fields, 'datasets').map(datasetOf);
  const models = objects(call.fields, 'models');
  await call.ctx.store.write((tx) => {
    live(tx, call, id);
    updateRun(
      tx,
      call.ws.guid,
      id,
      (run) => {
        for (const entry of datasets)
          if (!run.datasets.some(({ name, digest }) => name === entry.name && digest === entry.digest)) run.datasets.push(entry);
      },
      call.time,
    );
    linkModels(tx, call, id, 'inputs', models);
  });
  return {};
};

/** `POST runs/outputs`. */
export const logOutputs: Handler = async (call) => {
  const id = runId(call.fields);
  await call.ctx.store.write((tx) => {
    live(tx, call, id);
    linkModels(tx, call, id, 'outputs', objects(call.fields, 'models'));
  });
  return {};
};
