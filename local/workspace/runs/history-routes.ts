/** Run history and the resolvers of outputs, as the data plane serves them (azure-ml-rest.md §2.3, §2.6, azure-ml-observed.md §2, §3). */
import { plainDollar } from '../assets/view.js';
import type { Answer, Ctx, WorkspaceCall, WorkspaceRecord } from '../context.js';
import { ServiceError } from '../errors.js';
import type { Engine } from '../engine/engine.js';
import { locate, outputUri } from '../engine/locate.js';
import { asObject, asText, type Json } from '../engine/json.js';
import { JobFailure } from '../engine/types.js';
import type { Router } from '../router.js';
import {
  children,
  getExperiment,
  getExperimentByName,
  getRun,
  listExperiments,
  listRuns,
  updateRun,
  type Experiment,
} from './access.js';
import { definitionBody } from './definition.js';
import { getJob, texts } from './jobs.js';
import { selectRuns } from './query.js';
import type { RunRecord } from './record.js';
import { serviceInstances } from './services.js';
import { detailsBody, outputsOf, runBody } from './views.js';

const prefix = '/history/v1.0';
/** The three ways in which a run is addressed. */
const bases = ['', '/experiments/:experiment', '/experimentids/:experimentId'];

function runNotFound(id: string): ServiceError {
  return new ServiceError(404, 'UserError', `Run ${id} was not found`, {
    envelope: 'data',
    inner: ['NotFoundError', 'RunNotFound'],
  });
}

const invalid = (message: string): ServiceError =>
  new ServiceError(400, 'UserError', message, { envelope: 'data', inner: ['BadArgument'] });

export class HistoryRoutes {
  readonly #ctx: Ctx;
  readonly #engine: Engine;
  constructor(ctx: Ctx, engine: Engine) {
    this.#ctx = ctx;
    this.#engine = engine;
  }

