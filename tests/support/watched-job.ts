/** The wait for a job against a small Azure on a clock of its own, whose issuer takes assertions for ten minutes and gives tokens of an hour. */
import assert from 'node:assert/strict';
import { connectAzure } from '../../src/azure/azure.js';
import { readJob, type JobState } from '../../src/aml/jobs/job.js';
import type { StepState } from '../../src/aml/jobs/steps.js';
import { watchJob, type WatchEnd, type WatchOptions } from '../../src/aml/jobs/watch.js';
import { openWorkspace } from '../../src/aml/workspace.js';
import { FakeClock } from './fake-platform.js';
import { serve, type Asked, type Reply, type TestServer } from './https-server.js';

const minute = 60_000;
const hour = 60 * minute;

/** One job whose state is a function of the time since it was made. */
export interface Script {
  type?: string;
  displayName?: string;
  status(age: number): string | undefined;
  steps?(age: number): { id: string; status: string; started?: boolean }[];
  /** The whole log of a step at that time. */
  log?(id: string, age: number): string;
  /** Something else instead of an answer. */
  instead?(asked: Asked, age: number): Reply | undefined;
}

interface Told {
  end: WatchEnd;
  notices: string[];
  statuses: string[];
  /** Statuses and notices in their order. */
  said: string[];
  /** The steps at each change, as `name status`. */
  steps: string[];
  /** Steps of whose logs all has been given. */
  closed: string[];
  lines: { step: string; text: string; at: number }[];
  asked: Asked[];
  endedAt: number;
}

export class WatchedJob {
  server!: TestServer;
  clock = new FakeClock();
  /** Older ones are refused. */
  tokensValidFrom = 0;
  assertions: number[] = [];
  #script: Script = { status: () => undefined };
  #born = 0;
  #tokens = 0;

  #answer(asked: Asked): Reply {
    const { clock, server, tokensValidFrom } = this;
    const script = this.#script;
    const born = this.#born;
    const age = clock.now() - born;
    const { path } = asked;
    if (path.endsWith('/token')) {
      // The assertion is a time: an issuer takes it for ten minutes.
      const given = Number(new URLSearchParams(asked.body).get('client_assertion'));
      if (clock.now() - given > 10 * minute)
        return { status: 401, body: { error_description: 'AADSTS700024: assertion expired.' } };
      return { body: { access_token: `${clock.now()}-${++this.#tokens}`, expires_in: 3600 } };
    }
    const instead = script.instead?.(asked, age);
    if (instead) return instead;
    if (path.startsWith('/log/')) {
      assert.equal(asked.headers.authorization, undefined);
      const text = Buffer.from(script.log?.(path.slice(5), age) ?? '');
      const start = Number(/bytes=(\d+)-/.exec(String(asked.headers.range))?.[1]);
      if (start >= text.length) return { status: 416, headers: { 'Content-Range': `bytes */${text.length}` } };
      const range = `bytes ${start}-${text.length - 1}/${text.length}`;
      return { status: 206, headers: { 'Content-Range': range }, body: text.subarray(start) };
    }
    if (path === '/discovery') return { body: { api: server.origin } };
    const token = Number(/Bearer (\d+)-/.exec(asked.headers.authorization ?? '')?.[1]);
    if (clock.now() - token > hour || token < tokensValidFrom)
      return { status: 401, body: { error: { code: 'InvalidAuthenticationToken' } } };
    if (path.endsWith('/children')) {
      const value = (script.steps?.(age) ?? []).map(({ id, status, started }) => ({
        runId: id,
        displayName: id,
        status,
        createdUtc: id,
        ...(started === false ? {} : { startTimeUtc: new Date(born).toISOString() }),
      }));
      return { body: { value } };
    }
    if (path.endsWith('/details')) {
      const id = path.split('/').at(-2) ?? '';
      return { body: { status: 'Running', logFiles: { 'user_logs/std_log.txt': `${server.origin}/log/${id}?sig=abc` } } };
    }
    if (path.includes('/jobs/')) {
      const status = script.status(age);
      if (status === undefined) return { status: 404, body: { error: { code: 'UserError', message: 'Job j not found.' } } };
      return {
        body: {
          name: 'j',
          properties: { status, jobType: script.type ?? 'Pipeline', displayName: script.displayName, services: {} },
        },
      };
    }
    return { body: { properties: { discoveryUrl: `${server.origin}/discovery`, workspaceId: 'guid' } } };
  }

  static async start(): Promise<WatchedJob> {
    const world = new WatchedJob();
    world.server = await serve((asked) => world.#answer(asked));
    return world;
  }

  async watch(given: Script, options: Partial<WatchOptions> = {}): Promise<Told> {
    const clock = new FakeClock();
    const assertions: number[] = [];
    const born = clock.now();
    Object.assign(this, { clock, assertions, tokensValidFrom: 0 });
    this.#script = given;
    this.#born = born;
    const { server } = this;
    const azure = connectAzure(
      {
        name: 'arm',
        resourceManager: server.origin,
        authority: server.origin,
        tenantId: 't',
        clientId: 'c',
        ca: server.ca,
        credential: { kind: 'federated', assertion: async () => String(assertions[assertions.push(clock.now()) - 1]) },
      },
      { clock, onSecret: () => undefined },
    );
    const workspace = openWorkspace(azure, { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' });
    const job = (await readJob(workspace, 'j')) as JobState;
    server.asked.length = 0;
    const told: Omit<Told, 'end' | 'endedAt' | 'asked'> = {
      said: [],
      notices: [],
      statuses: [],
      steps: [],
      closed: [],
      lines: [],
    };
    const end = await watchJob(
      workspace,
      job,
      {
        status: ({ status }) => told.said.push(status) && told.statuses.push(status),
        steps: (steps) => told.steps.push(steps.map(({ name, status }) => `${name} ${status}`).join(', ')),
        text: (step: StepState, text) => told.lines.push({ step: step.name, text, at: clock.now() - born }),
        textEnd: ({ name }) => told.closed.push(name),
        notice: (level, text) => told.said.push(`${level}: ${text}`) && told.notices.push(`${level}: ${text}`),
      },
      { clock, signal: new AbortController().signal, logs: false, ...options },
    );
    return { ...told, end, endedAt: clock.now() - born, asked: [...server.asked] };
  }
}
