/** What may change of a workspace (Workspaces_Update), and what can be truly said of one: diagnosis, keys in step (azure-ml-rest §4). */
import type { Ctx, Principal, WorkspaceRecord } from '../context.js';
import { badRequest, notBuilt } from '../errors.js';
import type { Router } from '../router.js';
import { objectOf, textMap, textOf } from '../validate.js';
import { workspaceBody } from './workspaces.js';

/** Changed members of a workspace, by its GUID. */
export interface WorkspaceSettings {
  tags?: Record<string, string>;
  properties: Record<string, unknown>;
  lastModifiedAt: string;
  lastModifiedBy: string;
}

export const workspaceSettingsTable = 'workspaceSettings';
/** Descriptive members: changing them changes nothing else. */
const free = new Set(['description', 'friendlyName', 'imageBuildCompute']);

/** What was changed of a workspace since it was made. */
export function workspaceSettings(ctx: Ctx, ws: WorkspaceRecord): WorkspaceSettings | undefined {
  return ctx.store.get<WorkspaceSettings>(workspaceSettingsTable, ws.guid);
}

/** True when what was sent is there already: clients send back what they got, without what only the service sets. */
export function there(sent: unknown, now: unknown): boolean {
  if (sent === null || sent === undefined) return true;
  const object = objectOf(sent);
  if (object) return Object.entries(object).every(([name, value]) => there(value, objectOf(now)?.[name]));
  if (Array.isArray(sent)) return sent.length === 0 || JSON.stringify(sent) === JSON.stringify(now);
  return textOf(sent).toLowerCase() === textOf(now).toLowerCase();
}

/** Changes what a body asks for, in the words of `operation`. Throws 400, and 501 for what cannot be changed here. */
export async function changeWorkspace(
  ctx: Ctx,
  ws: WorkspaceRecord,
  sent: unknown,
  principal: Principal,
  operation = 'Workspaces_Update',
): Promise<void> {
  const body = objectOf(sent);
  if (!body) throw badRequest('The body must be a JSON object with tags or properties.');
  const now = workspaceBody(ctx, ws, '');
  const before = workspaceSettings(ctx, ws);
  const changed: Record<string, unknown> = {};
  for (const [member, value] of Object.entries(objectOf(body['properties']) ?? {})) {
    if (there(value, objectOf(now['properties'])?.[member])) continue;
    if (!free.has(member)) throw notBuilt(`${operation} of properties.${member}`);
    if (typeof value !== 'string') throw badRequest(`properties.${member} must be a text.`);
    changed[member] = value;
  }
  for (const member of ['identity', 'sku', 'kind'])
    if (!there(body[member], now[member])) throw notBuilt(`${operation} of ${member}`);
  const tags = body['tags'] == null ? before?.tags : textMap(body['tags'], 'tags');
  await ctx.store.write((tx) =>
    tx.put(workspaceSettingsTable, ws.guid, {
      ...(tags ? { tags } : {}),
      properties: { ...before?.properties, ...changed },
      lastModifiedAt: ctx.clock.stamp(),
      lastModifiedBy: principal.name,
    } satisfies WorkspaceSettings),
  );
}

export function registerWorkspaceUpdate(router: Router, ctx: Ctx): void {
  router.workspace('PATCH', '', 'write', async ({ ws, apiVersion, principal, body }) => {
    await changeWorkspace(ctx, ws, body, principal);
    return { body: workspaceBody(ctx, ws, apiVersion) };
  });
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
}
