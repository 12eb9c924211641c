/** Long-running operations (reference azure-ml-rest §5, azure-ml-observed §0 and §5): Azure-AsyncOperation, Location, or nothing at all. */
import { replyFailure } from './advice.js';
import { Failure } from './errors.js';
import type { Azure, AzureRequest, AzureResponse, Clock } from './types.js';

interface Origin {
  method: AzureRequest['method'];
  url: string;
  scope: string | null;
  operation: string;
}

/** `PT1H30M` in milliseconds. */
function isoDuration(text: string | undefined): number | undefined {
  const match = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/.exec(text ?? '');
  if (!match) return undefined;
  const [days, hours, minutes, seconds] = match.slice(1).map((part) => Number(part ?? 0));
  return (((days ?? 0) * 24 + (hours ?? 0)) * 60 + (minutes ?? 0)) * 60_000 + (seconds ?? 0) * 1000;
}

/**
 * Polls until the operation ends: every word but Succeeded, Failed and Canceled is "running"; a Location answers 202 while it runs.
 * After success of a PUT or PATCH the resource itself is read. Errors: `Failure` with the operation's own error; `OperationTimeout`.
 */
export async function followOperation(
  azure: Azure & { clock: Clock },
  first: AzureResponse<unknown>,
  origin: Origin,
  options: { signal?: AbortSignal; pollSeconds?: number },
): Promise<AzureResponse<unknown>> {
  const { signal } = options;
  const status = header(first, 'azure-asyncoperation') ?? header(first, 'operation-location');
  let location = header(first, 'location');
  if (!status && (first.status !== 202 || !location)) return first;
  const get = (url: string, accept: number[] = []) =>
    azure.request({
      method: 'GET',
      url: new URL(url, origin.url).href,
      apiVersion: null,
      scope: origin.scope,
      operation: `follow "${origin.operation}"`,
      accept,
      ...(signal ? { signal } : {}),
    });
  const started = azure.clock.now();
  const limit = isoDuration(header(first, 'x-ms-async-operation-timeout')) ?? 2 * 3600_000;
  let wait = (options.pollSeconds ?? 0.5) * 1000;
  let last = first;
  for (;;) {
    await azure.clock.sleep(asked(last) ?? wait, signal);
    if (!options.pollSeconds) wait = Math.min(15_000, wait * 1.6);
    if (azure.clock.now() - started > limit) {
      throw new Failure(`The service did not finish "${origin.operation}" within ${Math.round(limit / 60_000)} minutes.`, {
        code: 'OperationTimeout',
        operation: origin.operation,
        advice: 'Look at the resource in the Azure portal; running the step again is safe.',
      });
    }
    if (status) {
      last = await get(status);
      const { status: word, error } = (last.body ?? {}) as { status?: unknown; error?: unknown };
      const end = typeof word === 'string' ? word.toLowerCase() : 'succeeded';
      if (end === 'failed' || end === 'canceled' || end === 'cancelled') {
        throw replyFailure(origin.operation, last.status, last.headers, JSON.stringify({ error: error ?? { code: word } }));
      }
      if (end !== 'succeeded') continue;
      if (origin.method === 'PUT' || origin.method === 'PATCH') return get(origin.url);
      return location && origin.method === 'POST' ? get(location, [404]) : last;
    }
    if (!location) return last;
    last = await get(location);
    location = header(last, 'location') ?? location;
    if (last.status !== 202) return origin.method === 'PUT' && last.status === 201 ? get(origin.url) : last;
  }
}

function header(response: AzureResponse<unknown>, name: string): string | undefined {
  return response.headers[name];
}

function asked(response: AzureResponse<unknown>): number | undefined {
  const seconds = Number(header(response, 'retry-after'));
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 60) * 1000 : undefined;
}
