/**
 * The agent as a `Platform`: the only importer of azure-pipelines-task-lib, and the one place that writes `##vso[` lines.
 * The library's own debug lines are kept off the log: they would print endpoint keys and inputs (task.js getEndpointAuthorizationParameter).
 */
import { resolve } from 'node:path';
import { Writable } from 'node:stream';
import type * as TaskLibrary from 'azure-pipelines-task-lib/task.js';
import { TaskCommand } from 'azure-pipelines-task-lib/taskcommand.js';
import { systemClock } from '../azure/azure.js';
import { sanitize, sanitizeInline } from './sanitize.js';
import type { Issue, Platform, ServiceEndpoint, TaskResult } from './platform.js';
import { repositoryPath } from './repository-path.js';

/** A platform that can also be finished; only the host does that. */
export interface AgentPlatform extends Platform {
  /** The one `task.complete` of a run. */
  complete(result: TaskResult, message: string): void;
  /** Resolves when everything written has left this process. */
  flush(): Promise<void>;
}

/** The library is loaded here and not above: while it loads, it says the passwords of proxy and client certificate in debug lines. */
export async function agentPlatform(cancelled: AbortSignal): Promise<AgentPlatform> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const voice = await import('azure-pipelines-task-lib/internal.js');
  voice._setStdStream(silent);
  const agent = await import('azure-pipelines-task-lib/task.js');
  // Its handlers would write a second task.complete and let the process run on; the host has its own.
  process.removeAllListeners('uncaughtException');
  process.removeAllListeners('unhandledRejection');
  return new Agent(agent, cancelled);
}

const secretShape = /[\r\n]+/;

class Agent implements AgentPlatform {
  readonly clock = systemClock;
  readonly #known = new Set<string>();
  #raised = false;
  readonly #agent: typeof TaskLibrary;
  readonly #verbose: boolean;

  constructor(
    agent: typeof TaskLibrary,
    readonly cancelled: AbortSignal,
  ) {
    this.#agent = agent;
    this.#verbose = agent.getVariable('System.Debug')?.toLowerCase() === 'true';
  }

  get temp(): string {
    return this.#agent.getVariable('Agent.TempDirectory') ?? process.cwd();
  }

  input(name: string): string | undefined {
    return this.#agent.getInput(name)?.trim() || undefined;
  }

