/** Schedules as stored resources: kept and answered, never fired (azure-ml-rest §4, azure-ml-observed §7). */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { badRequest, ServiceError } from '../errors.js';
import { page } from '../assets/view.js';
import type { Router } from '../router.js';
import { scheduledJob } from '../runs/scheduled.js';
import type { Tx } from '../store.js';
import { assetName, objectOf, propertiesOf, textOf } from '../validate.js';

interface ScheduleRecord {
  name: string;
  properties: Record<string, unknown>;
  systemData: Record<string, string>;
  /** Epoch milliseconds from which on it has been made. */
  due?: number;
}

const table = 'schedules';
const key = (ws: WorkspaceRecord, name: string) => `${ws.guid}/${name.toLowerCase()}`;

/** One of the allowed words in the service's casing, whatever casing was sent. */
function word(value: unknown, allowed: readonly string[]): string | undefined {
  return allowed.find((entry) => entry.toLowerCase() === textOf(value).toLowerCase());
}

function trigger(sent: unknown): Record<string, unknown> {
  const value = objectOf(sent);
  const type = word(value?.['triggerType'], ['Cron', 'Recurrence']);
  if (!value || !type) throw badRequest(`trigger.triggerType must be Cron or Recurrence.`);
  const answer = { endTime: null, startTime: null, timeZone: 'UTC', ...value, triggerType: type };
  if (type === 'Cron') {
    if (typeof value['expression'] !== 'string' || !/^(\S+\s+){4}\S+$/.test(value['expression'].trim()))
      throw badRequest(`The cron expression '${textOf(value['expression'])}' must have five fields.`);
    return answer;
  }
  const frequency = word(value['frequency'], ['Minute', 'Hour', 'Day', 'Week', 'Month']);
  if (!frequency)
    throw badRequest(`The recurrence frequency '${textOf(value['frequency'])}' is not Minute, Hour, Day, Week or Month.`);
  const pattern = objectOf(value['schedule']);
  const schedule = pattern ? { hours: [], minutes: [], weekDays: null, monthDays: null, ...pattern } : null;
  return { ...answer, frequency, interval: value['interval'] ?? 1, schedule };
}

function action(sent: unknown, apiVersion: string): Record<string, unknown> {
  const value = objectOf(sent);
  const type = word(value?.['actionType'], ['CreateJob', 'InvokeBatchEndpoint', 'CreateMonitor', 'ImportData']);
  if (!value || !type) throw badRequest('action.actionType must be CreateJob, InvokeBatchEndpoint or CreateMonitor.');
  const job = objectOf(value['jobDefinition']);
  if (type !== 'CreateJob') return value;
  if (!job) throw badRequest('action.jobDefinition is required for CreateJob.');
  return { ...value, actionType: type, jobDefinition: scheduledJob(job, apiVersion) };
}

export function registerSchedules(router: Router, ctx: Ctx): void {
  const missing = (name: string) =>
    new ServiceError(404, 'UserError', `Resource Trigger ${name} not found`, { inner: ['NotFound'] });
  const body = ({ name, properties, systemData, due = 0 }: ScheduleRecord) => ({
    name,
    properties: { ...properties, ...(due > ctx.clock.now().getTime() ? { provisioningState: 'Creating' } : {}) },
    systemData,
  });
  const begin = (tx: Tx, ws: WorkspaceRecord, name: string) =>
    ctx.operations.create(tx, {
      style: 'mfe',
      id: `s:${ws.guid}:${Buffer.from(`${name} ${ctx.clock.now().getTime()}`).toString('base64url')}`,
      location: ws.location,
      subscriptionId: ws.subscriptionId,
      seconds: ctx.latency.seconds('operation'),
      now: ctx.clock.now(),
    });
  router.workspace('GET', '/schedules', 'read', ({ ws, query, path }) => {
    const view = (query['listViewType'] ?? 'EnabledOnly').toLowerCase();
    const found = ctx.store
      .entries<ScheduleRecord>(table, { prefix: `${ws.guid}/` })
      .map(({ value }) => value)
      .filter((entry) => view === 'all' || (entry.properties['isEnabled'] === true) === (view === 'enabledonly'));
    const { page: shown, nextLink } = page(found, query, `${ctx.urls.base}${path}`, 100);
    return { body: { value: shown.map(body), ...(nextLink ? { nextLink } : {}) } };
  });
  router.workspace('GET', '/schedules/:name', 'read', ({ ws, params }) => {
    const found = ctx.store.get<ScheduleRecord>(table, key(ws, params['name'] ?? ''));
    if (!found) throw missing(params['name'] ?? '');
    return { body: body(found) };
  });
  router.workspace('PUT', '/schedules/:name', 'write', async ({ ws, params, body: sentBody, apiVersion, principal }) => {
    const name = assetName(params['name'], 'Schedule');
    const sent = propertiesOf(sentBody, 'Schedule', apiVersion);
    const before = ctx.store.get<ScheduleRecord>(table, key(ws, name));
    const now = ctx.clock.stamp();
    const properties = {
      description: sent['description'] ?? null,
      tags: sent['tags'] ?? {},
      properties: sent['properties'] ?? {},
      displayName: sent['displayName'] ?? null,
      isEnabled: sent['isEnabled'] ?? true,
      trigger: trigger(sent['trigger']),
      action: action(sent['action'], apiVersion),
      provisioningState: 'Succeeded',
    };
    const changed = { lastModifiedAt: now, lastModifiedBy: principal.name, lastModifiedByType: 'Application' };
    const record: ScheduleRecord = {
      name: before?.name ?? name,
      due: ctx.clock.now().getTime() + ctx.latency.seconds('operation') * 1000,
      properties,
      systemData: before
        ? { ...before.systemData, ...changed }
        : { createdAt: now, createdBy: principal.name, createdByType: 'Application', ...changed },
    };
    const operation = await ctx.store.write((tx) => {
      tx.put(table, key(ws, name), record);
      return begin(tx, ws, name);
    });
    return {
      status: before ? 200 : 201,
      headers: {
        'Azure-AsyncOperation': ctx.operations.statusUrl(operation, apiVersion),
        Location: `${ctx.urls.base}${ws.armId}/schedules/${name}?api-version=${apiVersion}`,
        'x-ms-async-operation-timeout': 'PT30M',
      },
      body: { properties: { ...properties, provisioningState: 'Creating' } },
    };
  });
  router.workspace('DELETE', '/schedules/:name', 'write', async ({ ws, params, apiVersion }) => {
    const name = params['name'] ?? '';
    if (!ctx.store.get(table, key(ws, name))) return { status: 204 };
    const operation = await ctx.store.write((tx) => {
      tx.remove(table, key(ws, name));
      return begin(tx, ws, name);
    });
    return {
      status: 202,
      headers: {
        'Azure-AsyncOperation': ctx.operations.statusUrl(operation, apiVersion),
        Location: ctx.operations.resultUrl(operation, apiVersion),
        'x-ms-async-operation-timeout': 'PT30M',
      },
      body: null,
    };
  });
}
