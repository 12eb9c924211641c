/** Small pieces that the route files share. */
import { isAlive } from '../../processes.js';
import { DevOpsError, type Answer, type Call } from './call.js';
import type { RunState } from './run-state.js';

export const list = (value: unknown[]): Answer => ({ body: { count: value.length, value } });

/**
 * One page of a list: `$top` of what comes after `continuationToken`; where more follows, the header says how to ask for it.
 * `key` is what the token counts by: rising, or falling for lists that begin with the newest.
 */
export function page<T>(
  call: Call,
  items: T[],
  key: (item: T) => number,
  view: (item: T) => unknown,
  { falling = false, most = 1000 } = {},
): Answer {
  const given = call.query.get('continuationToken');
  if (given !== null && !/^\d+$/.test(given))
    throw new DevOpsError(400, `The continuation token '${given}' is not one of this list.`);
  const wanted = call.query.get('$top') ?? call.query.get('top');
  if (wanted !== null && !/^\d+$/.test(wanted)) throw new DevOpsError(400, `The value '${wanted}' is not valid for $top.`);
  const rest = given === null ? items : items.filter((item) => (falling ? key(item) < Number(given) : key(item) > Number(given)));
  const shown = rest.slice(0, Math.min(most, Number(wanted ?? most) || most));
  const last = shown.at(-1);
  const more = last !== undefined && rest.length > shown.length;
  return { ...list(shown.map(view)), ...(more ? { headers: { 'x-ms-continuationtoken': String(key(last)) } } : {}) };
}

export function wrongMethod(call: Call): never {
  throw new DevOpsError(405, `The requested resource does not support http method '${call.method}'.`);
}

export function missing(what: string, typeKey = 'NotFoundException'): never {
  throw new DevOpsError(404, `${what} does not exist or you do not have permission to access it.`, typeKey);
}

/** Only people change approvals, checks and permissions; a job's token does not (as the service's own rights have it by default). */
export function requirePerson(call: Call, what: string): void {
  if (call.caller.job)
    throw new DevOpsError(
      403,
      `Access denied. ${call.caller.identity.displayName} needs the right to ${what}.`,
      'AccessDeniedException',
    );
}

export async function theRun(call: Call): Promise<RunState> {
  const id = call.params['buildId'] ?? '';
  return (await call.server.run(id)) ?? missing(`The requested build ${id}`, 'BuildNotFoundException');
}

/** The run, live: changes go through the process that owns it. */
export async function ownRun(call: Call): Promise<RunState> {
  const run = await theRun(call);
  if (!call.server.runs.has(run.id) && run.run.owner !== null && run.run.status !== 'completed' && isAlive(run.run.owner))
    throw new DevOpsError(409, `Run ${run.id} belongs to another process (${run.run.owner}); ask its own server.`);
  return run;
}

export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A scalar of a body as text; anything else is the fallback. */
export function text(value: unknown, fallback = ''): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : fallback;
}
