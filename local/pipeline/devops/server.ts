/** A local Azure DevOps over https: what tasks, azure-devops-node-api 17 and `amlops environments` ask of the service (docs/pipelines.md). */
import { randomBytes } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { assertionSigner, type AssertionSigner } from '../../agent/services.js';
import type { Federation } from '../../connection-file.js';
import { authority } from '../../tls.js';
import { guid } from './files.js';
import { DevOpsError, type Answer, type Call, type Caller } from './call.js';
import { describeArea, match } from './locations.js';
import { organization, type Project } from './project.js';
import { handlers } from './routes.js';
import { ApprovalRefused, type RunState } from './run-state.js';
import type { Identity } from './types.js';

interface DevOpsServerOptions {
  project: Project;
  /** Folder of the certificate authority. */
  tlsFolder: string;
  /** Signs federated assertions that the workspace trusts. */
  federation?: Federation;
  port?: number;
}

export class LocalDevOps {
  readonly #tokens = new Map<string, Caller>();
  /** Runs of this process: their state is the live one. */
  readonly runs = new Map<number, RunState>();
  readonly sign: AssertionSigner;

  private constructor(
    readonly options: DevOpsServerOptions,
    private readonly server: Server,
    readonly ca: { pem: string; file: string },
  ) {
    this.sign = assertionSigner(options.federation, 600);
  }

  /** Starts on a free port of the loopback address (or the given one). */
  static async start(options: DevOpsServerOptions): Promise<LocalDevOps> {
    const ca = await authority(options.tlsFolder);
    const leaf = await ca.issue(['localhost', '127.0.0.1']);
    const server = createServer(leaf);
    const local = new LocalDevOps(options, server, { pem: ca.pem, file: ca.file });
    server.on('request', (request, response) => void local.#serve(request, response));
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(options.port ?? 0, '127.0.0.1', resolve);
    });
    return local;
  }

  get project(): Project {
    return this.options.project;
  }

  /** `https://localhost:PORT/local/` */
  get collectionUri(): string {
    return `https://localhost:${(this.server.address() as AddressInfo).port}/${organization}/`;
  }

  /** A token for a person (or for `amlops environments` in tests). */
  userToken(identity: Identity): string {
    return this.#token({ identity });
  }

  /** What `System.AccessToken` and `System.OidcRequestUri` are in a job. */
  jobAccess(run: RunState, jobId: string): { uri: string; oidcRequestUri: string; accessToken: string; ca: string } {
    const name = `${this.project.name} Build Service (${organization})`;
    const identity = { id: guid('identity', name), displayName: name, uniqueName: name };
    return {
      uri: this.collectionUri,
      oidcRequestUri: `${this.collectionUri}${this.project.id}/_apis/distributedtask/hubs/build/plans/${run.run.planId}/jobs/${jobId}/oidctoken`,
      accessToken: this.#token({ identity, job: { runId: run.id, jobId } }),
      ca: this.ca.file,
    };
  }

  /** The job is over: its token is worth nothing any more. */
  revoke(token: string): void {
    this.#tokens.delete(token);
  }

  async run(id: string): Promise<RunState | undefined> {
    return this.runs.get(Number(id)) ?? (/^\d+$/.test(id) ? await this.project.openRun(Number(id)) : undefined);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
      this.server.closeAllConnections();
    });
  }

  #token(caller: Caller): string {
    const token = randomBytes(32).toString('base64url');
    this.#tokens.set(token, caller);
    return token;
  }

  #caller(header: string | undefined): Caller | undefined {
    const [scheme = '', value = ''] = (header ?? '').split(' ');
    if (/^bearer$/i.test(scheme)) return this.#tokens.get(value);
    if (!/^basic$/i.test(scheme)) return undefined;
    const plain = Buffer.from(value, 'base64').toString('utf8');
    return this.#tokens.get(plain.slice(plain.indexOf(':') + 1));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      send(response, await this.#answer(request));
    } catch (error) {
      const known =
        error instanceof DevOpsError ? error : error instanceof ApprovalRefused ? new DevOpsError(400, error.message) : undefined;
      const message = error instanceof Error ? error.message : String(error);
      send(response, {
        status: known?.status ?? 500,
        body: {
          $id: '1',
          innerException: null,
          message,
          typeName: known?.typeKey ?? 'Exception',
          typeKey: known?.typeKey ?? 'Exception',
          errorCode: 0,
          eventId: 3000,
        },
      });
    }
  }

  async #answer(request: IncomingMessage): Promise<Answer> {
    const url = new URL(request.url ?? '/', this.collectionUri);
    const caller = this.#caller(request.headers.authorization);
    if (!caller) {
      if (request.headers['x-tfs-fedauthredirect'])
        throw new DevOpsError(
          401,
          'TF400813: The user is not authorized to access this resource.',
          'UnauthorizedRequestException',
        );
      return { status: 302, text: 'Object moved to the sign-in page.' };
    }
    const path = url.pathname.startsWith(`/${organization}/`) ? url.pathname.slice(organization.length + 1) : url.pathname;
    const method = request.method ?? 'GET';
    if (method === 'OPTIONS') {
      const value = describeArea(/^\/_apis\/(\w+)/.exec(path)?.[1]);
      return { body: { count: value.length, value } };
    }
    checkVersion(url.searchParams.get('api-version') ?? /api-version=([^;,\s]+)/i.exec(request.headers.accept ?? '')?.[1]);
    // One host for everything: the client then stays on the collection's own address.
    if (/^\/_apis\/resourceareas/i.test(path)) return { body: { count: 0, value: null } };
    const found = match(path);
    if (!found) throw new DevOpsError(501, `${method} ${path} is not part of the local Azure DevOps.`, 'NotImplemented');
    const project = found.params['project'] ?? found.params['scopeIdentifier'];
    if (project !== undefined && ![this.project.id, this.project.name.toLowerCase()].includes(project.toLowerCase()))
      throw new DevOpsError(
        404,
        `TF200016: The following project does not exist: ${project}. Verify that the name of the project is correct and that the project exists on the specified Azure DevOps Server.`,
        'ProjectDoesNotExistWithNameException',
      );
    const call: Call = {
      method,
      params: found.params,
      query: url.searchParams,
      accept: request.headers.accept ?? '',
      body: await readBody(request),
      caller,
      server: this,
      projectUrl: `${this.collectionUri}${this.project.id}`,
    };
    const handler = handlers[found.name];
    if (!handler) throw new DevOpsError(501, `${method} ${path} is not part of the local Azure DevOps.`, 'NotImplemented');
    return await handler(call);
  }
}

