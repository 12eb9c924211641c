/** A workspace whose Azure is one function: no network, no clock. Statuses that a request does not accept are thrown, as by the real one. */
import { workspaceId, type Workspace } from '../../src/aml/workspace.js';
import { Failure } from '../../src/azure/errors.js';
import type { Azure, AzureRequest, AzureResponse } from '../../src/azure/types.js';

export interface Answer {
  status?: number;
  body?: unknown;
  bytes?: Buffer;
  headers?: Record<string, string>;
}

export interface FakeWorkspace extends Workspace {
  /** Every request, oldest first. */
  asked: AzureRequest[];
}

export function fakeWorkspace(
  answer: (request: AzureRequest) => Answer | Promise<Answer>,
  connection: Partial<Azure['connection']> = {},
): FakeWorkspace {
  const asked: AzureRequest[] = [];
  const request = async <T>(one: AzureRequest): Promise<AzureResponse<T>> => {
    one.signal?.throwIfAborted();
    asked.push(one);
    const { status = 200, body, bytes = Buffer.alloc(0), headers = {} } = await answer(one);
    one.signal?.throwIfAborted();
    if (status >= 400 && !one.accept?.includes(status)) {
      const { code = `Http${status}`, message = '' } = (body as { error?: { code?: string; message?: string } })?.error ?? {};
      throw new Failure(`Could not ${one.operation}: ${message}`, { code, status });
    }
    return { status, headers, bytes, text: bytes.toString(), body: body as T, ambiguous: false };
  };
  const refuse = (): never => {
    throw new Failure('not expected here', { code: 'Unexpected' });
  };
  const names = { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' };
  const facts = { armId: '', location: '', workspaceId: '', api: 'https://api.test', mlflowTrackingUri: '' };
  return {
    ...names,
    id: workspaceId(names),
    facts: async () => facts,
    asked,
    azure: {
      connection: { resourceManager: 'https://management.azure.com', ...connection } as Azure['connection'],
      token: async () => 'token',
      request,
      complete: refuse,
      blobs: refuse,
      trustHost: () => undefined,
      async *list<T>(one: AzureRequest) {
        yield* (await request<{ value: T[] }>(one)).body.value;
      },
    },
  };
}
