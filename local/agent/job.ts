/** What the steps of one agent job share: folders, variables, secrets, connections, and what is collected when the job ends. */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { Failure } from '../../src/azure/errors.js';
import { unescapeCommand } from './command.js';
import { agentVariables, collectionVariables, networkVariables, serverVariables } from './job-variables.js';
import { SecretMasker, parameterIsMasked, parameterIsSecret } from './masker.js';
import { killByLookupId } from './process.js';
import { leakIn } from './raw-output.js';
import { startServices, type AgentServices } from './services.js';
import type { StepState } from './step-state.js';
import type { AgentEndpoint, AgentWaits, JobOptions } from './types.js';
import { JobVariables } from './variables.js';
import { injectClock, type InjectedClock } from './clock.js';

export interface JobFolders {
  /** The agent's own folder: above `_work`. */
  root: string;
  work: string;
  tasks: string;
  tools: string;
  temp: string;
  build: string;
  sources: string;
  staging: string;
  binaries: string;
  testResults: string;
  /** The harness's own: raw output while a step runs, copies of what is kept. */
  diagnostics: string;
}

/** A file that is read when the job ends, not when the command comes: the upload is queued (B.6.2). */
interface QueuedFile {
  kind: 'attachments' | 'summaries' | 'uploads';
  state: StepState;
  type: string;
  name: string;
  path: string;
}

/** What is known of a step when it starts. */
export interface StepStart {
  name: string;
  displayName: string;
  warnings: string[];
}

const defaultWaits: AgentWaits = { sigint: 7500, sigterm: 2500, pipes: 5000, done: 5000, retryUnit: 1000 };

export class AgentJob {
  readonly masker = new SecretMasker();
  readonly prependedPaths: string[] = [];
  /** Counts the steps: names of their folders. */
  steps = 0;
  readonly #names = new Set<string>();
  readonly #queue: QueuedFile[] = [];
  /** Artifacts and test results. */
  readonly #published: { state: StepState; what: string; path: string }[] = [];

  constructor(
    readonly options: JobOptions,
    readonly folders: JobFolders,
    readonly variables: JobVariables,
    readonly endpoints: AgentEndpoint[],
    readonly waits: AgentWaits,
    /** PEM bundle for NODE_EXTRA_CA_CERTS. */
    readonly caFile: string | undefined,
    private readonly clock: InjectedClock | undefined,
    private readonly services: AgentServices | undefined,
  ) {
    variables.watchSecrets((value) => this.masker.add(value));
    for (const { ticket } of options.secureFiles ?? []) this.masker.add(ticket);
    for (const { parameters } of endpoints) {
      for (const [key, value] of Object.entries(parameters)) {
        if (parameterIsMasked(key)) this.masker.add(value, { sensitive: parameterIsSecret(key) });
      }
    }
  }

  /** What a step's process needs for the job's clock. */
  get nodeOptions(): string | undefined {
    return this.clock?.nodeOptions;
  }

  /** Milliseconds since 1970, of the job's clock. */
  now(): number {
    return this.clock?.now() ?? Date.now();
  }

  /** The agent's DECODE_PERCENTS, a variable of the job: anything but true leaves `%AZP25` as it is (B.6.1 rule 4). */
  get decodesPercents(): boolean {
    const said = this.variables.byEnvironmentName('DECODE_PERCENTS')?.value.trim().toLowerCase();
    return said === undefined || said === '' || said === 'true' || said === '1';
  }

  /** Masks what a command called a secret; also as it would be with its percent signs read back, when commands are not read so. */
  hide(value: string): void {
    this.masker.add(value);
    if (!this.decodesPercents) this.masker.add(unescapeCommand(value));
  }

