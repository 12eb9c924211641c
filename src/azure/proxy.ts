/**
 * Requests through the agent's proxy: CONNECT, then TLS with our own trust. Loaded only where an agent has a proxy. An agent of our own,
 * because https-proxy-agent opens a new tunnel for each request (its pool never finds a free socket again).
 */
import { request as plainRequest, type Agent as HttpAgent, type ClientRequest, type RequestOptions } from 'node:http';
import { Agent, request as secureRequest, type AgentOptions } from 'node:https';
import type { Duplex } from 'node:stream';
import { connect } from 'node:tls';

type Done = (error: Error | null, socket: Duplex) => void;

/** `proxy` may carry credentials. `settings` are those of the direct agent. */
export function proxyAgent(proxy: URL, settings: AgentOptions): HttpAgent {
  return new TunnelAgent(proxy, settings);
}

class TunnelAgent extends Agent {
  readonly #proxy: URL;

  constructor(proxy: URL, settings: AgentOptions) {
    super(settings);
    this.#proxy = proxy;
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
      const advice =
        response.statusCode === 407 ? ' (it asks for other credentials: Agent.ProxyUsername, Agent.ProxyPassword)' : '';
      fail(new Error(`the proxy ${this.#proxy.host} refused the way to ${target}: HTTP ${response.statusCode}${advice}`));
    });
    tunnel.once('error', (error) => fail(Object.assign(error, { message: `proxy ${this.#proxy.host}: ${error.message}` })));
    tunnel.end();
    return undefined;
  }

  #open(target: string): ClientRequest {
    const { protocol, hostname, port, username, password } = this.#proxy;
    const credentials = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    const headers = {
      Host: target,
      ...(username ? { 'Proxy-Authorization': `Basic ${Buffer.from(credentials).toString('base64')}` } : {}),
    };
    const secure = protocol === 'https:';
    const options = {
      host: hostname,
      port: port || (secure ? 443 : 80),
      method: 'CONNECT',
      path: target,
      headers,
      agent: false,
      timeout: 30_000,
    };
    const tunnel = secure ? secureRequest(options) : plainRequest(options);
    tunnel.once('timeout', () => tunnel.destroy(Object.assign(new Error('no answer within 30 s'), { code: 'ETIMEDOUT' })));
    return tunnel;
  }
}
