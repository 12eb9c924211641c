/** A workspace in this process, and the requests that a test of jobs needs: assets, submission, the wait, logs. */
import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { WorkspaceRecord } from '../../local/workspace/context.js';
import { startWorkspace, type Workspace, type WorkspaceOptions } from '../../local/workspace/start.js';
import { send, tokenOf, type Reply } from './workspace.js';

/* eslint-disable @typescript-eslint/no-explicit-any -- tests look into bodies freely */

export interface Child {
  runId: string;
  displayName: string;
  status: string;
  properties: Record<string, string>;
  error: any;
  [member: string]: any;
}

export class Jobs {
  readonly #folder: string;
  readonly #token: string;
  readonly workspace: Workspace;
  readonly ws: WorkspaceRecord;
  /** Environment made of the image `python`: quick to build. */
  environment = '';

  private constructor(workspace: Workspace, folder: string, token: string) {
    this.workspace = workspace;
    this.#folder = folder;
    this.#token = token;
    this.ws = workspace.ctx.world.workspaces()[0] as WorkspaceRecord;
  }

  /** Starts a workspace `dev` with an environment. */
  static async start(options: Partial<WorkspaceOptions> = {}): Promise<Jobs> {
    const folder = mkdtempSync(join(tmpdir(), 'amlops-jobs-'));
    const workspace = await startWorkspace({ state: join(folder, 'state'), workspaces: ['dev'], ...options });
    const jobs = new Jobs(workspace, folder, await tokenOf(workspace.connection));
    jobs.environment = await jobs.put('/environments/plain/versions/1', { image: 'python' });
    return jobs;
  }

  async stop(): Promise<void> {
    await this.workspace.close();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  get state(): string {
    return join(this.#folder, 'state');
  }

  /** A request below the workspace, `prefix` '' for ARM or `/history/v1.0`. */
  ask(method: string, path: string, body?: unknown, prefix = ''): Promise<Reply> {
    const query = prefix === '' ? `${path.includes('?') ? '&' : '?'}api-version=2024-01-01-preview` : '';
    return send(this.workspace.connection, method, `${this.workspace.url}${prefix}${this.ws.armId}${path}${query}`, {
      token: this.#token,
      ...(body === undefined ? {} : { body }),
    });
  }

  /** Writes a resource; gives its id. */
  async put(path: string, properties: Record<string, unknown>): Promise<string> {
    const reply = await this.ask('PUT', path, { properties });
    assert.ok(reply.status < 300, `${path}: ${reply.text}`);
    return String(reply.json.id);
  }

  /** Uploads files as a code snapshot; gives its id. */
  async code(files: Record<string, string>): Promise<string> {
    const { storage } = this.workspace.ctx;
    const container = await storage.freshContainer(this.ws);
    for (const [name, text] of Object.entries(files))
      await storage.write({ account: this.ws.account, container, path: `src/${name}` }, text);
    return this.put(`/codes/${randomUUID()}/versions/1`, { codeUri: `${storage.containerUrl(this.ws.account, container)}/src` });
  }

  /** A component; `environment` is the plain one unless the spec names another. */
  async component(spec: Record<string, unknown>): Promise<string> {
    const componentSpec = {
      type: 'command',
      name: 'azureml_anonymous',
      version: '1',
      environment: `azureml:${this.environment}`,
      ...spec,
    };
    return this.put(`/components/azureml_anonymous/versions/${randomUUID()}`, { componentSpec, isAnonymous: true });
  }

  /** A node that runs a command. */
  async node(
    name: string,
    command: string,
    more: { spec?: Record<string, unknown>; node?: Record<string, unknown> } = {},
  ): Promise<any> {
    return {
      name,
      type: 'command',
      componentId: await this.component({ command, ...more.spec }),
      _source: 'YAML.JOB',
      ...more.node,
    };
  }

  submit(name: string, properties: Record<string, unknown>): Promise<Reply> {
    return this.ask('PUT', `/jobs/${name}`, { properties });
  }

  pipeline(name: string, nodes: any[], more: Record<string, unknown> = {}): Promise<Reply> {
    return this.submit(name, {
      jobType: 'Pipeline',
      experimentName: 'tests',
      settings: { default_compute: `${this.ws.armId}/computes/cpu-cluster`, _source: 'YAML.JOB' },
      jobs: Object.fromEntries(nodes.map((node) => [node.name as string, node])),
      inputs: {},
      outputs: {},
      ...more,
    });
  }

  command(name: string, command: string, more: Record<string, unknown> = {}): Promise<Reply> {
    return this.submit(name, {
      jobType: 'Command',
      experimentName: 'tests',
      command,
      environmentId: this.environment,
      computeId: `${this.ws.armId}/computes/cpu-cluster`,
      ...more,
    });
  }

  async status(name: string): Promise<string> {
    return String((await this.ask('GET', `/jobs/${name}`)).json.properties.status);
  }

  /** Waits for a status (default: any end). Gives the run of run history. */
  async until(name: string, wanted = ['Completed', 'Failed', 'Canceled']): Promise<any> {
    for (;;) {
      const reply = await this.ask('GET', `/runs/${name}/details`, undefined, '/history/v1.0');
      assert.equal(reply.status, 200, reply.text);
      if (wanted.includes(String(reply.json.status))) return reply.json;
      await sleep(50);
    }
  }

  async children(name: string): Promise<Record<string, Child>> {
    const reply = await this.ask('GET', `/runs/${name}/children`, undefined, '/history/v1.0');
    return Object.fromEntries((reply.json.value as Child[]).map((child) => [child.displayName, child]));
  }

  /** Text of a log file, read through its URL without a token. */
  async log(runId: string, file = 'user_logs/std_log.txt'): Promise<string> {
    const details = await this.until(runId, ['Completed', 'Failed', 'Canceled', 'Running', 'Finalizing']);
    const url = details.logFiles[file] as string | undefined;
    assert.ok(url, `no ${file} in ${Object.keys(details.logFiles as object).join(', ')}`);
    return (await send(this.workspace.connection, 'GET', url)).text;
  }

  /** Content of a file of an output. */
  async output(runId: string, output: string, file: string): Promise<string | undefined> {
    const { storage, hooks } = this.workspace.ctx;
    const uri = await hooks.jobOutput?.(this.ws, runId, output);
    const place = uri === undefined ? undefined : storage.resolve(this.ws, uri);
    if (!place) return undefined;
    return (await storage.read({ ...place, path: `${place.path.replace(/\/?$/, '/')}${file}` }))?.toString('utf8');
  }
}
