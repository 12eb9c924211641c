/** An embedded workspace for a test file: a process of its own (`amlops up`), or one inside the test's process. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { request as httpsRequest } from 'node:https';
import type { IncomingHttpHeaders } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Connection } from '../../local/workspace/connection.js';

const root = join(import.meta.dirname, '..', '..');

export interface Running {
  connection: Connection;
  /** File of the connection. */
  file: string;
  state: string;
  process: ChildProcess;
  /** What it wrote to standard error so far. */
  log(): string;
  /** Ends it in order (SIGTERM) and removes the state folder unless `keep`. */
  stop(keep?: boolean): Promise<void>;
  /** `kill -9`; the state folder stays. */
  kill(): Promise<void>;
}

export interface UpOptions {
  /** Arguments of `amlops up` besides --state. */
  args?: string[];
  /** State folder to go on with; default a fresh one. */
  state?: string;
}

/** Builds dist/cli once when it is missing (npm test has built it). */
async function command(): Promise<string[]> {
  const built = join(root, 'dist', 'cli', 'amlops.js');
  if (!existsSync(built)) await promisify(execFile)(process.execPath, [join(root, 'scripts', 'build.mjs')], { cwd: root });
  return [built];
}

/** Starts `amlops up` and resolves when it is ready; rejects with its log when it ends before that. */
export async function startUp(options: UpOptions = {}): Promise<Running> {
  const state = options.state ?? mkdtempSync(join(tmpdir(), 'amlops-ws-'));
  const child = spawn(process.execPath, [...(await command()), 'up', '--state', state, ...(options.args ?? [])], {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let err = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (err += text));
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  await new Promise<void>((resolve, reject) => {
    let out = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      out += text;
      if (/^ready https:\/\/localhost:\d+$/m.test(out)) resolve();
    });
    child.once('exit', (code) => reject(new Error(`amlops up ended with ${code}: ${err}`)));
  });
  const file = join(state, 'connection.json');
  return {
    connection: JSON.parse(readFileSync(file, 'utf8')) as Connection,
    file,
    state,
    process: child,
    log: () => err,
    stop: async (keep = false) => {
      child.kill('SIGTERM');
      await exited;
      if (!keep) rmSync(state, { recursive: true, force: true });
    },
    kill: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

export interface Reply {
  status: number;
  headers: IncomingHttpHeaders;
  text: string;
  /** Parsed JSON, `undefined` when the body is none. */
  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- tests look into bodies freely
  json: any;
}

/** One request to the workspace or its blob service; `*.localhost` goes to the loopback address. */
export async function send(
  connection: Pick<Connection, 'ca'>,
  method: string,
  url: string,
  options: { token?: string; headers?: Record<string, string>; body?: unknown } = {},
): Promise<Reply> {
  const target = new URL(url);
  const { body } = options;
  const bytes =
    body === undefined
      ? undefined
      : Buffer.isBuffer(body) || typeof body === 'string'
        ? Buffer.from(body)
        : Buffer.from(JSON.stringify(body));
  return await new Promise((resolve, reject) => {
    const request = httpsRequest(
      {
        host: '127.0.0.1',
        port: target.port,
        servername: target.hostname,
        path: `${target.pathname}${target.search}`,
        method,
        ca: readFileSync(connection.ca),
        headers: {
          host: target.host,
          ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
          ...(bytes === undefined ? {} : { 'content-length': String(bytes.length) }),
          ...(bytes !== undefined && !Buffer.isBuffer(body) && typeof body !== 'string'
            ? { 'content-type': 'application/json' }
            : {}),
          ...options.headers,
        },
      },
      (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(parts).toString('utf8');
          let json: unknown;
          try {
            json = text === '' ? undefined : JSON.parse(text);
          } catch (_error) {
            json = undefined;
          }
          resolve({ status: response.statusCode ?? 0, headers: response.headers, text, json });
        });
      },
    );
    request.on('error', reject);
    request.end(bytes);
  });
}

/** An access token of a service connection (default: the first workspace's). */
export async function tokenOf(
  connection: Connection,
  name?: string,
  scope = `${connection.resourceManager}/.default`,
): Promise<string> {
  const found = name === undefined ? connection : connection.serviceConnections.find((entry) => entry.name === name);
  if (!found) throw new Error(`No service connection ${name}.`);
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: found.clientId,
    client_secret: found.clientSecret,
    scope,
  });
  const reply = await send(connection, 'POST', `${connection.authority}/${connection.tenantId}/oauth2/v2.0/token`, {
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: form.toString(),
  });
  if (reply.status !== 200) throw new Error(`Sign-in failed: ${reply.text}`);
  return String(reply.json.access_token);
}

/** ARM id of a workspace of the connection (default: the first). */
export function armId(connection: Connection, name?: string): string {
  const ws = connection.workspaces.find((entry) => name === undefined || entry.name === name);
  if (!ws) throw new Error(`No workspace ${name}.`);
  return `/subscriptions/${ws.subscriptionId}/resourceGroups/${ws.resourceGroup}/providers/Microsoft.MachineLearningServices/workspaces/${ws.name}`;
}
