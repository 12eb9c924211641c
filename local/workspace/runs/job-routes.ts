/** ARM jobs: PUT, GET, list, PATCH, cancel, delete (azure-ml-rest.md §1.1, azure-ml-observed.md §1). */
import { randomUUID } from 'node:crypto';
import { plainDollar } from '../assets/view.js';
import type { Answer, Ctx, WorkspaceCall, WorkspaceRecord } from '../context.js';
import { badRequest, notFound, ServiceError } from '../errors.js';
import { onCluster } from '../engine/describe.js';
import type { Engine } from '../engine/engine.js';
import { asObject, asText, type Json } from '../engine/json.js';
import { readSubmission } from '../engine/submit.js';
import { lastSegment } from '../engine/uris.js';
import type { Router } from '../router.js';
import { propertiesOf } from '../validate.js';
import { ensureExperiment, getRun, listRuns, putRun, removeRun, tree, updateRun } from './access.js';
import {
  checkJobName,
  checkMembers,
  defaultOutput,
  getJob,
  jobBody,
  jobKey,
  jobTable,
  serviceProperties,
  systemData,
  texts,
  type JobDocument,
} from './jobs.js';
import { removeMetrics } from './metrics.js';
import { isTerminal, newRun, type RunRecord } from './record.js';
import { serviceWarnings } from './services.js';
import { shownStatus } from './views.js';

const pageSize = 50;

function jobNotFound(name: string): ServiceError {
  return notFound(`Job ${name} not found.`, { code: 'JobNotFound', message: `Job ${name} not found.` });
}

/** The second token that pipelines carry: it may be absent, but not wrong. @throws ServiceError 401 */
async function checkUserToken(ctx: Ctx, header: string | undefined): Promise<void> {
  if (header === undefined) return;
  const verdict = await ctx.issuer.verify(header.replace(/^Bearer\s+/i, ''));
  if (verdict.kind === 'valid') return;
  throw new ServiceError(
    401,
    'InvalidAuthenticationToken',
    `The token in x-azureml-token is ${verdict.kind === 'expired' ? 'expired' : 'not valid'}.`,
    {
      envelope: 'gateway',
    },
  );
}

/** Renames the members of a body to the service's casing: the webhook recipe sends PascalCase (azure-ml-rest.md §9 row 2). */
function camel(value: unknown, keep = false): unknown {
  if (Array.isArray(value)) return value.map((entry) => camel(entry));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, entry]) => {
      const known = keep ? name : (name[0] ?? '').toLowerCase() + name.slice(1);
      // Names below these are the user's own.
      return [known, camel(entry, ['tags', 'properties', 'webhooks'].includes(known) && name !== 'Properties' && !keep)];
    }),
  );
}

export class JobRoutes {
  readonly #ctx: Ctx;
  readonly #engine: Engine;
  constructor(ctx: Ctx, engine: Engine) {
    this.#ctx = ctx;
    this.#engine = engine;
  }

