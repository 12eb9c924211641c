/** Small pieces that the route files share. */
import { DevOpsError, type Answer, type Call } from './call.js';
import type { RunState } from './run-state.js';

export const list = (value: unknown[]): Answer => ({ body: { count: value.length, value } });

export function wrongMethod(call: Call): never {
  throw new DevOpsError(405, `The requested resource does not support http method '${call.method}'.`);
}

export function missing(what: string): never {
  throw new DevOpsError(404, `${what} does not exist or you do not have permission to access it.`, 'NotFoundException');
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
  return (await call.server.run(id)) ?? missing(`The requested build ${id}`);
}

/** The run, live: changes go through the process that owns it. */
export async function ownRun(call: Call): Promise<RunState> {
  const run = await theRun(call);
  if (!call.server.runs.has(run.id) && run.run.owner !== null && run.run.status !== 'completed' && alive(run.run.owner))
    throw new DevOpsError(409, `Run ${run.id} belongs to another process (${run.run.owner}); ask its own server.`);
  return run;
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

export function record(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

/** A scalar of a body as text; anything else is the fallback. */
export function text(value: unknown, fallback = ''): string {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : fallback;
}
