/** Requests through the agent's proxy: CONNECT, then TLS with our own trust. Loaded only where an agent has a proxy. */
import type { Agent } from 'node:http';
import type { AgentOptions } from 'node:https';
import { HttpsProxyAgent } from 'https-proxy-agent';

/** `settings` are those of the direct agent; the proxy package drops them for the inner TLS connection, so they are put back. */
export function proxyAgent(proxy: URL, settings: AgentOptions): Agent {
  const agent = new HttpsProxyAgent(proxy, settings);
  Object.assign(agent.options, settings);
  return agent;
}
