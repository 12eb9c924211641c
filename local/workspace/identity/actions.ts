/** What a refusal tells: the action that was asked for and on what (azure-ml-observed §0, authorization). */
import type { Call } from '../context.js';

/** ARM's name of what a route does, for refusals: `workspaces/jobs/cancel/action`. Data planes give the kind of access instead of the verb. */
export function actionOf(method: string, kind: string, path: string, prefix: string): string {
  const verbs: Record<string, string> = {
    GET: '/read',
    HEAD: '/read',
    PUT: '/write',
    PATCH: '/write',
    DELETE: '/delete',
    POST: '/action',
  };
  return `${kind}${path.replace(/\/(:[^/]+|\*)/g, '')}${prefix === '' ? (verbs[method] ?? '') : ''}`;
}

/** The resource that a route names, for refusals; of a list and of a data plane the resource above. */
export function scopeOf(armId: string, path: string, call: Pick<Call, 'params'>, prefix: string): string {
  const named = prefix === '' ? (/^(\/[^/:*]+\/:[^/]+)*/.exec(path)?.[0] ?? '') : '';
  return armId + named.replace(/:([^/]+)/g, (_, name: string) => call.params[name] ?? '');
}
