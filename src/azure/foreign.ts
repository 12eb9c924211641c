/**
 * Replies that are not Azure's: the block page of a company's proxy, the sign-in page of a network, a redirect to either. They come with any
 * status, 200 included, and must not be taken for an answer.
 */
import { Failure } from './errors.js';

export interface Told {
  status: number;
  headers: Readonly<Record<string, string>>;
  text: string;
}

/** A web page's title, at most 100 characters, `''` for one without; undefined when the reply is no web page. */
export function pageTitle({ headers, text }: Pick<Told, 'headers' | 'text'>): string | undefined {
  if (!/\bhtml\b/i.test(headers['content-type'] ?? '') && !/^[\s\uFEFF]*<(!doctype\s+html|html|head)\b/i.test(text))
    return undefined;
  const title = /<title[^>]*>([^<]{0,300})/i.exec(text.slice(0, 65_536))?.[1] ?? '';
  return title
    .replace(/[\p{Cc}\p{Cf}\s]+/gu, ' ')
    .trim()
    .slice(0, 100);
}

/** What every service of Azure puts on its replies. */
function isSigned(headers: Told['headers']): boolean {
  return Object.keys(headers).some((name) => name.startsWith('x-ms-'));
}

/**
 * The Failure of a reply that somebody between the agent and Azure has given; undefined for any other. `json`: nothing but JSON is an answer,
 * so that a page with status 200 is none. Faults of gateways (5xx) are left to be what they say.
 */
export function foreignReply(operation: string, url: string, reply: Told, json: boolean): Failure | undefined {
  const { status, headers } = reply;
  const { host } = new URL(url);
  if (status >= 300 && status < 400 && status !== 304) {
    const to = headers['location'] ?? '';
    const other = URL.canParse(to, url) ? ` to ${new URL(to, url).host}` : '';
    return notAzure(operation, host, `it redirects${other} (HTTP ${status}), which is not followed: no token goes there`);
  }
  if (status >= 500) return undefined;
  const title = pageTitle(reply);
  if (title === undefined) return undefined;
  if (isSigned(headers) && !(json && status < 300)) return undefined;
  return notAzure(operation, host, `a web page came${title ? ` ("${title}")` : ''} in place of the answer (HTTP ${status})`);
}

function notAzure(operation: string, host: string, what: string): Failure {
  return new Failure(`Could not ${operation} at ${host}: ${what}.`, {
    code: 'NotFromAzure',
    operation,
    advice: `Something between this agent and Azure answers for ${host}: a proxy, a firewall or the sign-in page of a network. Have its owner let the agent through to that host, and check the agent's proxy (Agent.ProxyUrl). If the address is wrong, correct the service connection.`,
  });
}

/** A reply that says it is JSON and cannot be read as such: cut short, or written by somebody else. */
export function brokenJson(operation: string, url: string, status: number): Failure {
  return notAzure(operation, new URL(url).host, `what came says that it is JSON, but is not (HTTP ${status})`);
}