/** Versions are not told apart, but one that no server of this kind has is refused as the service does. */
function checkVersion(asked: string | undefined | null): void {
  if (!asked) return;
  const [, major, minor] = /^(\d+)(?:\.(\d+))?(?:-preview(?:\.\d+)?)?$/i.exec(asked) ?? [];
  if (major === undefined)
    throw new DevOpsError(400, `The api-version '${asked}' is not valid; write for example 7.1 or 7.2-preview.1.`);
  if (Number(major) * 100 + Number(minor ?? 0) > 702)
    throw new DevOpsError(
      400,
      `The requested REST API version of ${asked} is out of range for this server. The latest REST API version this server supports is 7.2.`,
      'VssVersionOutOfRangeException',
    );
}

const maxBody = 32 * 1024 * 1024;

async function readBody(request: IncomingMessage): Promise<unknown> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size > maxBody) throw new DevOpsError(413, 'The request is larger than 32 MiB.');
    parts.push(part);
  }
  const text = Buffer.concat(parts).toString('utf8');
  if (!text.trim()) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    throw new DevOpsError(400, 'The body of the request is not JSON.');
  }
}

function send(response: ServerResponse, { status = 200, body, text, file, zip, headers = {} }: Answer): void {
  for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
  if (status === 302) {
    response.writeHead(302, { location: '/_signin', 'content-type': 'text/html' }).end(text);
  } else if (file !== undefined) {
    response.writeHead(status, { 'content-type': 'application/octet-stream' });
    createReadStream(file)
      .on('error', () => response.destroy())
      .pipe(response);
  } else if (zip !== undefined) {
    response.writeHead(status, { 'content-type': 'application/zip' }).end(zip);
  } else if (text !== undefined) {
    response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8' }).end(text);
  } else {
    const payload = body === undefined ? '' : JSON.stringify(body);
    response
      .writeHead(body === undefined && status === 200 ? 204 : status, { 'content-type': 'application/json; charset=utf-8' })
      .end(payload);
  }
}
