/** What MLflow clients write into runs: runs themselves, params, metrics, tags, datasets (limits: mlflow `utils/validation.py`). */
import { randomInt, randomUUID } from 'node:crypto';
import { getRun, putRun, updateRun } from '../runs/access.js';
import { appendMetrics } from '../runs/metrics.js';
import { newRun, type MetricPoint, type RunRecord, type RunStatus } from '../runs/record.js';
import { findExperiment, mustBeActive } from './experiments.js';
import { logModelMetrics, type ModelMetric } from './logged-models-store.js';
import { live, logInputs, logOutputs, runId } from './run-inputs.js';
import { linkParent } from './run-parent.js';
import { findRun, runInfo, showRun } from './run-view.js';
import {
  checkKey,
  double,
  fromPairs,
  invalid,
  missing,
  need,
  objects,
  own,
  text,
  time,
  whole,
  type Fields,
  type Handler,
  type MlflowCall,
} from './wire.js';

const limits = { param: 6000, tag: 8000, metrics: 1000, params: 100, tags: 100, all: 1000 };

function checkSize(value: string, most: number, what: string): string {
  const length = value.length > most ? [...value].length : value.length;
  if (length > most) throw invalid(`${what} value has length ${length}, which exceeds length limit of ${most}`);
  return value;
}

/** A tag that the service keeps as a member of the run goes there. */
function putTag(run: RunRecord, key: string, value: string): void {
  if (key === 'mlflow.runName') run.displayName = value || run.displayName;
  else if (key === 'mlflow.parentRunId' || key === 'mlflow.rootRunId') {
    if (value !== (key === 'mlflow.parentRunId' ? run.parentRunId : run.rootRunId)) {
      throw invalid(`The tag ${key} of a run cannot be changed.`);
    }
  } else {
    run.tags[key] = value;
    if (key === 'mlflow.note.content') run.description = value;
  }
}

function putParam(run: RunRecord, key: string, value: string): void {
  const before = own(run.params, key);
  if (before !== undefined && before !== value) {
    throw invalid(
      `Changing param values is not allowed. Param with key='${key}' was already logged with value='${before}' for run ID='${run.runId}'. Attempted logging new value '${value}'.`,
    );
  }
  run.params[key] = value;
}

const adjectives =
  'amber brave calm clever crisp eager gentle ivory jolly keen lively mellow neat olive quiet silver sunny tidy vivid wise'.split(
    ' ',
  );
const nouns =
  'apple basin bridge cloud coral fern harbor island lamp maple meadow orchid pebble quill river spruce stone tulip willow yam'.split(
    ' ',
  );
const aName = (): string =>
  `${adjectives[randomInt(adjectives.length)]}_${nouns[randomInt(nouns.length)]}_${randomUUID().slice(0, 8)}`;

const create: Handler = async (call) => {
  const { fields, ws, principal } = call;
  const experiment = await findExperiment(call, text(fields, 'experiment_id') ?? '0');
  mustBeActive(experiment);
  const tags = fromPairs(fields, 'tags');
  for (const value of Object.values(tags)) checkSize(value, limits.tag, 'Tag');
  const { 'mlflow.parentRunId': parentRunId, 'mlflow.runName': tagged, 'mlflow.rootRunId': _root, ...others } = tags;
  const named = text(fields, 'run_name');
  if (named !== undefined && tagged !== undefined && named !== tagged)
    throw invalid(
      `Both 'run_name' argument and 'mlflow.runName' tag are specified, but with different values (run_name='${named}', mlflow.runName='${tagged}').`,
    );
  const started = time(fields, 'start_time');
  // Clients that were told no user say this.
  const user = text(fields, 'user_id') === 'unknown' ? undefined : text(fields, 'user_id');
  const run = await call.ctx.store.write((tx) => {
    const parent = parentRunId === undefined ? undefined : getRun(tx, ws.guid, parentRunId);
    if (parentRunId !== undefined && !parent) throw invalid(`The parent run '${parentRunId}' does not exist.`);
    return putRun(
      tx,
      newRun(
        {
          runId: randomUUID(),
          workspace: ws.guid,
          experimentId: experiment.id,
          experimentName: experiment.name,
          kind: 'Mlflow',
          runUuid: randomUUID(),
          createdBy: {
            objectId: principal.objectId,
            tenantId: principal.tenantId,
            name: principal.name,
            type: 'Application',
          },
          displayName: named ?? tagged ?? aName(),
          status: 'Running',
          startedAt: (started?.getTime() ? started : call.time).toISOString(),
          tags: { ...(user === undefined ? {} : { 'mlflow.user': user }), ...others },
          ...(parent ? { parentRunId: parent.runId, rootRunId: parent.rootRunId } : {}),
        },
        call.time,
      ),
    );
  });
  return { run: showRun(call, run) };
};

const ends: Record<string, RunStatus> = {
  RUNNING: 'Running',
  SCHEDULED: 'Queued',
  FINISHED: 'Completed',
  FAILED: 'Failed',
  KILLED: 'Canceled',
};

/** Status of a run that a client began is the client's; that of a job is the engine's, whatever its script says. */
const update: Handler = async (call) => {
  const { fields } = call;
  const id = runId(fields);
  const said = text(fields, 'status');
  const status = said === undefined ? undefined : ends[said];
  if (said !== undefined && !status)
    throw invalid(`Invalid run status '${said}'. Valid values are ${Object.keys(ends).join(', ')}.`);
  const end = time(fields, 'end_time');
  const name = text(fields, 'run_name');
  const run = await call.ctx.store.write((tx) => {
    live(tx, call, id);
    return updateRun(
      tx,
      call.ws.guid,
      id,
      (record) => {
        if (name !== undefined) record.displayName = name;
        if (record.kind !== 'Mlflow' || status === undefined) return;
        record.status = status;
        if (status === 'Running' || status === 'Queued') delete record.endedAt;
        else record.endedAt = (end?.getTime() ? end : call.time).toISOString();
      },
      call.time,
    );
  });
  return { run_info: runInfo(call, run ?? findRun(call, id)) };
};

