/** Azure as far as a task sees it that attaches to a job which has completed: sign-in, metadata endpoint, workspace, job. Everything that is asked is kept. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentEndpoint } from '../../local/agent/types.js';
import { serve, type Asked, type Reply, type TestServer } from './https-server.js';

const workspace = '/subscriptions/sub-1/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws';

export interface SmallAzure {
  server: TestServer;
  /** The metadata endpoint of a virtual machine. */
  imds: TestServer;
  /** What sign-in answers besides a token; asked first. */
  signIn: (form: URLSearchParams, asked: Asked) => Reply | undefined | Promise<Reply | undefined>;
  /** What the metadata endpoint answers besides a token. */
  identity: (asked: Asked) => Reply | undefined;
  /** What the resource manager answers before it does what it should. */
  manager: (asked: Asked) => Reply | undefined | Promise<Reply | undefined>;
  /** What is there without a token (a log); asked before the token is judged. */
  open: (asked: Asked) => Reply | undefined;
  tokens: string[];
  /** Requests that carried a token. */
  authorized: Asked[];
  connection(scheme: string, parameters?: Record<string, string>, data?: Record<string, string>): AgentEndpoint;
  /** Writes a preload that leads the link-local address of the metadata endpoint to this one (or to `port`); gives its NODE_OPTIONS. */
  preload(folder: string, port?: number): string;
  reset(): void;
  close(): Promise<void>;
}

/** `host`: the name under which connections know it. */
export async function smallAzure(options: { host?: string; clientCa?: string } = {}): Promise<SmallAzure> {
  let base = '';
  const token = (): Reply => {
    const value = `token-${azure.tokens.length}-${Math.random().toString(36).slice(2)}${Math.random().toString(36).slice(2)}`;
    azure.tokens.push(value);
    return { body: { access_token: value, token_type: 'Bearer', expires_in: 3600 } };
  };
  const answer = async (asked: Asked): Promise<Reply> => {
    const { path, method } = asked;
    if (path.endsWith('/oauth2/v2.0/token')) return (await azure.signIn(new URLSearchParams(asked.body), asked)) ?? token();
    if (path === '/discovery') return { body: { api: base } };
    const open = azure.open(asked);
    if (open) return open;
    if (!azure.tokens.includes(asked.headers.authorization?.replace('Bearer ', '') ?? ''))
      return { status: 401, body: { error: { code: 'InvalidAuthenticationToken', message: 'The access token is invalid.' } } };
    azure.authorized.push(asked);
    const first = await azure.manager(asked);
    if (first) return first;
    if (path === workspace)
      return { body: { id: workspace, properties: { discoveryUrl: `${base}/discovery`, workspaceId: 'guid' } } };
    const job = /\/jobs\/([^/]+)$/.exec(path)?.[1];
    if (job && method === 'GET')
      return {
        body: { id: path, name: job, properties: { status: 'Completed', jobType: 'Command', services: {}, outputs: {} } },
      };
    if (path.endsWith('/runs/get'))
      return { body: { run: { data: { metrics: [{ key: 'auc', value: 0.9, timestamp: 1, step: 0 }] } } } };
    if (path.includes('/history/')) return { body: { value: [] } };
    return { status: 501, body: { error: { code: 'NotImplemented', message: `${method} ${path}` } } };
  };
  const server = await serve(answer, options.clientCa ? { clientCa: options.clientCa } : {});
  const imds = await serve((asked) => azure.identity(asked) ?? token(), { plain: true });
  base = options.host ? `https://${options.host}:${server.port}` : server.origin;
  const azure: SmallAzure = {
    server,
    imds,
    signIn: () => undefined,
    identity: () => undefined,
    manager: () => undefined,
    open: () => undefined,
    tokens: [],
    authorized: [],
    connection: (scheme, parameters = {}, data = {}) => ({
      id: '11111111-2222-3333-4444-555555555555',
      name: 'arm-dev',
      url: `${base}/`,
      scheme,
      parameters: { tenantid: 'tenant-1', serviceprincipalid: 'client-1', ...parameters },
      data: {
        ...{ subscriptionId: 'sub-1', subscriptionName: 'arm-dev', environment: 'AzureStack' },
        ...{ environmentAuthorityUrl: `${base}/`, activeDirectoryAuthority: `${base}/` },
        activeDirectoryServiceEndpointResourceId: `${base}/`,
        ...data,
      },
    }),
    preload: (folder, port = imds.port) => {
      const file = join(folder, `imds-${port}.cjs`);
      writeFileSync(
        file,
        `const { Socket } = require('node:net');
const real = Socket.prototype.connect;
Socket.prototype.connect = function (...args) {
  const options = Array.isArray(args[0]) ? args[0][0] : args[0];
  if (options && options.host === '169.254.169.254') Object.assign(options, { host: '127.0.0.1', port: ${port} });
  return real.apply(this, args);
};
`,
      );
      return `--require ${JSON.stringify(file)}`;
    },
    reset: () => {
      azure.signIn = () => undefined;
      azure.identity = () => undefined;
      azure.manager = () => undefined;
      azure.open = () => undefined;
      for (const list of [azure.tokens, azure.authorized, server.asked, imds.asked]) list.length = 0;
    },
    close: async () => {
      await server.close();
      await imds.close();
    },
  };
  return azure;
}
