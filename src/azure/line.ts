/** Requests that got no answer: what passes by itself, what was never sent, and what a user does about it. */
import { Failure } from './errors.js';

const dropped = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'ECONNABORTED',
  'ETIMEDOUT',
  'EPIPE',
  'EAI_AGAIN',
  'ENETUNREACH',
  'ENETDOWN',
  'EHOSTUNREACH',
  'ERR_STREAM_PREMATURE_CLOSE',
  'REQUEST_SEND_ERROR',
  'PARSE_ERROR',
  'ProxyUnable',
]);

function codeOf(error: unknown): string {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === 'string' ? code : '';
}

function textOf(error: unknown): string {
  // Where a name has several addresses and none can be connected, Node's error has no text.
  return error instanceof Error ? error.message || 'none of its addresses can be connected' : String(error);
}

/** A line that broke: worth another try. Certificates and names that do not exist are not. */
export function dropsTheLine(error: unknown): boolean {
  if (error instanceof Failure) return false;
  return dropped.has(codeOf(error)) || (error instanceof Error && /aborted|socket hang up/i.test(error.message));
}

/** The resolver says that there is no such name. Some say so when they only cannot ask. */
export function nameUnknown(error: unknown): boolean {
  return codeOf(error) === 'ENOTFOUND';
}

/** The line was never open, so that nothing can have been done. */
export function neverSent(error: unknown): boolean {
  if (['EAI_AGAIN', 'ENOTFOUND', 'ECONNREFUSED', 'ENETUNREACH', 'EHOSTUNREACH'].includes(codeOf(error))) return true;
  return /^proxy |^the proxy |^connect |^none of its addresses |before secure TLS connection was established/.test(textOf(error));
}

/** A failure that passes by itself: the wait for a job goes on over it. */
export function passesByItself(error: unknown): boolean {
  if (!(error instanceof Failure)) return dropsTheLine(error);
  const { status, code } = error.details;
  if (status !== undefined) return status === 408 || status === 429 || (status >= 500 && status !== 501);
  return dropped.has(code) || code === 'ENOTFOUND' || code === 'NotFromAzure';
}

/** `no answer from HOST (CODE: text)`. */
export function noAnswer(error: unknown, url: string, tries = ''): string {
  return `no answer from ${new URL(url).host}${tries} (${codeOf(error) || 'NoAnswer'}: ${textOf(error)})`;
}

/** The Failure of a request that got no answer. `attempts`: tries before the last one. */
export function sendFailure(error: unknown, operation: string, url: string, attempts: number): Failure {
  if (error instanceof Failure) return error;
  const tries = attempts > 0 ? ` after ${attempts + 1} tries` : '';
  return new Failure(`Could not ${operation}: ${noAnswer(error, url, tries)}.`, {
    code: codeOf(error) || 'NoAnswer',
    operation,
    advice: adviceOn(codeOf(error), textOf(error)),
    cause: error,
  });
}

const clientCertificate =
  /ALERT_(CERTIFICATE_REQUIRED|BAD_CERTIFICATE|UNKNOWN_CA|CERTIFICATE_|HANDSHAKE_FAILURE)|_(BAD_CERTIFICATE|HANDSHAKE_FAILURE)/;

function adviceOn(code: string, text: string): string {
  if (clientCertificate.test(code)) {
    return 'The server refused this machine: it asks for a client certificate that the agent does not have, or does not take the one it has. Configure the agent with --sslclientcert, --sslclientcertkey and --sslclientcertarchive.';
  }
  if (code === 'CERT_HAS_EXPIRED' || code === 'CERT_NOT_YET_VALID') {
    return "Look at this machine's clock first. If it is right, whoever runs that server (or the proxy that inspects the traffic) has to renew its certificate.";
  }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID') {
    return 'The server that answers there is another than the one that was asked for: check the address in the service connection, and where its name leads on this agent (DNS, private endpoint, proxy).';
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_(VERIFY|GET)_|ERR_TLS|ERR_SSL/.test(code)) {
    return "The server's certificate is not trusted here. If a proxy of your company inspects the traffic, give the agent its CA: configure it with --sslcacert (it then stands in Agent.CAInfo), or set NODE_EXTRA_CA_CERTS to the PEM file for the agent's service. If the address is wrong, correct it.";
  }
  if (code === 'EPROTO') {
    return 'What answers there does not speak TLS as it should: check the port of the address, and whether a proxy stands in between.';
  }
  if (code === 'ProxyCredentials') {
    return 'The proxy asks for other credentials (Agent.ProxyUsername, Agent.ProxyPassword): configure the agent with --proxyusername and --proxypassword. Only Basic authentication can be used here.';
  }
  if (code === 'ProxyForbids') {
    return "The agent's proxy does not let this host through: ask its owner to allow it, or add the host to the agent's .proxybypass.";
  }
  if (code === 'ProxyUnable') {
    return "The agent's proxy could not reach that host: check the spelling of the address, and that the proxy knows the name and may go there. Where the host is reached without the proxy (a private endpoint), add it to the agent's .proxybypass.";
  }
  if (text.startsWith('proxy ')) {
    return "It is the agent's proxy that does not answer: check Agent.ProxyUrl (the agent was configured with --proxyurl), its name and port, and that it runs.";
  }
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return "The name does not resolve on this agent: check its spelling, the agent's DNS, and private DNS zones when the resource has a private endpoint.";
  }
  if (code === 'ECONNREFUSED') return 'Nothing listens there: check the address, and that the service (or `amlops up`) runs.';
  return 'Check that this agent may reach that host (firewall, proxy, DNS).';
}