  pathInput(name: string): string | undefined {
    const value = this.input(name);
    if (value === undefined) return undefined;
    // The agent turns an empty path into the repository's root (reference task-contract B.5).
    const roots = ['Build.SourcesDirectory', 'System.DefaultWorkingDirectory'].map((root) => this.#agent.getVariable(root));
    return roots.some((root) => root !== undefined && resolve(root) === resolve(value)) ? undefined : value;
  }

  variable(name: string): string | undefined {
    return this.#agent.getVariable(name) || undefined;
  }

  /** Reference task-contract B.5: keys are upper-case in the environment; the library keeps the authorization in its vault. */
  endpoint(id: string): ServiceEndpoint | undefined {
    const url = this.#agent.getEndpointUrl(id, true);
    const scheme = this.#agent.getEndpointAuthorizationScheme(id, true);
    if (!url || !scheme) return undefined;
    const parameters: Record<string, string> = {};
    for (const [key, value] of Object.entries(this.#agent.getEndpointAuthorization(id, true)?.parameters ?? {}))
      parameters[key.toLowerCase()] = value;
    for (const key of authorizationKeys) {
      const value = this.#agent.getEndpointAuthorizationParameter(id, key, true);
      if (value) parameters[key] = value;
    }
    const data: Record<string, string> = {};
    const prefix = `ENDPOINT_DATA_${id}_`.toUpperCase();
    for (const [key, value] of Object.entries(process.env)) {
      if (value && key.toUpperCase().startsWith(prefix)) data[key.slice(prefix.length).toLowerCase()] = value;
    }
    return { id, url, scheme, parameters, data };
  }

  /** The agent refuses secrets of several lines: each line is masked by itself. Very short ones would ruin the log. */
  secret(value: string): void {
    for (const part of value.split(secretShape)) {
      if (part.length < 6 || this.#known.has(part) || part.startsWith('-----')) continue;
      this.#known.add(part);
      this.#command('task.setsecret', {}, part);
    }
  }

  info(line: string): void {
    for (const safe of sanitize(line)) this.#write(safe);
  }

  debug(line: string): void {
    if (this.#verbose) for (const safe of sanitize(line)) this.#command('task.debug', {}, safe);
  }

  warn(message: string): void {
    this.#command('task.logissue', { type: 'warning' }, sanitize(message).join('\n'));
  }

  foreign(line: string): void {
    for (const safe of sanitize(line)) this.#write(safe);
  }

  /** Pipes are written without waiting: an agent that reads slowly would leave all of a log in memory, and a cancel behind it. */
  async taken(): Promise<void> {
    const { cancelled } = this;
    if (!process.stdout.writableNeedDrain || cancelled.aborted) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        process.stdout.off('drain', done);
        cancelled.removeEventListener('abort', done);
        resolve();
      };
      process.stdout.once('drain', done);
      cancelled.addEventListener('abort', done, { once: true });
    });
  }

  async group<T>(title: string, body: () => Promise<T>): Promise<T> {
    this.beginGroup(title);
    try {
      return await body();
    } finally {
      this.endGroup();
    }
  }

  beginGroup(title: string): void {
    this.#write(`##[group]${sanitizeInline(title)}`);
  }

  endGroup(): void {
    this.#write('##[endgroup]');
  }

  issue(issue: Issue): void {
    if (issue.type === 'error') this.#raised = true;
    const properties: Record<string, string> = { type: issue.type };
    if (issue.sourcePath) properties['sourcepath'] = this.#belowRoot(issue.sourcePath);
    if (issue.line) properties['linenumber'] = String(issue.line);
    if (issue.column) properties['columnnumber'] = String(issue.column);
    if (issue.code) properties['code'] = issue.code;
    this.#command('task.logissue', properties, sanitize(issue.message).join('\n'));
  }

  /** The agent links paths below the repository's root; others stay as they are. */
  #belowRoot(path: string): string {
    const root = this.#agent.getVariable('Build.SourcesDirectory') ?? this.#agent.getVariable('System.DefaultWorkingDirectory');
    return repositoryPath(root, path);
  }

  progress(percent: number, text: string): void {
    const value = Math.max(0, Math.min(100, Math.round(percent)));
    this.#command('task.setprogress', { value: String(value) }, sanitizeInline(text));
  }

  output(name: string, value: string, options: { secret?: boolean } = {}): void {
    if (options.secret) this.secret(value);
    this.#command('task.setvariable', { variable: name, isOutput: 'true', issecret: options.secret ? 'true' : 'false' }, value);
  }

  attach(type: string, name: string, path: string): void {
    this.#command('task.addattachment', { type, name: name.replace(/[\\/:*?"<>|\u0000-\u001f]/g, '_') }, path);
  }

  summary(path: string): void {
    this.#command('task.uploadsummary', {}, path);
  }

  buildTag(tag: string): void {
    this.#command('build.addbuildtag', {}, sanitizeInline(tag));
  }

  publishJUnit(path: string, title: string): void {
    const properties = {
      type: 'JUnit',
      mergeResults: 'false',
      runTitle: sanitizeInline(title),
      publishRunAttachments: 'false',
      resultFiles: path,
    };
    this.#command('results.publish', properties, '');
  }

  complete(result: TaskResult, message: string): void {
    // A failed step shows an error; the story has usually raised the telling one itself.
    if (result === 'Failed' && message && !this.#raised) this.issue({ type: 'error', message });
    this.#command('task.complete', { result }, sanitize(message).join('\n'));
  }

  async flush(): Promise<void> {
    await Promise.all([process.stdout, process.stderr].map((stream) => new Promise((resolve) => stream.write('', resolve))));
  }

  /** The library escapes data (`%AZP25`, CR, LF) and properties (also `]` and `;`). */
  #command(name: string, properties: Record<string, string>, data: string): void {
    this.#write(new TaskCommand(name, properties, data).toString());
  }

  #write(line: string): void {
    process.stdout.write(`${line}\n`);
  }
}

/** Parameters of the schemes that Azure Resource Manager connections have (reference task-contract C.1). */
const authorizationKeys = [
  'tenantid',
  'serviceprincipalid',
  'authenticationtype',
  'serviceprincipalkey',
  'serviceprincipalcertificate',
  'accesstoken',
];
