/** Comparison of a recorded exchange with what the embedded workspace answers, as the recordings' README says it is to be done. */
import type { Reply } from './workspace.js';

export interface Exchange {
  operation: string;
  request: { method: string; host: string; path: string; query: Record<string, string>; body: unknown };
  response: { status: number; headers: Record<string, string>; body: unknown };
  note?: string;
  trimmed?: string;
}

const guid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi;

/** Text with everything taken out that is not to be compared: GUIDs, times, hosts, regions, names of the test's own. */
function plain(text: string): string {
  return text
    .replace(/\/subscriptions\/[^/]+\/(resource[gG]roups)\/[^/?]+/g, '/subscriptions/S/$1/R')
    .replace(/\/(workspaces|registries|storageAccounts|vaults|components|locations)\/[^/?]+/g, '/$1/N')
    .replace(/(https|azureml):\/\/[^/]*(azureml|localhost|azure\.com|windows\.net|aether)[^/]*/g, '$1://H')
    .replace(guid, 'G')
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+(Z|\+00:00)/g, 'T')
    .replace(/\d\d:\d\d:\d\d\.\d+/g, 'D')
    .replace(/\b[0-9a-f]{8,}\b/g, 'X');
}

/** Members whose values are the caller's or the machine's own. */
const own =
  /^(createdBy|createdByType|lastModifiedBy|lastModifiedByType|userName|location|computeLocation|primaryRegion|regions|registryName|resourceGroup|accountName|containerName|endpoint|key|sasUri|blobUri|vmSize|friendlyName|displayName|workspaceName|name|id|runId|rootRunId|parentRunId|Studio|fqdn|tier|mlFlowTrackingUri|message|description|value|jobName|modelUri|feedName|azureml\.(?:pipeline|pipelinerunid|reusedpipeline|reusedpipelinerunid)|assetId|hash|allocationState|fqdn|environment|Environment|Location|operation|request|uri|target|scriptName|command)$/;

const typeOf = (value: unknown): string => (value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value);

/** Differences, one line each. With `trimmed` only members of the recording count. */
export function differences(recorded: unknown, answered: unknown, trimmed: boolean, path = '', allow: RegExp[] = []): string[] {
  if (allow.some((pattern) => pattern.test(path))) return [];
  const [want, got] = [typeOf(recorded), typeOf(answered)];
  if (want !== got)
    return [
      `${path || '(body)'}: ${want} recorded, ${got} answered${got === 'undefined' ? '' : ` (${JSON.stringify(answered)?.slice(0, 80)})`}`,
    ];
  if (want === 'array') {
    const [a] = recorded as unknown[];
    const [b] = answered as unknown[];
    return a === undefined || b === undefined ? [] : differences(a, b, trimmed, `${path}[0]`, allow);
  }
  if (want === 'object') {
    const [a, b] = [recorded as Record<string, unknown>, answered as Record<string, unknown>];
    const byName = new Map(Object.keys(b).map((key) => [plain(key), key]));
    const found: string[] = [];
    const seen = new Set<string>();
    for (const [key, value] of Object.entries(a)) {
      const at = path ? `${path}.${key}` : key;
      const match = key in b ? key : byName.get(plain(key));
      if (match === undefined) {
        if (!allow.some((pattern) => pattern.test(at))) found.push(`${at}: missing`);
        continue;
      }
      seen.add(match);
      found.push(...differences(value, b[match], trimmed, at, allow));
    }
    if (!trimmed)
      for (const key of Object.keys(b))
        if (!seen.has(key) && !allow.some((pattern) => pattern.test(path ? `${path}.${key}` : key)))
          found.push(`${path ? `${path}.` : ''}${key}: not in the recording`);
    return found;
  }
  const last = path
    .replace(/^.*\.(?=azureml\.)/, '')
    .replace(/^(?!azureml\.).*\./, '')
    .replace(/\[0\]$/, '');
  if (want === 'number' || own.test(last)) return [];
  if (want === 'string' && plain(recorded as string) !== plain(answered as string) && recorded !== 'SANITIZED')
    return [`${path}: ${JSON.stringify(recorded)} recorded, ${JSON.stringify(answered)} answered`];
  if (want === 'boolean' && recorded !== answered) return [`${path}: ${String(recorded)} recorded, ${String(answered)} answered`];
  return [];
}

/** Differences of a whole reply: status, presence and shape of the headers, body. */
export function compareReply(exchange: Exchange, reply: Reply, allow: RegExp[] = []): string[] {
  const found: string[] = [];
  if (reply.status !== exchange.response.status)
    found.push(`status ${exchange.response.status} recorded, ${reply.status} answered: ${reply.text.slice(0, 300)}`);
  for (const [name, value] of Object.entries(exchange.response.headers)) {
    const got = reply.headers[name.toLowerCase()];
    if (/^(x-request-time|access-control|x-envoy|transfer-encoding)/i.test(name)) continue;
    if (name.toLowerCase() === 'content-length' && value !== '0' && value !== '4') continue;
    if (got === undefined) found.push(`header ${name}: missing`);
    else if (
      /^(x-ms-response-type|x-ms-failure-cause|content-type|content-length|x-ms-async-operation-timeout|x-ms-error-code|x-ms-meta-upload_status)$/i.test(
        name,
      ) &&
      String(got) !== value
    )
      found.push(`header ${name}: ${value} recorded, ${String(got)} answered`);
    else if (/^(location|azure-asyncoperation)$/i.test(name)) {
      // `…?api-version=X` and the operation's own part have the recorded shape; the rest of the path may be ours.
      const shape = (url: string) =>
        plain(url)
          .replace(/\?.*$/, '?')
          .replace(/(mfeOperation\w+|operations|computeOperationsStatus)\/.*$/, '$1/O')
          .replace(/\/versions\/[^/?]+/, '/versions/V');
      if (shape(value) !== shape(String(got)))
        found.push(`header ${name}: ${shape(value)} recorded, ${shape(String(got))} answered`);
    }
  }
  if (!('Location' in exchange.response.headers) && reply.headers['location'] !== undefined && reply.status !== 202)
    found.push('header Location: not in the recording');
  const recorded = exchange.response.body;
  if (recorded === null) {
    if (reply.text !== '') found.push(`body: none recorded, ${reply.text.slice(0, 80)} answered`);
  } else if (recorded === 'null') {
    if (reply.text !== 'null') found.push(`body: the text null recorded, ${reply.text.slice(0, 80)} answered`);
  } else found.push(...differences(recorded, reply.json, exchange.trimmed !== undefined, '', allow));
  return found;
}
