/** Refusals of Azure in a user's words: what was being done, Azure's own code and message, the ids that support asks for, and what to do. */
import { Failure, type FailureDetails } from './errors.js';
import { pageTitle } from './foreign.js';

interface ErrorBody {
  code?: unknown;
  message?: unknown;
  details?: unknown;
  innerError?: unknown;
  innererror?: unknown;
  additionalInfo?: unknown;
}

/** Advice by Azure's error code (reference azure-ml-observed "Three error envelopes", storage error codes), asked before the status. */
const byCode: Record<string, string> = {
  AuthorizationFailed:
    'Give the service principal of this service connection the role "AzureML Data Scientist" on the workspace (the task\'s README lists the least rights). A new role assignment takes up to ten minutes.',
  LinkedAuthorizationFailed:
    'The service principal may use the workspace, but not a resource that the request names. Give it rights on that resource too.',
  InvalidAuthenticationTokenTenant:
    'The subscription belongs to another tenant than the service connection. Check the tenant id of the service connection.',
  SubscriptionNotFound:
    'Check the subscription of the service connection, and that its service principal has any role in that subscription.',
  ResourceGroupNotFound: 'Check resourceGroupName, and that the service connection points at the right subscription.',
  ResourceNotFound: 'Check the names given as inputs, and that the service connection points at the right subscription.',
  ParentResourceNotFound:
    'Check workspaceName and resourceGroupName, and that the service connection points at the right subscription.',
  RequestDisallowedByPolicy: 'An Azure Policy of the subscription forbids this. The message names the policy; ask its owner.',
  AuthorizationPermissionMismatch:
    'Give the service principal of this service connection the role "Storage Blob Data Contributor" (to read only: "Storage Blob Data Reader") on the storage account.',
  AuthorizationFailure:
    'The storage account refuses this machine or this way of signing in: check its firewall and private endpoints (use an agent inside the network), and whether it allows account keys.',
  KeyBasedAuthenticationNotPermitted:
    'The storage account forbids account keys. Set the datastore to identity-based access, and give the service principal "Storage Blob Data Contributor".',
  PublicAccessNotPermitted: 'The storage account needs a signed request; the datastore handed out no credentials.',
  ContainerNotFound: 'The datastore names a container that does not exist in its storage account.',
  AuthenticationFailed: "The signature or token was refused. If the agent's clock is wrong by minutes, set it right first.",
};

const network =
  /public network access|private ?(link|endpoint)|not authorized.*(network|ip address|vnet)|firewall|virtual network/i;

function byStatus(status: number, message: string): string | undefined {
  if (status === 403 && network.test(message)) {
    return "The resource is closed to public networks. Run this job on a self-hosted agent inside its virtual network, or allow the agent's address.";
  }
  if (status === 401)
    return 'The token was refused. Check the service connection ("Verify" in the project settings), its tenant and its cloud.';
  if (status === 403) return byCode['AuthorizationFailed'];
  if (status === 429) return 'Azure throttles this subscription. Run fewer jobs at once, or try again later.';
  if (status === 407) return 'The proxy asks for credentials: configure the agent with --proxyusername and --proxypassword.';
  if (status === 501)
    return 'The service does not have this operation, here or in this region; running the step again changes nothing.';
  if (status >= 500)
    return 'The service had a fault of its own; running the step again is safe. See https://status.azure.com if it stays.';
  return undefined;
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : undefined;
}

/** All codes and messages of an error body, outermost first: `details` often carries the only useful one. */
function layers(body: ErrorBody, depth = 0): { code: string; message: string }[] {
  if (depth > 6) return [];
  const own = {
    code: typeof body.code === 'string' ? body.code : '',
    message: typeof body.message === 'string' ? body.message : '',
  };
  const details = Array.isArray(body.details) ? body.details.slice(0, 5) : [];
  return [own, ...details.flatMap((detail) => (record(detail) ? layers(detail as ErrorBody, depth + 1) : []))];
}

function innermost(body: ErrorBody): string | undefined {
  let inner = record(body.innerError) ?? record(body.innererror);
  const info = Array.isArray(body.additionalInfo) ? body.additionalInfo : [];
  for (const item of info) {
    if (record(item)?.['type'] === 'InnerError') inner ??= record(record(record(item)?.['info'])?.['value']);
  }
  let code: string | undefined;
  for (let depth = 0; inner && depth < 8; depth++) {
    if (typeof inner['code'] === 'string') code = inner['code'];
    inner = record(inner['innerError'] ?? inner['innererror']);
  }
  return code;
}

function correlation(root: Record<string, unknown>, body: ErrorBody): string | undefined {
  const beside = record(root['correlation']);
  if (typeof beside?.['operation'] === 'string') return beside['operation'];
  for (const item of Array.isArray(body.additionalInfo) ? body.additionalInfo : []) {
    if (record(item)?.['type'] !== 'Correlation') continue;
    const value = record(record(record(item)?.['info'])?.['value']);
    if (typeof value?.['operation'] === 'string') return value['operation'];
  }
  return undefined;
}

/**
 * The Failure of a reply that is an error: any of the three JSON envelopes, storage XML, OAuth, or plain text.
 * `code` is the most telling code: the innermost detail of a general "UserError".
 */
export function replyFailure(
  operation: string,
  status: number,
  headers: Readonly<Record<string, string>>,
  text: string,
): Failure {
  let root: Record<string, unknown> = {};
  let body: ErrorBody;
  try {
    root = record(JSON.parse(text)) ?? {};
    body = record(root['error']) ?? root;
  } catch {
    const xml = /<Code>([^<]*)<\/Code>[\s\S]*?<Message>([^<]*)<\/Message>/.exec(text);
    const title = pageTitle({ headers, text });
    body = xml
      ? { code: xml[1], message: xml[2]?.split('\n')[0] }
      : { message: title ?? (text.startsWith('<') ? '' : text.slice(0, 400)) };
  }
  const all = layers(body);
  const general = new Set(['', 'UserError', 'ServiceError', 'BadRequest', 'ValidationError']);
  const telling = all.find(({ code }) => !general.has(code));
  const code = telling?.code ?? headers['x-ms-error-code'] ?? (all[0]?.code || `Http${status}`);
  const messages = [...new Set(all.map(({ message }) => message.trim()).filter(Boolean))];
  const requestId = headers['x-ms-request-id'] ?? headers['x-ms-client-request-id'];
  const correlationId = headers['x-ms-correlation-request-id'] ?? correlation(root, body);
  const said = messages.join(' ') || `HTTP ${status}`;
  const inner = innermost(body);
  const advice = byCode[code] ?? (inner ? byCode[inner] : undefined) ?? byStatus(status, said);
  return answered(operation, said, { code, status, operation, ...(advice ? { advice } : {}), ...ids(requestId, correlationId) });
}

function ids(
  requestId: string | undefined,
  correlationId: string | undefined,
): Pick<FailureDetails, 'requestId' | 'correlationId'> {
  return { ...(requestId ? { requestId } : {}), ...(correlationId ? { correlationId } : {}) };
}

function answered(operation: string, said: string, details: FailureDetails): Failure {
  const status = `HTTP ${details.status}`;
  // A code that is made from the status, and a status that is all there is to say, are said once.
  const more = [details.code === `Http${details.status}` ? '' : details.code, said === status ? '' : status].filter(Boolean);
  return new Failure(`Could not ${operation}: ${said}${more.length > 0 ? ` (${more.join(', ')})` : ''}`, details);
}