  /** The name of a step: its own, or as the service names one without: after its task, counted from the second on (`Probe`, `Probe1`). */
  stepName(own: string | undefined, task: string): string {
    let name = own ?? task;
    if (own === undefined) for (let index = 1; this.#names.has(name.toLowerCase()); index += 1) name = `${task}${index}`;
    this.#names.add(name.toLowerCase());
    return name;
  }

  /**
   * The start of a step: values of variables are put into each other anew, then the step's own variables are set, which end with it. Gives
   * the step's name and the agent's warnings.
   */
  beginStep(own: string | undefined, task: string, displayName: string): StepStart {
    this.steps += 1;
    const name = this.stepName(own, task);
    const scope: Record<string, string> = {
      'Task.DisplayName': displayName,
      'Task.PublishTelemetry': 'True',
      // A GUID that is the same in every run of the same job: names derived from it survive a retry.
      'System.TaskInstanceId': `00000000-0000-4000-8000-${String(this.steps).padStart(12, '0')}`,
      'System.TaskDisplayName': displayName,
      'System.TaskInstanceName': name,
    };
    for (const variable of Object.keys(scope)) this.variables.unset(variable);
    const warnings = this.variables.expandAll();
    for (const [variable, value] of Object.entries(scope)) this.variables.set(variable, { value });
    return { name, displayName, warnings };
  }

  atEnd(file: QueuedFile): void {
    this.#queue.push(file);
  }

  /** Copies an artifact at once: the agent uploads it before it goes on to the next step. */
  keepArtifact(state: StepState, name: string, path: string): void {
    const info = statSync(path);
    const folder = info.isDirectory();
    // A pipe would be read for ever.
    if (!folder && !info.isFile()) throw new Error(`Cannot upload artifact ${path}: it is neither a file nor a folder.`);
    if (folder && readdirSync(path, { recursive: true, withFileTypes: true }).every((entry) => entry.isDirectory())) {
      state.warn(`Directory '${path}' is empty. Nothing will be added to build artifact '${name}'.`);
      return;
    }
    const target = join(state.keepFolder, 'artifacts', name);
    mkdirSync(target, { recursive: true });
    if (folder) cpSync(path, target, { recursive: true });
    else {
      copyFileSync(path, join(target, basename(path)));
    }
    if (!state.result.artifacts.some((known) => known.name === name && known.type === 'container')) {
      state.result.artifacts.push({ name, type: 'container', path: target });
      this.#published.push({ state, what: `artifact ${name}`, path: target });
    }
  }

  keepTestResults(state: StepState, type: string, title: string, files: string[]): void {
    const folder = join(state.keepFolder, 'testResults', String(state.result.testResults.length + 1));
    mkdirSync(folder, { recursive: true });
    const copies = files.map((file) => join(folder, basename(file)));
    for (const [index, file] of files.entries()) copyFileSync(file, copies[index] ?? '');
    state.result.testResults.push({ type, title, files: copies });
    for (const path of copies) this.#published.push({ state, what: `test results ${basename(path)}`, path });
  }

  /** A file, or all in a folder, that left the machine: a secret in it fails the step. Secrets that are known by the end of the job count. */
  #scan(state: StepState, what: string, path: string): void {
    const leaked = leakIn(path, this.masker);
    if (leaked === undefined) return;
    state.problem(`The ${what} holds a secret; nothing masks a file: ${leaked}`);
    state.result.result = 'Failed';
  }

  /** The end of the job: queued files are read now, processes that were left behind are ended, `_temp` is wiped. */
  async finish(): Promise<void> {
    try {
      this.#end();
    } finally {
      await this.services?.close();
    }
  }

  #end(): void {
    const lookupId = this.variables.get('VSTS_PROCESS_LOOKUP_ID')?.value;
    if (lookupId) killByLookupId(lookupId);
    for (const { kind, state, type, name, path } of this.#queue.splice(0)) {
      if (!existsSync(path)) {
        state.problem(`The ${type} ${path} was gone before the job's end; the agent reads it only then.`);
        state.result.result = 'Failed';
        continue;
      }
      const folder = join(state.keepFolder, kind, ...(kind === 'attachments' ? [type] : []));
      mkdirSync(folder, { recursive: true });
      const target = freeName(folder, name);
      try {
        if (!statSync(path).isFile()) throw new Error('it is no file any more');
        copyFileSync(path, target);
      } catch (error) {
        state.problem(`The ${type} ${path} could not be read at the job's end: ${(error as Error).message}`);
        state.result.result = 'Failed';
        continue;
      }
      this.#scan(state, `${type} ${name}`, target);
      if (kind === 'attachments') state.result.attachments.push({ type, name, path: target });
      else state.result[kind].push(target);
    }
    for (const { state, what, path } of this.#published.splice(0)) this.#scan(state, what, path);
    rmSync(this.folders.temp, { recursive: true, force: true });
  }
}

