/** A folder with a pipeline, run in this process; tasks are small stand-ins where a test needs a service connection. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { parseEnvironmentsFile } from '../../../../src/devops/environments-file.js';
import { runPipeline } from '../../../../local/pipeline/run/index.js';
import { readJson } from '../../../../local/pipeline/devops/files.js';
import type { RunDocument } from '../../../../local/pipeline/devops/types.js';
import type { ApprovalQuestion, Approver, RunObserver, RunOptions, RunOutcome } from '../../../../local/pipeline/run/types.js';

export interface Seen extends RunObserver {
  messages: string[];
  warnings: string[];
  lines: string[];
}

export function seen(): Seen {
  const messages: string[] = [];
  const warnings: string[] = [];
  const lines: string[] = [];
  return {
    messages,
    warnings,
    lines,
    message: (text) => void messages.push(text),
    warning: (text) => void warnings.push(text),
    started: () => undefined,
    waiting: () => undefined,
    ended: () => undefined,
    line: (_node, text) => void lines.push(text),
    issue: () => undefined,
  };
}

export interface Ran extends RunOutcome {
  seen: Seen;
  document: RunDocument;
  /** `stage: result` of every stage. */
  results: Record<string, string>;
}

export class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'amlops-run-'));
  readonly root = join(this.folder, 'repo');
  readonly asked: ApprovalQuestion[] = [];

  constructor() {
    mkdirSync(this.root);
    mkdirSync(join(this.folder, 'tasks'));
  }

  write(path: string, text: string): this {
    mkdirSync(dirname(join(this.root, path)), { recursive: true });
    writeFileSync(join(this.root, path), text);
    return this;
  }

  /** A task of one file; `body` is its script. */
  task(name: string, inputs: string[], body: string): this {
    const folder = join(this.folder, 'tasks', name);
    mkdirSync(folder, { recursive: true });
    const definition = {
      id: `00000000-0000-4000-8000-${Buffer.from(name).toString('hex').padEnd(12, '0').slice(0, 12)}`,
      name,
      friendlyName: name,
      description: 'stand-in',
      author: 'tests',
      category: 'Deploy',
      version: { Major: 1, Minor: 0, Patch: 0 },
      instanceNameFormat: name,
      inputs: inputs.map((input) => ({
        name: input,
        label: input,
        type: /Subscription$/i.test(input) ? 'connectedService:AzureRM' : 'string',
      })),
      execution: { Node20_1: { target: 'index.js' } },
    };
    writeFileSync(join(folder, 'task.json'), JSON.stringify(definition));
    writeFileSync(join(folder, 'index.js'), body);
    return this;
  }

  async run(
    pipeline: string,
    options: Partial<RunOptions> & { environmentsText?: string; connections?: string[] } = {},
  ): Promise<Ran> {
    const { environmentsText, connections = [], ...rest } = options;
    if (pipeline) this.write('azure-pipelines.yml', pipeline);
    const observer = seen();
    const outcome = await runPipeline({
      entry: 'azure-pipelines.yml',
      root: this.root,
      parameters: {},
      variables: { 'Build.SourceBranch': 'refs/heads/main' },
      repositories: {},
      secrets: {},
      stateFolder: join(this.folder, 'state'),
      project: 'fraud',
      ...(environmentsText === undefined ? {} : { environments: parseEnvironmentsFile(environmentsText, 'environments.yml') }),
      connect: () =>
        Promise.resolve({
          endpoints: connections.map((name, index) => ({
            id: `11111111-0000-4000-8000-${String(index).padStart(12, '0')}`,
            name,
            url: 'https://localhost/',
            scheme: 'ServicePrincipal',
            parameters: {
              tenantid: 't',
              serviceprincipalid: '22222222-0000-4000-8000-000000000000',
              serviceprincipalkey: 'not-a-real-key',
            },
            data: {},
          })),
          ca: [],
          close: () => Promise.resolve(),
        }),
      tasks: join(this.folder, 'tasks'),
      node: 20,
      parallel: 4,
      waits: { sigint: 500, sigterm: 250, pipes: 500, retryUnit: 1 },
      approver: this.answering('approved'),
      observer,
      signal: new AbortController().signal,
      ...rest,
    });
    return {
      ...outcome,
      seen: observer,
      document: (await readJson<RunDocument>(join(outcome.folder, 'run.json'))) as RunDocument,
      results: Object.fromEntries(outcome.stages.map(({ name, result }) => [name, result])),
    };
  }

  answering(status: 'approved' | 'rejected' | 'bypassed', comment = ''): Approver {
    return (question) => {
      this.asked.push(question);
      return Promise.resolve({ status, comment, by: 'Ada' });
    };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  }
}