  register(router: Router): void {
    const ctx = this.#ctx;
    const at = { prefix, envelope: 'data' } as const;
    for (const base of bases) {
      router.workspace('GET', `${base}/runs/:run`, 'read', (call) => ({ body: runBody(ctx, call.ws, this.#run(call)) }), at);
      router.workspace(
        'GET',
        `${base}/runs/:run/details`,
        'read',
        (call) => ({ body: detailsBody(ctx, call.ws, this.#run(call)) }),
        at,
      );
      router.workspace('GET', `${base}/runs/:run/children`, 'read', (call) => this.#children(call), at);
      const services = (call: WorkspaceCall): Answer => ({ body: serviceInstances(ctx, call.ws, this.#run(call)) });
      router.workspace('GET', `${base}/runs/:run/serviceinstances/:node`, 'read', services, at);
      router.workspace('PATCH', `${base}/runs/:run`, 'write', (call) => this.#patch(call), at);
      router.workspace('POST', `${base}/runs/:run/cancel`, 'write', (call) => this.#cancel(call), at);
      router.workspace('POST', `${base}/runs::query`, 'read', (call) => this.#query(call), at);
      router.workspace('POST', `${base}/runs/query`, 'read', (call) => this.#query(call), at);
      router.workspace('GET', `${base}/runs`, 'read', (call) => this.#query(call), at);
    }
    router.workspace(
      'POST',
      '/rundata',
      'read',
      (call) => ({ body: this.#rundata(call.ws, asText(asObject(call.body)['runId']) ?? '', call.apiVersion) }),
      at,
    );
    router.workspace('POST', '/batchrundata', 'read', (call) => this.#batch(call), at);
    router.workspace(
      'GET',
      '/experiments',
      'read',
      (call) => ({ body: { value: listExperiments(ctx.store, call.ws.guid).map(experimentBody) } }),
      at,
    );
    router.workspace('GET', '/experiments/:experiment', 'read', (call) => ({ body: experimentBody(this.#experiment(call)) }), at);
    router.workspace(
      'GET',
      '/experimentids/:experimentId',
      'read',
      (call) => ({ body: experimentBody(this.#experiment(call)) }),
      at,
    );
    router.workspace('POST', '/dataversion/batchGetResolvedUris', 'read', (call) => this.#resolve(call), {
      prefix: '/data/v1.0',
      envelope: 'data',
    });
    router.workspace('POST', '/models/batchGetResolvedUris', 'read', (call) => this.#resolve(call), {
      prefix: '/modelregistry/v1.0',
      envelope: 'data',
    });
  }

  #run(call: WorkspaceCall): RunRecord {
    const id = call.params['run'] ?? '';
    const run = getRun(this.#ctx.store, call.ws.guid, id);
    const named = call.params['experiment'];
    const byId = call.params['experimentId'];
    if (
      !run ||
      run.deleted ||
      (named !== undefined && run.experimentName.toLowerCase() !== named.toLowerCase()) ||
      (byId !== undefined && run.experimentId !== byId)
    )
      throw runNotFound(id);
    return run;
  }

  #experiment(call: WorkspaceCall): Experiment {
    const { experiment, experimentId } = call.params;
    const found =
      experimentId === undefined
        ? getExperimentByName(this.#ctx.store, call.ws.guid, experiment ?? '')
        : getExperiment(this.#ctx.store, call.ws.guid, experimentId);
    if (!found)
      throw new ServiceError(404, 'UserError', `Experiment ${experiment ?? experimentId} was not found`, {
        envelope: 'data',
        inner: ['NotFoundError'],
      });
    return found;
  }

  /** Pages of 200 unless `$top` says less; the last page has neither continuationToken nor nextLink. */
  #page(call: WorkspaceCall, runs: RunRecord[], from: number): Answer {
    const body = asObject(call.body);
    const top = Number(call.query['$top'] ?? call.query['$count'] ?? asText(body['top']) ?? 200);
    const size = Number.isFinite(top) && top > 0 ? Math.min(top, 500) : 200;
    const value = runs.slice(from, from + size).map((run) => runBody(this.#ctx, call.ws, run));
    if (from + size >= runs.length) return { body: { value } };
    const continuationToken = Buffer.from(String(from + size)).toString('base64');
    const next = new URL(this.#ctx.urls.base + call.path);
    for (const [name, text] of Object.entries(call.query)) next.searchParams.set(name, text);
    next.searchParams.set('$continuationtoken', continuationToken);
    return { body: { value, continuationToken, nextLink: plainDollar(next.href) } };
  }

  #from(call: WorkspaceCall): number {
    const token =
      Object.entries(call.query).find(([name]) => /^\$?continuationtoken$/i.test(name))?.[1] ??
      asText(asObject(call.body)['continuationToken']);
    if (token === undefined || token === '') return 0;
    const from = Number(Buffer.from(token, 'base64').toString());
    if (!Number.isInteger(from) || from < 0) throw invalid('The continuation token is not valid.');
    return from;
  }

  #children(call: WorkspaceCall): Answer {
    const run = this.#run(call);
    // The later step comes first, as recorded.
    const all = children(this.#ctx.store, call.ws.guid, run.runId).reverse();
    return this.#page(call, selectRuns(all, call.query['$filter'], call.query['$orderby']), this.#from(call));
  }

  #query(call: WorkspaceCall): Answer {
    const body = asObject(call.body);
    const narrowed = call.params['experiment'] !== undefined || call.params['experimentId'] !== undefined;
    const experimentId = narrowed ? this.#experiment(call).id : undefined;
    const all = listRuns(this.#ctx.store, call.ws.guid, experimentId === undefined ? {} : { experimentId });
    const filter = asText(body['filter']) ?? call.query['$filter'];
    const orderBy = asText(body['orderBy']) ?? asText(body['orderby']) ?? call.query['$orderby'];
    return this.#page(
      call,
      selectRuns(
        all.filter((run) => !run.deleted),
        filter,
        orderBy,
      ),
      this.#from(call),
    );
  }

  /**
   * Types of outputs are `UriFolder` … as recorded; for today's client (it sends `api-version=v1.0`) they have ARM's spelling, the only
   * one for which it asks the resolver (azure-ml-rest.md, corrections).
   */
  #rundata(ws: WorkspaceRecord, id: string, apiVersion = ''): Json {
    const run = getRun(this.#ctx.store, ws.guid, id);
    if (!run) throw runNotFound(id);
    const document = getJob(this.#ctx.store, ws.guid, id);
    const metadata = runBody(this.#ctx, ws, run, true);
    const outputs = outputsOf(run);
    if (run.kind !== 'Step' && run.kind !== 'Mlflow')
      outputs['default'] = {
        assetId: `azureml://locations/${ws.location}/workspaces/${ws.guid}/data/azureml_${run.runId}_output_data_default/versions/1`,
        type: 'UriFolder',
      };
    if (apiVersion !== '')
      for (const output of Object.values(outputs).map(asObject))
        output['type'] = { UriFile: 'uri_file', MLTable: 'mltable' }[asText(output['type']) ?? ''] ?? 'uri_folder';
    return {
      // A step's inputs are null there, a job's an object, as recorded.
      runMetadata: { ...metadata, inputs: run.kind === 'Step' ? null : {}, outputs },
      runDefinition: definitionBody(run, document),
      jobSpecification: null,
      systemSettings: null,
    };
  }

  #batch(call: WorkspaceCall): Answer {
    const ids = asObject(call.body)['runIds'];
    if (!Array.isArray(ids)) throw invalid("The body needs 'runIds', a list.");
    const runs: Json = {};
    const errors: Json = {};
    for (const id of ids.map(String)) {
      if (getRun(this.#ctx.store, call.ws.guid, id)) runs[id] = this.#rundata(call.ws, id);
      else errors[id] = { error: { code: 'UserError', message: `Run ${id} was not found` } };
    }
    return { body: { runs, errors } };
  }

  async #patch(call: WorkspaceCall): Promise<Answer> {
    const run = this.#run(call);
    const body = asObject(call.body);
    const { guid } = call.ws;
    const properties = texts(body['properties']);
    for (const [key, value] of Object.entries(properties))
      if (key in run.properties && run.properties[key] !== value)
        throw invalid(`Property '${key}' cannot be changed: properties are immutable.`);
    const changed = await this.#ctx.store.write((tx) =>
      updateRun(
        tx,
        guid,
        run.runId,
        (record) => {
          const displayName = asText(body['displayName']);
          if (displayName) record.displayName = displayName;
          const description = asText(body['description']);
          if (description !== undefined) record.description = description;
          if (typeof body['hidden'] === 'boolean') record.hidden = body['hidden'];
          record.tags = { ...record.tags, ...texts(body['tags']) };
          record.properties = { ...record.properties, ...properties };
        },
        this.#ctx.clock.now(),
      ),
    );
    return { body: runBody(this.#ctx, call.ws, changed ?? run) };
  }

  async #cancel(call: WorkspaceCall): Promise<Answer> {
    const run = this.#run(call);
    await this.#engine.cancel(call.ws, run.runId);
    return { body: runBody(this.#ctx, call.ws, getRun(this.#ctx.store, call.ws.guid, run.runId) ?? run) };
  }

  /** Data (and model) ids to where they are; outputs of runs have ids of their own kind. */
  #resolve(call: WorkspaceCall): Answer {
    const { ws } = call;
    const values = asObject(call.body)['values'];
    if (!Array.isArray(values)) throw invalid("The body needs 'values', a list of asset ids.");
    const found: Json = {};
    for (const id of values.map(String)) {
      const answer = this.#resolveOne(ws, id);
      if (answer) found[id] = answer;
    }
    return { body: { values: found } };
  }

  #resolveOne(ws: WorkspaceRecord, id: string): Json | undefined {
    const output = /\/data\/azureml_(.+)_output_data_([^/]+)\/versions\/[^/]+$/i.exec(id);
    if (output) {
      const [, job = '', name = ''] = output;
      const uri = outputUri(this.#ctx, ws, job, name);
      const type = name === 'default' ? 'UriFolder' : getRun(this.#ctx.store, ws.guid, job)?.outputs[name]?.type;
      return uri === undefined ? undefined : { uri, type: type ?? 'UriFolder', legacyDatasetType: null };
    }
    try {
      const place = locate(this.#ctx, ws, id);
      if ('url' in place) return { uri: place.url, type: 'UriFile', legacyDatasetType: null };
      const asset = this.#ctx.assets.resolve(ws, id, /\/models\//i.test(id) ? 'models' : 'data');
      const uri = asText(asset.properties['dataUri']) ?? asText(asset.properties['modelUri']);
      const type =
        place.type === 'mltable'
          ? 'MLTable'
          : (place.type ?? 'uri_folder').replace(/(^|_)([a-z])/g, (_, __, letter: string) => letter.toUpperCase());
      return { uri, type, legacyDatasetType: null };
    } catch (error) {
      // Unknown ids are left out of the answer: each is asked on its own behalf.
      if ((error instanceof ServiceError && error.status === 404) || error instanceof JobFailure) return undefined;
      throw error;
    }
  }
}

function experimentBody(experiment: Experiment): Json {
  return {
    experimentId: experiment.id,
    name: experiment.name,
    description: null,
    createdUtc: experiment.createdAt,
    tags: experiment.tags,
    archivedTime: null,
    retainForLifetimeOfWorkspace: false,
    artifactLocation: null,
  };
}