function freeName(folder: string, name: string): string {
  for (let index = 0; ; index += 1) {
    const path = join(folder, index ? `${index}-${name}` : name);
    if (!existsSync(path)) return path;
  }
}

function makeFolders(workFolder: string, sourcesFolder: string | undefined): JobFolders {
  const work = resolve(workFolder);
  const build = join(work, '1');
  const folders: JobFolders = {
    root: resolve(work, '..'),
    work,
    tasks: join(work, '_tasks'),
    tools: join(work, '_tool'),
    temp: join(work, '_temp'),
    build,
    sources: sourcesFolder ? resolve(sourcesFolder) : join(build, 's'),
    staging: join(build, 'a'),
    binaries: join(build, 'b'),
    testResults: join(build, 'TestResults'),
    diagnostics: join(work, '_diag'),
  };
  rmSync(folders.temp, { recursive: true, force: true });
  for (const folder of Object.values(folders) as string[]) mkdirSync(folder, { recursive: true });
  chmodSync(folders.diagnostics, 0o700);
  return folders;
}

/** The text of a PEM file. Errors: Failure `AgentCA` when it cannot be read. */
function pemOf(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new Failure(`The CA file ${file} cannot be read: ${(error as Error).message}`, {
      code: 'AgentCA',
      file,
      advice: 'Start `amlops up` again: it writes the CA that connection.json names.',
      cause: error,
    });
  }
}

/**
 * Makes a job. Its services (OIDC endpoint over https) run until `finish`. Errors: Failure when a CA or key file cannot be read.
 */
export async function createJob(options: JobOptions): Promise<AgentJob> {
  // Before anything serves: what serves would go on doing so.
  const pems = (options.ca ?? []).map(pemOf);
  const own = options.collection?.ca ? pemOf(options.collection.ca) : undefined;
  const folders = makeFolders(options.workFolder, options.sourcesFolder);
  const clock = options.clock ? injectClock(folders.diagnostics, options.clock) : undefined;
  const services = options.collection
    ? undefined
    : await startServices({
        ...(options.federation ? { federation: options.federation } : {}),
        assertionSeconds: options.assertionSeconds ?? 600,
        now: clock?.now ?? Date.now,
        folder: join(folders.diagnostics, 'tls'),
        connections: (id) => options.endpoints?.find((endpoint) => endpoint.id.toLowerCase() === id.toLowerCase()),
      });
  const collection = options.collection ?? services?.collection;
  if (!collection) throw new Error('no collection'); // cannot be: one of the two is there
  const collectionCa = own ?? services?.caPem;
  if (collectionCa) pems.push(collectionCa);
  let caFile: string | undefined;
  if (pems.length) {
    caFile = join(folders.diagnostics, 'ca.pem');
    writeFileSync(caFile, [...new Set(pems)].join('\n'));
  }
  const variables = new JobVariables(
    agentVariables(folders),
    serverVariables(),
    collectionVariables(collection.uri, collection.oidcRequestUri, collection.accessToken),
    networkVariables(options, caFile),
    options.variables ?? {},
  );
  const endpoints: AgentEndpoint[] = [
    {
      id: 'SystemVssConnection',
      name: 'SystemVssConnection',
      url: collection.uri,
      scheme: 'OAuth',
      parameters: { AccessToken: collection.accessToken },
      data: {},
    },
    ...(options.endpoints ?? []).map((endpoint) => ({
      ...structuredClone(endpoint),
      data: Object.fromEntries(Object.entries(endpoint.data).map(([key, value]) => [key, variables.expand(value)])),
    })),
  ];
  return new AgentJob(options, folders, variables, endpoints, { ...defaultWaits, ...options.waits }, caFile, clock, services);
}
