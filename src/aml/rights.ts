/** Which actions the connection's principal lacks on a workspace (docs/rights.md), as far as the service tells. */
import type { Workspace } from './workspace.js';

const room = 'Microsoft.MachineLearningServices/workspaces';

/** What RunAmlPipeline `run` does there. */
const runActions = [
  `${room}/read`,
  `${room}/jobs/read`,
  `${room}/jobs/write`,
  `${room}/jobs/cancel/action`,
  `${room}/codes/versions/write`,
  `${room}/environments/versions/write`,
  `${room}/components/versions/write`,
  // Steps, logs and metrics: without it a job runs, and nothing of it is seen.
  `${room}/experiments/runs/read`,
];

interface Permission {
  actions?: string[];
  notActions?: string[];
}

/**
 * `GET {workspace}/providers/Microsoft.Authorization/permissions` (an ARM operation on every resource). Undefined when the service does not
 * say (the principal may not ask, or there is no such operation).
 */
export async function missingRights(workspace: Workspace, signal?: AbortSignal): Promise<string[] | undefined> {
  const { status, body } = await workspace.azure.request<{ value?: Permission[] }>({
    method: 'GET',
    url: `${workspace.id}/providers/Microsoft.Authorization/permissions`,
    apiVersion: '2022-04-01',
    accept: [400, 401, 403, 404, 405, 501],
    operation: `read the rights on workspace ${workspace.workspace}`,
    ...(signal ? { signal } : {}),
  });
  const permissions = status === 200 ? body?.value : undefined;
  if (!Array.isArray(permissions)) return undefined;
  const granted = (action: string) =>
    permissions.some(
      ({ actions = [], notActions = [] }) =>
        actions.some((one) => covers(one, action)) && !notActions.some((one) => covers(one, action)),
    );
  return runActions.filter((action) => !granted(action));
}

function covers(pattern: string, action: string): boolean {
  const text = pattern.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*');
  return new RegExp(`^${text}$`, 'i').test(action);
}
