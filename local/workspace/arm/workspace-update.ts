/** What may change of a workspace (Workspaces_Update), and what can be truly said of one: diagnosis, keys in step (azure-ml-rest §4). */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { badRequest, notBuilt } from '../errors.js';
import type { Router } from '../router.js';
import { objectOf, textOf } from '../validate.js';
import { workspaceBody } from './workspaces.js';

/** Changed members of a workspace, by its GUID. */
export interface WorkspaceSettings {
  tags?: Record<string, string>;
  properties: Record<string, unknown>;
  lastModifiedAt: string;
  lastModifiedBy: string;
}

const table = 'workspaceSettings';
/** Descriptive members: changing them changes nothing else. */
const free = new Set(['description', 'friendlyName', 'imageBuildCompute']);

/** What was changed of a workspace since it was made. */
export function workspaceSettings(ctx: Ctx, ws: WorkspaceRecord): WorkspaceSettings | undefined {
  return ctx.store.get<WorkspaceSettings>(table, ws.guid);
}

/** True when what was sent is there already: clients send back what they got, without what only the service sets. */
function there(sent: unknown, now: unknown): boolean {
  if (sent === null || sent === undefined) return true;
  const object = objectOf(sent);
  if (object) return Object.entries(object).every(([name, value]) => there(value, objectOf(now)?.[name]));
  if (Array.isArray(sent)) return sent.length === 0 || JSON.stringify(sent) === JSON.stringify(now);
  return textOf(sent).toLowerCase() === textOf(now).toLowerCase();
}

/** Text values of `tags`, which replace the old ones. */
function tagsOf(sent: unknown): Record<string, string> {
  const tags = objectOf(sent);
  if (!tags || Object.values(tags).some((value) => typeof value !== 'string'))
    throw badRequest('tags must be an object of texts.');
  return tags as Record<string, string>;
}

export function registerWorkspaceUpdate(router: Router, ctx: Ctx): void {
  router.workspace('PATCH', '', 'write', async (call) => {
    const { ws, apiVersion, principal } = call;
    const body = objectOf(call.body);
    if (!body) throw badRequest('The body must be a JSON object with tags or properties.');
    const now = workspaceBody(ctx, ws, '');
    const before = workspaceSettings(ctx, ws);
    const changed: Record<string, unknown> = {};
    for (const [member, value] of Object.entries(objectOf(body['properties']) ?? {})) {
      if (there(value, objectOf(now['properties'])?.[member])) continue;
      if (!free.has(member)) throw notBuilt(`Workspaces_Update of properties.${member}`);
      if (typeof value !== 'string') throw badRequest(`properties.${member} must be a text.`);
      changed[member] = value;
    }
    for (const member of ['identity', 'sku', 'kind'])
      if (!there(body[member], now[member])) throw notBuilt(`Workspaces_Update of ${member}`);
    const tags = body['tags'] == null ? before?.tags : tagsOf(body['tags']);
    await ctx.store.write((tx) =>
      tx.put(table, ws.guid, {
        ...(tags ? { tags } : {}),
        properties: { ...before?.properties, ...changed },
        lastModifiedAt: ctx.clock.stamp(),
        lastModifiedBy: principal.name,
      } satisfies WorkspaceSettings),
    );
    return { body: workspaceBody(ctx, ws, apiVersion) };
  });
  for (const [method, operation] of [
    ['PUT', 'Workspaces_CreateOrUpdate'],
    ['DELETE', 'Workspaces_Delete'],
  ] as const)
    // Whether the workspace is there does not matter: none is made or removed while the server runs.
    router.public(
      method,
      '/subscriptions/:subscriptionId/resourceGroups/:resourceGroup/providers/Microsoft.MachineLearningServices/workspaces/:workspace',
      'write',
      () => {
        throw notBuilt(`${operation} (workspaces are named at the start: amlops up --workspaces)`);
      },
    );
  router.workspace('POST', '/diagnose', 'write', () => {
    const looked = [
      'userDefinedRouteResults',
      'networkSecurityRuleResults',
      'resourceLockResults',
      'dnsResolutionResults',
      'storageAccountResults',
      'keyVaultResults',
      'containerRegistryResults',
      'applicationInsightsResults',
      'otherResults',
    ];
    return { body: { value: Object.fromEntries(looked.map((name) => [name, []])) } };
  });
  // The workspace reads its keys where they are: they are never out of step.
  router.workspace('POST', '/resyncKeys', 'write', () => ({ status: 200 }));
  router.public(
    'PUT',
    '/subscriptions/:sub/resourceGroups/:group/providers/Microsoft.Resources/deployments/:name',
    'write',
    () => {
      throw notBuilt('Deployments_CreateOrUpdate (workspaces are named at the start: amlops up --workspaces)');
    },
  );
}
