/**
 * Requests through the agent's proxy: CONNECT, then TLS with our own trust. Loaded only where an agent has a proxy. An agent of our own,
 * because https-proxy-agent opens a new tunnel for each request (its pool never finds a free socket again).
 */
import { request as plainRequest, type Agent as HttpAgent, type ClientRequest, type RequestOptions } from 'node:http';
import { Agent, request as secureRequest, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';
import type { AgentNetwork } from './types.js';

type Done = (error: Error | null, socket: Duplex) => void;

/** `settings` are those of the direct agent. */
export function proxyAgent(proxy: NonNullable<AgentNetwork['proxy']>, settings: AgentOptions): HttpAgent {
  return new TunnelAgent(proxy, settings);
}

class TunnelAgent extends Agent {
  readonly #proxy: URL;
  readonly #authorization: Record<string, string>;
  /** A proxy that speaks https itself is one more server that the agent's CA may vouch for. */
  readonly #tls: Pick<AgentOptions, 'secureContext' | 'rejectUnauthorized'>;
  readonly #attempt: number | undefined;

  constructor(proxy: NonNullable<AgentNetwork['proxy']>, settings: AgentOptions) {
    super(settings);
    this.#proxy = new URL(proxy.url);
    const { secureContext, rejectUnauthorized, autoSelectFamilyAttemptTimeout } = settings;
    this.#attempt = autoSelectFamilyAttemptTimeout;
    this.#tls = {
      ...(secureContext ? { secureContext } : {}),
      ...(rejectUnauthorized === undefined ? {} : { rejectUnauthorized }),
    };
    // As they are: in an address a percent sign of a password would be taken for an escape.
    const { username, password } = this.#proxy;
    const user = proxy.username ?? decoded(username);
    const text = `${user}:${proxy.password ?? decoded(password)}`;
    this.#authorization = user ? { 'Proxy-Authorization': `Basic ${Buffer.from(text).toString('base64')}` } : {};
  }

  override createConnection(options: RequestOptions, done?: (error: Error | null, socket: Duplex) => void): undefined {
    const finish = done as Done;
    const fail = (error: Error) => finish(error, undefined as unknown as Duplex);
    const target = `${options.host ?? ''}:${options.port ?? 443}`;
    const tunnel = this.#open(target);
    tunnel.once('connect', (response, socket) => {
      if (response.statusCode === 200) {
        finish(null, connect({ ...(options as object), socket, servername: options.host ?? '' }));
        return;
      }
      socket.destroy();
      const takes = String(response.headers['proxy-authenticate'] ?? '').match(/(?:^|, *)[A-Za-z]{3,20}(?= |,|$)/g);
      const ways =
        response.statusCode === 407 && takes ? ` (it takes ${takes.map((way) => way.replace(/^, */, '')).join(', ')})` : '';
      const said = `the proxy ${this.#proxy.host} refused the way to ${target}: HTTP ${response.statusCode}${ways}`;
      // 407 and 403 are its answer; anything else may be its trouble, and is tried again.
      const code = { 407: 'ProxyCredentials', 403: 'ProxyForbids' }[response.statusCode ?? 0] ?? 'ProxyUnable';
      fail(Object.assign(new Error(said), { code }));
    });
    tunnel.once('error', (error) =>
      fail(
        Object.assign(error, {
          message: `proxy ${this.#proxy.host}: ${error.message || 'none of its addresses can be connected'}`,
        }),
      ),
    );
    tunnel.end();
    return undefined;
  }

  #open(target: string): ClientRequest {
    const { protocol, hostname, port } = this.#proxy;
    const headers = { Host: target, ...this.#authorization };
    const secure = protocol === 'https:';
    const options = {
      ...(secure ? this.#tls : {}),
      host: hostname.replace(/^\[|\]$/g, ''),
      port: port || (secure ? 443 : 80),
      method: 'CONNECT',
      path: target,
      headers,
      agent: false,
      timeout: 30_000,
      ...(this.#attempt === undefined ? {} : { autoSelectFamilyAttemptTimeout: this.#attempt }),
    };
    const tunnel = secure ? secureRequest(options) : plainRequest(options);
    tunnel.once('timeout', () => tunnel.destroy(Object.assign(new Error('no answer within 30 s'), { code: 'ETIMEDOUT' })));
    return tunnel;
  }
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
