/** RunAmlPipeline told from its inputs to its outcome, against a small Azure, on a clock of its own. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { outcomeOf } from '../../src/task/outcome.js';
import type { Outcome } from '../../src/task/platform.js';
import type { Inputs } from '../../tasks/RunAmlPipeline/inputs.js';
import type { run } from '../../tasks/RunAmlPipeline/run.js';
import { FakePlatform } from './fake-platform.js';
import type { Asked, Reply } from './https-server.js';
import { smallAzure, type SmallAzure } from './small-azure.js';

export const gone: Reply = { status: 404, body: { error: { code: 'UserError', message: 'Job mine not found.' } } };
export const jobOf = (status: string, more: object = {}): Reply => ({
  body: { id: '/jobs/mine', name: 'mine', properties: { status, jobType: 'Command', services: {}, outputs: {}, ...more } },
});
export const refusal = (status: number, message = 'no'): Reply => ({ status, body: { error: { code: 'Refused', message } } });
export const isCancel = ({ method, path }: Asked) => method === 'POST' && path.endsWith('/jobs/mine/cancel');
export const isJob = ({ method, path }: Asked) => method === 'GET' && path.endsWith('/jobs/mine');

export interface Ended {
  outcome: Outcome | undefined;
  platform: FakePlatform;
  /** What a user reads, lines and warnings. */
  said: string;
  cancels: number;
  /** Of the attachment. */
  report?: Record<string, unknown>;
}

interface Given {
  inputs?: Partial<Inputs>;
  status?: (age: number) => string | undefined;
  manager?: (asked: Asked, platform: FakePlatform) => Reply | undefined | Promise<Reply | undefined>;
  job?: object;
  host?: string;
}

/** What the file `job.yml` names. */
export const references = ({ path }: Asked): Reply | undefined => {
  if (path.includes('/environments/')) return { body: { id: path, name: '1', properties: { image: 'x' } } };
  return path.includes('/computes/') ? { body: { id: path, properties: { computeType: 'AmlCompute' } } } : undefined;
};

export class Story {
  private constructor(
    readonly azure: SmallAzure,
    /** Holds `job.yml`. */
    readonly folder: string,
    readonly task: { outcomeOf: typeof outcomeOf; run: typeof run },
  ) {}

  static async start(): Promise<Story> {
    // Imported as the task itself imports its parts: one instance of each module, and of `Failure`.
    const task = { ...(await import('../../src/task/outcome.js')), ...(await import('../../tasks/RunAmlPipeline/run.js')) };
    const folder = mkdtempSync(join(tmpdir(), 'amlops-story-'));
    const text = 'type: command\ncommand: echo\nenvironment: azureml:env:1\ncompute: azureml:cpu\n';
    writeFileSync(join(folder, 'job.yml'), text);
    return new Story(await smallAzure(), folder, task);
  }

  async stop(): Promise<void> {
    await this.azure.close();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** `status` of the job by the milliseconds since the start; `manager` answers first. */
  async tell(given: Given): Promise<Ended> {
    const { azure, task } = this;
    const platform = new FakePlatform(
      {},
      {
        'System.HostType': given.host ?? 'build',
        ...{ 'System.CollectionUri': 'https://dev.azure.com/o/', 'System.TeamProject': 'p', 'Build.BuildId': '7' },
      },
    );
    const born = platform.clock.now();
    let cancels = 0;
    azure.manager = async (asked) => {
      if (isCancel(asked)) cancels += 1;
      const first = await given.manager?.(asked, platform);
      if (first) return first;
      if (isCancel(asked)) return { status: 202 };
      if (!isJob(asked) || !given.status) return undefined;
      const status = given.status(platform.clock.now() - born);
      return status === undefined ? gone : jobOf(status, given.job);
    };
    const { origin, ca } = azure.server;
    const inputs: Inputs = {
      action: 'attach',
      connection: {
        azure: {
          ...{ name: 'arm', resourceManager: origin, authority: origin, tenantId: 't', clientId: 'c', subscriptionId: 'sub-1' },
          ...{ credential: { kind: 'secret', clientSecret: 'the-client-secret' }, ca },
        },
      },
      ...{ resourceGroup: 'rg', workspace: 'ws', file: '', jobName: 'mine', tags: {}, jobInputs: {}, overrides: [] },
      ...{ streamLogs: 'none', downloadOutputs: [], onTimeout: 'cancel', cancelWithPipeline: true },
      ...given.inputs,
    };
    const outcome = await task.outcomeOf({ name: 'RunAmlPipeline', parse: () => inputs, run: task.run }, platform);
    const [attached] = platform.attachments;
    return {
      outcome,
      platform,
      said: [...platform.lines, ...platform.warnings].join('\n'),
      cancels,
      ...(attached ? { report: JSON.parse(readFileSync(attached.path, 'utf8')) as Record<string, unknown> } : {}),
    };
  }
}

/** One `Story` for the tests of the `describe` that calls this: a fresh small Azure before each, everything closed at the end. */
export function storyOfTests(): Pick<Story, 'azure' | 'folder' | 'tell'> {
  let story: Story | undefined;
  const now = (): Story => {
    if (!story) throw new Error('The story begins with the tests.');
    return story;
  };
  before(async () => {
    story = await Story.start();
  });
  after(() => story?.stop());
  beforeEach(() => now().azure.reset());
  return {
    get azure() {
      return now().azure;
    },
    get folder() {
      return now().folder;
    },
    tell: (given) => now().tell(given),
  };
}