function atLeastZero(value: number, name: string): number {
  if (value < 0) throw invalid(`Invalid value ${value} for parameter '${name}' supplied: it must not be negative.`);
  return value;
}

/** Metrics of one request, checked. */
function readMetrics(entries: Fields[], now: Date): { points: ({ key: string } & MetricPoint)[]; ofModels: ModelMetric[] } {
  const ofModels: ModelMetric[] = [];
  const points = entries.map((entry) => {
    const point = {
      key: checkKey(need(entry, 'key'), 'metric'),
      value: double(entry, 'value'),
      timestamp: atLeastZero(whole(entry, 'timestamp') ?? now.getTime(), 'timestamp'),
      step: whole(entry, 'step') ?? 0,
    };
    const model = text(entry, 'model_id');
    const dataset = text(entry, 'dataset_name');
    const digest = text(entry, 'dataset_digest');
    if (model) ofModels.push({ ...point, model, ...(dataset ? { dataset } : {}), ...(digest ? { digest } : {}) });
    return point;
  });
  return { points, ofModels };
}

/** Everything of a request in one transaction: all of it is written, or nothing. */
async function log(call: MlflowCall, metrics: Fields[], params: Fields[], tags: Fields[]): Promise<unknown> {
  const id = runId(call.fields);
  const total = metrics.length + params.length + tags.length;
  if (metrics.length > limits.metrics || params.length > limits.params || tags.length > limits.tags || total > limits.all) {
    throw invalid(
      `A batch logging request can contain at most ${limits.metrics} metrics, ${limits.params} params, ${limits.tags} tags and ${limits.all} in all. Got ${metrics.length}, ${params.length}, ${tags.length}.`,
    );
  }
  const keys = params.map((param) => text(param, 'key'));
  const twice = [...new Set(keys.filter((key, at) => keys.indexOf(key) !== at))];
  if (twice.length > 0)
    throw invalid(
      `Duplicate parameter keys have been submitted: [${twice.map((key) => `'${key}'`).join(', ')}]. Please ensure the request contains only one param value per param key.`,
    );
  const { points, ofModels } = readMetrics(metrics, call.time);
  const parent = tags.find((tag) => tag['key'] === 'mlflow.parentRunId');
  await call.ctx.store.write((tx) => {
    const run = live(tx, call, id);
    if (parent) linkParent(tx, run, text(parent, 'value') ?? '', call.time);
    updateRun(
      tx,
      call.ws.guid,
      id,
      (run) => {
        for (const param of params) {
          putParam(run, checkKey(need(param, 'key'), 'param'), checkSize(text(param, 'value') ?? '', limits.param, 'Param'));
        }
        for (const tag of tags)
          putTag(run, checkKey(need(tag, 'key'), 'tag'), checkSize(text(tag, 'value') ?? '', limits.tag, 'Tag'));
      },
      call.time,
    );
    // A client that logs a model says the run's metrics again, with the model's id: they are the model's then, and no second time the run's.
    appendMetrics(tx, call.ws.guid, id, points);
    logModelMetrics(tx, call, id, ofModels);
  });
  return {};
}

const deleteTag: Handler = async (call) => {
  const key = need(call.fields, 'key');
  await call.ctx.store.write((tx) => {
    const run = live(tx, call, runId(call.fields));
    if (!Object.hasOwn(run.tags, key)) throw missing(`No tag with name: ${key} in run with id ${run.runId}`);
    updateRun(tx, call.ws.guid, run.runId, (record) => delete record.tags[key], call.time);
  });
  return {};
};

const setDeleted =
  (deleted: boolean): Handler =>
  async (call) => {
    const id = runId(call.fields);
    findRun(call, id);
    await call.ctx.store.write((tx) => updateRun(tx, call.ws.guid, id, (run) => (run.deleted = deleted), call.time));
    return {};
  };

/** What `runs/log-model` recorded before logged models: the model's tags, kept with the run. */
const logModel: Handler = async (call) => {
  const json = need(call.fields, 'model_json');
  let model: unknown;
  try {
    model = JSON.parse(json);
  } catch (error) {
    throw invalid(`model_json is not JSON: ${(error as Error).message}`);
  }
  await call.ctx.store.write((tx) => {
    const run = live(tx, call, runId(call.fields));
    const known = JSON.parse(run.tags['mlflow.log-model.history'] ?? '[]') as unknown[];
    updateRun(tx, call.ws.guid, run.runId, (record) => {
      record.tags['mlflow.log-model.history'] = JSON.stringify([...known, model]);
    });
  });
  return {};
};

/** By path below `/mlflow/runs/`. */
export const runWriteHandlers: Record<string, [methods: string, Handler]> = {
  create: ['POST', create],
  update: ['POST', update],
  delete: ['POST', setDeleted(true)],
  restore: ['POST', setDeleted(false)],
  'log-metric': ['POST', (call) => log(call, [call.fields], [], [])],
  'log-parameter': ['POST', (call) => log(call, [], [call.fields], [])],
  'set-tag': ['POST', (call) => log(call, [], [], [call.fields])],
  'log-batch': [
    'POST',
    (call) => log(call, objects(call.fields, 'metrics'), objects(call.fields, 'params'), objects(call.fields, 'tags')),
  ],
  'delete-tag': ['POST', deleteTag],
  'log-inputs': ['POST', logInputs],
  outputs: ['POST', logOutputs],
  'log-model': ['POST', logModel],
};
