/** The agent's own way to the network: CA, client certificate, proxy (reference task-contract B.5, B.9; the task library's getHttpProxyConfiguration and getHttpCertConfiguration). */
import { Failure } from '../azure/errors.js';
import type { AgentNetwork } from '../azure/types.js';
import type { Platform } from './platform.js';

const known = new WeakMap<Platform, AgentNetwork>();

/**
 * Read once a run: what is odd in it is said once. Files are read when the first connection needs them.
 * Errors: `Failure` `ProxyInvalid` for a proxy without an http address.
 */
export function networkOf(platform: Platform): AgentNetwork {
  const before = known.get(platform);
  if (before) return before;
  const ca = platform.variable('Agent.CAInfo');
  const proxy = proxyOf(platform);
  const clientCertificate = clientCertificateOf(platform);
  const skip = platform.variable('Agent.SkipCertValidation')?.toLowerCase() === 'true';
  if (skip) {
    platform.warn(
      'This agent verifies no server certificates (Agent.SkipCertValidation): tokens go to whoever answers. Configure it with --sslcacert instead of --sslskipcertvalidation.',
    );
  }
  const network: AgentNetwork = {
    ...(ca ? { ca } : {}),
    ...(proxy ? { proxy } : {}),
    ...(clientCertificate ? { clientCertificate } : {}),
    ...(skip ? { skipCertValidation: true as const } : {}),
  };
  known.set(platform, network);
  return network;
}

function clientCertificateOf(platform: Platform): AgentNetwork['clientCertificate'] {
  const certificate = platform.variable('Agent.ClientCert');
  const key = platform.variable('Agent.ClientCertKey');
  const archive = platform.variable('Agent.ClientCertArchive');
  const password = platform.variable('Agent.ClientCertPassword');
  if (!certificate && !archive) return undefined;
  if (password) platform.secret(password);
  return {
    ...(certificate ? { certificate } : {}),
    ...(key ? { key } : {}),
    ...(archive ? { archive } : {}),
    ...(password ? { password } : {}),
  };
}

function proxyOf(platform: Platform): AgentNetwork['proxy'] {
  const url = platform.variable('Agent.ProxyUrl');
  if (!url) return undefined;
  const parsed = URL.canParse(url) ? new URL(url) : undefined;
  const username = platform.variable('Agent.ProxyUsername');
  const password = platform.variable('Agent.ProxyPassword');
  // What stands before the last @ is a user and a password, also in an address that is none.
  const within = /^(?:[a-z][a-z0-9+.-]*:)?(?:\/\/)?([^/]*)@/i.exec(url)?.[1] ?? '';
  const own = decoded(within);
  const user = username ?? own.split(':')[0] ?? '';
  const secret = password ?? afterColon(own);
  const basic = secret ? Buffer.from(`${user}:${secret}`).toString('base64') : '';
  for (const one of [password, afterColon(within), secret, basic]) if (one) platform.secret(one);
  if (!parsed?.hostname || !/^https?:$/.test(parsed.protocol)) {
    throw new Failure(`The agent's proxy ${url.replace(`${within}@`, '***@')} (Agent.ProxyUrl) is no http address.`, {
      code: 'ProxyInvalid',
      advice: 'Configure the agent with --proxyurl http://HOST:PORT.',
    });
  }
  return {
    url,
    ...(username ? { username } : {}),
    ...(password ? { password } : {}),
    bypass: bypassOf(platform),
  };
}

function afterColon(text: string): string {
  return text.includes(':') ? text.slice(text.indexOf(':') + 1) : '';
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** Regular expressions, as the agent makes them from its `.proxybypass`; matched as the agent does (scheme, host and port), in any case. */
function bypassOf(platform: Platform): RegExp[] {
  let patterns: unknown = [];
  try {
    patterns = JSON.parse(platform.variable('Agent.ProxyBypassList') ?? '[]');
  } catch {
    platform.warn('Agent.ProxyBypassList is not a JSON list; it is left out.');
  }
  return (Array.isArray(patterns) ? patterns : []).flatMap((pattern) => {
    try {
      return [new RegExp(String(pattern), 'i')];
    } catch {
      platform.warn(`Agent.ProxyBypassList holds ${String(pattern)}, which is no regular expression; it is left out.`);
      return [];
    }
  });
}
