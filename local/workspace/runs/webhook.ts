/** Tells Azure DevOps that a job has ended: the webhook of an agentless wait (azure-ml-rest.md §8, azure-devops-rest.md §8). */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { asObject, asText, type Json } from '../engine/json.js';
import { getJob } from './jobs.js';
import type { RunRecord } from './record.js';

/** Members are read in any casing (azure-ml-rest.md §9 row 2). */
function member(hook: Json, name: string): string {
  return asText(Object.entries(hook).find(([key]) => key.toLowerCase() === name.toLowerCase())?.[1]) ?? '';
}

const results: Record<string, string> = { Completed: 'succeeded', Canceled: 'canceled', Failed: 'failed' };

interface Callback {
  name: string;
  url: string;
  token: string;
  body: { name: 'TaskCompleted'; taskId: string; jobId: string; result: string };
}

/** The calls that the end of this run asks for. */
function callbacks(notification: unknown, status: string): Callback[] {
  const hooks = Object.entries(asObject(asObject(notification)['webhooks']));
  return hooks.flatMap(([name, value]): Callback[] => {
    const hook = asObject(value);
    const event = member(hook, 'eventType');
    if (member(hook, 'webhookType').toLowerCase() !== 'azuredevops' || (event !== '' && event.toLowerCase() !== 'runterminated'))
      return [];
    const plan = member(hook, 'PlanUri') || member(hook, 'PlanUrl');
    if (!/^https?:\/\//i.test(plan)) return [];
    const path = [
      member(hook, 'ProjectId'),
      '_apis/distributedtask/hubs',
      member(hook, 'HubName'),
      'plans',
      member(hook, 'PlanId'),
      'events',
    ];
    return [
      {
        name,
        url: `${plan.replace(/\/+$/, '')}/${path.map((part) => part.split('/').map(encodeURIComponent).join('/')).join('/')}?api-version=2.0-preview.1`,
        token: member(hook, 'AuthToken'),
        body: {
          name: 'TaskCompleted',
          taskId: member(hook, 'TaskInstanceId'),
          jobId: member(hook, 'JobId'),
          result: results[status] ?? 'failed',
        },
      },
    ];
  });
}

/** Sends the callbacks of an ended job, each up to three times. Failures are logged: there is nobody else to tell. */
export async function notifyEnd(ctx: Ctx, ws: WorkspaceRecord, run: RunRecord): Promise<void> {
  const document = getJob(ctx.store, ws.guid, run.runId);
  for (const call of callbacks(document?.properties['notificationSetting'], run.status)) {
    for (let attempt = 1; attempt <= 3; attempt++) {
      try {
        const response = await fetch(call.url, {
          method: 'POST',
          headers: {
            'content-type': 'application/json',
            authorization: `Basic ${Buffer.from(`:${call.token}`).toString('base64')}`,
          },
          body: JSON.stringify(call.body),
          redirect: 'error',
          signal: AbortSignal.any([ctx.closing, AbortSignal.timeout(20_000)]),
        });
        if (response.ok) break;
        throw new Error(`it answered ${response.status}`);
      } catch (error) {
        if (ctx.closing.aborted) return;
        if (attempt === 3) ctx.log.error(`Webhook '${call.name}' of job ${run.runId} could not be delivered`, error);
      }
    }
  }
}