  register(router: Router): void {
    const ctx = this.#ctx;
    router.workspace('PUT', '/jobs/:id', 'write', (call) => this.#put(call));
    router.workspace('PATCH', '/jobs/:id', 'write', (call) => this.#patch(call));
    router.workspace('GET', '/jobs/:id', 'read', (call) => this.#get(call));
    router.workspace('GET', '/jobs', 'read', (call) => this.#list(call));
    router.workspace('POST', '/jobs/:id/cancel', 'write', (call) => this.#cancel(call));
    router.workspace('DELETE', '/jobs/:id', 'write', (call) => this.#delete(call));
    ctx.operations.ask('jc', (id) => {
      const [, guid = '', name = ''] = id.split(':');
      const run = getRun(ctx.store, guid, name);
      return !run || isTerminal(run.status) ? 'done' : 'running';
    });
    ctx.operations.ask('jd', () => 'done');
  }

  #body(ws: WorkspaceRecord, document: JobDocument, run: RunRecord, apiVersion: string, made = false): Json {
    return jobBody(this.#ctx, ws, document, run, shownStatus(this.#ctx, run), apiVersion, made);
  }

  async #put(call: WorkspaceCall): Promise<Answer> {
    const ctx = this.#ctx;
    const { ws } = call;
    const name = call.params['id'] ?? '';
    checkJobName(name);
    const sent = propertiesOf(call.body, 'job', call.apiVersion);
    await checkUserToken(ctx, call.headers['x-azureml-token']);
    if (getRun(ctx.store, ws.guid, name)) return this.#update(call, name, sent);
    checkMembers(sent, call.apiVersion);
    const submission = await readSubmission(ctx, ws, name, sent);
    const { document, run } = this.#newJob(call, name, sent, submission.kind);
    const stored = await ctx.store.write((tx) => {
      if (getRun(tx, ws.guid, name)) return undefined;
      const experiment = ensureExperiment(tx, ws.guid, run.experimentName, randomUUID(), ctx.clock.now());
      const target = submission.compute ?? (submission.kind === 'Pipeline' ? undefined : 'serverless');
      const created = { ...run, tags: { ...run.tags }, properties: { ...run.properties } };
      // Seen from the first GET on; the reply to the PUT does not have it yet, as recorded.
      if (submission.kind === 'Command') onCluster(created, this.#engine.slots(ws, submission.compute));
      const record = putRun(tx, { ...created, experimentId: experiment.id, ...(target !== undefined && { target }) });
      tx.put(jobTable, jobKey(document), document);
      return record;
    });
    // Two PUTs of one name at once: the second found the first one's job.
    if (!stored) return this.#update(call, name, sent);
    this.#engine.launch(ws, stored, submission, call.principal);
    return {
      status: 201,
      headers: { Location: `${ctx.urls.base}${ws.armId}/jobs/${name}?api-version=${call.apiVersion}` },
      body: this.#body(ws, document, { ...stored, tags: run.tags, properties: run.properties }, call.apiVersion, true),
    };
  }

  #newJob(
    call: WorkspaceCall,
    name: string,
    sent: Json,
    kind: 'Command' | 'Pipeline' | 'Sweep',
  ): { document: JobDocument; run: RunRecord } {
    const ctx = this.#ctx;
    const { ws, principal } = call;
    const { tags, properties, displayName, description, isArchived, ...rest } = sent;
    const artifacts = kind === 'Pipeline' ? {} : { default: defaultOutput(name) };
    const document: JobDocument = {
      name,
      workspace: ws.guid,
      properties: { ...rest, inputs: asObject(sent['inputs']), outputs: { ...artifacts, ...asObject(sent['outputs']) } },
      createdAt: ctx.clock.stamp(),
      createdBy: principal.name,
    };
    const text = asText(description);
    const run = newRun(
      {
        runId: name,
        workspace: ws.guid,
        experimentId: '',
        experimentName: asText(sent['experimentName']) || 'Default',
        kind,
        runUuid: randomUUID(),
        createdBy: { objectId: principal.objectId, tenantId: principal.tenantId, name: principal.name, type: 'Application' },
        displayName: asText(displayName) || name,
        status: kind === 'Pipeline' ? 'Preparing' : 'Starting',
        hidden: isArchived === true,
        tags: texts(tags),
        properties: { ...texts(properties), ...serviceProperties(ctx, ws, sent) },
        warnings: serviceWarnings(sent),
        ...(text !== undefined && { description: text }),
      },
      ctx.clock.now(),
    );
    return { document, run };
  }

  /** What a second PUT (or PATCH) may change; it merges, it does not replace. */
  async #update(call: WorkspaceCall, name: string, sent: Json): Promise<Answer> {
    const ctx = this.#ctx;
    const { ws } = call;
    const changed = await ctx.store.write((tx) => {
      const document = getJob(tx, ws.guid, name);
      const before = getRun(tx, ws.guid, name);
      if (!document || !before) return undefined;
      const properties = texts(sent['properties']);
      for (const [key, value] of Object.entries(properties))
        if (key in before.properties && before.properties[key] !== value)
          throw badRequest(
            `Property '${key}' of job ${name} cannot be changed: properties are immutable.`,
            [],
            ['ImmutableProperty'],
          );
      const run = updateRun(
        tx,
        ws.guid,
        name,
        (record) => {
          record.tags = { ...record.tags, ...texts(sent['tags']) };
          record.properties = { ...record.properties, ...properties };
          const displayName = asText(sent['displayName']);
          if (displayName) record.displayName = displayName;
          const description = asText(sent['description']);
          if (description !== undefined) record.description = description;
          if (typeof sent['isArchived'] === 'boolean') record.hidden = sent['isArchived'];
        },
        ctx.clock.now(),
      ) as RunRecord;
      const notification =
        sent['notificationSetting'] == null
          ? {}
          : { notificationSetting: mergeNotification(document.properties['notificationSetting'], sent['notificationSetting']) };
      const stored: JobDocument = {
        ...document,
        properties: { ...document.properties, ...notification },
        lastModifiedAt: ctx.clock.stamp(),
        lastModifiedBy: call.principal.name,
      };
      tx.put(jobTable, jobKey(stored), stored);
      // The reply does not tell of this change yet, as recorded.
      return { shown: { ...document, properties: stored.properties }, run };
    });
    if (!changed)
      throw badRequest(`${name} is not a job that can be changed here: it is the run of a step or of an MLflow client.`);
    return { status: 200, body: this.#body(ws, changed.shown, changed.run, call.apiVersion) };
  }

  async #patch(call: WorkspaceCall): Promise<Answer> {
    const name = call.params['id'] ?? '';
    if (!getJob(this.#ctx.store, call.ws.guid, name)) throw jobNotFound(name);
    const body = asObject(camel(call.body));
    const answer = await this.#update(call, name, propertiesOf(body, 'job', call.apiVersion));
    // A webhook that comes after the end is told at once: whoever waits must not wait for ever.
    const run = getRun(this.#ctx.store, call.ws.guid, name);
    if (run && isTerminal(run.status)) this.#engine.onEnd?.(call.ws, run);
    return answer;
  }

  #get(call: WorkspaceCall): Answer {
    const { ws } = call;
    const name = call.params['id'] ?? '';
    const run = getRun(this.#ctx.store, ws.guid, name);
    if (!run) throw jobNotFound(name);
    const document = getJob(this.#ctx.store, ws.guid, name);
    if (document) return { body: this.#body(ws, document, run, call.apiVersion) };
    // Children (and runs of MLflow clients): `properties` is absent, not null.
    const own: JobDocument = {
      name: run.runId,
      workspace: ws.guid,
      properties: {},
      createdAt: run.createdAt,
      createdBy: run.createdBy.name,
    };
    return {
      body: {
        id: `${ws.armId}/jobs/${run.runId}`,
        name: run.runId,
        type: 'Microsoft.MachineLearningServices/workspaces/jobs',
        systemData: systemData(own),
      },
    };
  }

  #list(call: WorkspaceCall): Answer {
    const { ws, query } = call;
    const { store, urls } = this.#ctx;
    const view = (query['listViewType'] ?? 'ActiveOnly').toLowerCase();
    const type = query['jobType']?.toLowerCase();
    const tag = query['tag'];
    // Schedules are stored; none creates a job here.
    if (query['scheduleId'] !== undefined || /^true$/i.test(query['scheduled'] ?? '')) return { body: { value: [] } };
    const wanted = (run: RunRecord, document: JobDocument): boolean =>
      (view === 'all' || run.hidden === (view === 'archivedonly')) &&
      (type === undefined || (asText(document.properties['jobType']) ?? '').toLowerCase() === type) &&
      (tag === undefined || hasTag(run.tags, tag)) &&
      (query['properties'] === undefined || hasTag(run.properties, query['properties']));
    const value: Json[] = [];
    let before =
      query['$skip'] === undefined && query['$skipToken'] === undefined
        ? undefined
        : Number(query['$skipToken'] ?? query['$skip']);
    if (before !== undefined && !Number.isFinite(before)) throw badRequest('The continuation token is not valid.');
    for (;;) {
      const runs = listRuns(store, ws.guid, { limit: pageSize, ...(before !== undefined && { before }) });
      for (const run of runs) {
        if (value.length >= pageSize) {
          const next = new URL(`${urls.base}${ws.armId}/jobs`);
          for (const [name, text] of Object.entries(query)) if (name !== '$skip') next.searchParams.set(name, text);
          next.searchParams.set('$skipToken', String(before));
          return { body: { value, nextLink: plainDollar(next.href) } };
        }
        const document = getJob(store, ws.guid, run.runId);
        if (document && wanted(run, document)) value.push(this.#body(ws, document, run, call.apiVersion));
        before = run.sequence;
      }
      if (runs.length < pageSize) return { body: { value } };
    }
  }

  async #cancel(call: WorkspaceCall): Promise<Answer> {
    const { ws } = call;
    const { store } = this.#ctx;
    const name = call.params['id'] ?? '';
    const run = getRun(store, ws.guid, name);
    if (!run) throw jobNotFound(name);
    await this.#engine.cancel(ws, run.runId);
    return this.#accepted(call, `jc:${ws.guid}:${run.runId}`);
  }

  async #delete(call: WorkspaceCall): Promise<Answer> {
    const { ws } = call;
    const { store } = this.#ctx;
    const name = call.params['id'] ?? '';
    const run = getRun(store, ws.guid, name);
    if (!run || !getJob(store, ws.guid, name)) return { status: 204 };
    if (!isTerminal(run.status))
      throw new ServiceError(409, 'UserError', `Job ${name} is ${run.status}; cancel it before it is deleted.`, {
        inner: ['Conflict'],
      });
    await store.write((tx) => {
      for (const one of tree(tx, ws.guid, run.runId)) {
        removeMetrics(tx, ws.guid, one.runId);
        removeRun(tx, one);
      }
      tx.remove(jobTable, `${ws.guid}/${name.toLowerCase()}`);
    });
    return this.#accepted(call, `jd:${ws.guid}:${lastSegment(name)}`);
  }

  /** What goes on, under the operation's id. */
  #accepted({ ws, apiVersion }: WorkspaceCall, id: string): Answer {
    const operation = { id, style: 'mfe', location: ws.location, subscriptionId: ws.subscriptionId } as const;
    const Location = this.#ctx.operations.resultUrl(operation, apiVersion);
    return { status: 202, headers: { Location, 'x-ms-async-operation-timeout': 'PT1H' }, body: null };
  }
}

function hasTag(tags: Record<string, string>, wanted: string): boolean {
  return wanted.split(',').every((part) => {
    const [name = '', ...value] = part.split('=');
    return name in tags && (value.length === 0 || tags[name] === value.join('='));
  });
}

function mergeNotification(before: unknown, sent: unknown): Json {
  const [old, now] = [asObject(before), asObject(sent)];
  return { ...old, ...now, webhooks: { ...asObject(old['webhooks']), ...asObject(now['webhooks']) } };
}
