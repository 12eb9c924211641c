/**
 * How soon lines are on the agent, and what that costs: an hour and a half of jobs whose steps print in different patterns, on a clock of its
 * own. Ten seconds for every line needs as many requests as there are lines that nobody can foresee, so it holds where they suffice.
 */
import assert from 'node:assert/strict';
import { Failure } from '../../../src/azure/errors.js';
import type { Azure, AzureRequest, AzureResponse } from '../../../src/azure/types.js';
import { jobState } from '../../../src/aml/jobs/job.js';
import { watchJob } from '../../../src/aml/jobs/watch.js';
import { workspaceId, type Workspace } from '../../../src/aml/workspace.js';
import { FakeClock } from '../../support/fake-platform.js';

const second = 1_000;
const minute = 60_000;
const hour = 60 * minute;
const length = 1.5 * hour;

/** Times at which one step prints a line. */
type Pattern = readonly number[];
function every(period: number, jitter = 0, from = 0, to = length): Pattern {
  const random = generator(period + jitter);
  const times: number[] = [];
  for (let at = from + random() * period; at < to; at += period) times.push(Math.round(at + (random() - 0.5) * 2 * jitter));
  return times;
}
/** Lines that nobody can foresee, one in `mean` on average. */
function atRandom(mean: number, seed: number): Pattern {
  const random = generator(seed);
  const times: number[] = [];
  for (let at = 0; at < length; at += -Math.log(1 - random()) * mean) times.push(Math.round(at));
  return times;
}
function generator(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Measured {
  /** Share of the lines that were on the agent within ten seconds, from the `from`th millisecond on. */
  soon(from?: number, to?: number, step?: string): number;
  longest(from?: number, to?: number, step?: string): number;
  /** The most requests in any sixty minutes, and how many there were in all. */
  busiest: number;
  endNoticed: number;
}

/** The requests that a wait makes, answered without a network. */
function azureOf(
  answer: (path: string, range: number) => { status?: number; body?: unknown; bytes?: Buffer; headers?: Record<string, string> },
): Azure {
  const request = async <T>({ method, url, headers }: AzureRequest): Promise<AzureResponse<T>> => {
    const {
      status = 200,
      body,
      bytes = Buffer.alloc(0),
      headers: given = {},
    } = answer(url, Number(/=(\d+)-/.exec(headers?.['Range'] ?? '')?.[1] ?? 0));
    assert.equal(method, 'GET');
    return { status, headers: given, bytes, body: body as T } as AzureResponse<T>;
  };
  const refuse = (): never => {
    throw new Failure('not asked by a wait', { code: 'Unexpected' });
  };
  return {
    connection: { resourceManager: 'https://arm.test' } as Azure['connection'],
    token: refuse,
    request,
    complete: refuse,
    blobs: refuse,
    trustHost: () => undefined,
    async *list<T>(asked: AzureRequest) {
      yield* (await request<{ value: T[] }>(asked)).body.value;
    },
  };
}

async function measure(patterns: readonly Pattern[], given: { type?: string; storeTimes?: boolean } = {}): Promise<Measured> {
  const clock = new FakeClock();
  const born = clock.now();
  const asked: number[] = [];
  const logs = patterns.map((times) => [...times].sort((a, b) => a - b).map((at) => ({ at, text: `${at}\n` })));
  const azure = azureOf((path, start) => {
    const age = clock.now() - born;
    asked.push(age);
    const status = age < length ? 'Running' : 'Completed';
    if (path.startsWith('/log/')) {
      const lines = (logs[Number(path.slice(5))] ?? []).filter(({ at }) => at <= age);
      const text = Buffer.from(lines.map((line) => line.text).join(''));
      if (start >= text.length) return { status: 416, headers: { 'content-range': `bytes */${text.length}` } };
      const headers = {
        date: new Date(born + age).toUTCString(),
        'last-modified': new Date(born + (lines.at(-1)?.at ?? 0)).toUTCString(),
      };
      return { status: 206, headers: given.storeTimes === false ? {} : headers, bytes: text.subarray(start) };
    }
    if (path.endsWith('/children')) {
      const startTimeUtc = new Date(born).toISOString();
      return { body: { value: patterns.map((_, n) => ({ runId: `${n}`, displayName: `${n}`, status, startTimeUtc })) } };
    }
    if (path.endsWith('/details')) {
      return { body: { status, logFiles: { 'user_logs/std_log.txt': `/log/${given.type ? 0 : path.split('/').at(-2)}` } } };
    }
    return { body: { name: 'j', properties: { status, jobType: given.type ?? 'Pipeline' } } };
  });
  const names = { subscriptionId: 's', resourceGroup: 'g', workspace: 'w' };
  const facts = { armId: '', location: '', workspaceId: '', api: 'https://api.test', mlflowTrackingUri: '' };
  const workspace: Workspace = { ...names, azure, id: workspaceId(names), facts: async () => facts };
  const seen: { step: string; at: number; late: number }[] = [];
  const job = jobState({ properties: { status: 'Running', jobType: given.type ?? 'Pipeline' } }, workspace, 'j');
  const quiet = () => undefined;
  const sink = { status: quiet, steps: quiet, notice: quiet, textEnd: quiet };
  const text = ({ runId }: { runId: string }, chunk: string) => {
    for (const line of chunk.split('\n').filter(Boolean)) {
      seen.push({ step: runId, at: Number(line), late: clock.now() - born - Number(line) });
    }
  };
  const end = await watchJob(workspace, job, { ...sink, text }, { clock, signal: new AbortController().signal, logs: true });
  assert.equal(end.end, 'completed');
  assert.equal(seen.length, logs.flat().length, 'every line once');
  const within = (from = 0, to = length, step?: string) =>
    seen.filter((line) => line.at >= from && line.at < to && (step === undefined || line.step === step));
  return {
    soon: (...which) => within(...which).filter(({ late }) => late <= 10_000).length / within(...which).length,
    longest: (...which) => Math.max(...within(...which).map(({ late }) => late)),
    busiest: Math.max(...asked.map((at) => asked.filter((other) => other >= at && other < at + hour).length)),
    endNoticed: clock.now() - born - length,
  };
}

describe('the pace of a wait with logs', () => {
  const five = (pattern: (n: number) => Pattern) => [1, 2, 3, 4, 5].map(pattern);
  const minutely = [2, 3, 4, 5].map((n) => every(minute + n));

  it('what one or two steps print is there within ten seconds, however seldom they print', async () => {
    for (const patterns of [[every(5 * second)], [every(5 * second), atRandom(2 * minute, 7)]]) {
      const found = await measure(patterns);
      assert.equal(found.soon(), 1, `${found.longest()} ms`);
      assert.ok(found.busiest <= 1_200, `${found.busiest} requests`);
      assert.ok(found.endNoticed <= 10 * second);
    }
    assert.equal((await measure([atRandom(2 * minute, 3)], { type: 'Command' })).soon(), 1);
  });

  it('so it is for five that print at a beat, also beside one that never stops', async () => {
    for (const patterns of [
      five((n) => every(20 * second + n)),
      five((n) => every(30 * second + n, 2 * second)),
      five((n) => every(minute + n)),
      [every(second), ...minutely],
    ]) {
      const found = await measure(patterns);
      assert.equal(found.soon(), 1, `${found.longest()} ms`);
      assert.ok(found.busiest <= 1_200, `${found.busiest} requests`);
    }
  });

  it('five that always talk: the first three minutes within ten seconds, then what 1,200 requests an hour leave to each', async () => {
    const found = await measure(five((n) => every(5 * second + n)));
    assert.ok(found.busiest <= 1_200 && found.busiest > 1_150, `${found.busiest} requests`);
    assert.equal(found.soon(0, 3 * minute), 1);
    // A read shows ten seconds of each log: 1,200 requests less 150 for the states are 210 reads of each, 58 % of an hour.
    assert.ok(found.soon(0, hour) > 0.5 && found.soon(hour) > 0.5, `${found.soon(0, hour)} and ${found.soon(hour)}`);
    assert.ok(found.longest(0, hour) < 30 * second && found.longest(hour) < 25 * second, `${found.longest()} ms`);
  });

  it('bursts are served like few, lines that nobody foresees like many, and silent steps stand back', async () => {
    const burst = (n: number) =>
      [0, 40].flatMap((from) => every(2 * second, 0, (from + 4 * n) * minute, (from + 4 * n + 1) * minute));
    const bursts = await measure(five(burst));
    assert.ok(
      bursts.busiest <= 1_200 && bursts.soon() > 0.8 && bursts.longest() < 21 * second,
      `${bursts.soon()} ${bursts.longest()}`,
    );
    const chance = await measure(five((n) => atRandom(30 * second, n)));
    assert.ok(
      chance.busiest <= 1_200 && chance.soon() > 0.5 && chance.longest() < minute,
      `${chance.soon()} ${chance.longest()}`,
    );
    const uneven = await measure([every(5 * second), every(5_100), ...[3, 4, 5].map((n) => atRandom(7 * minute, n))]);
    assert.ok(
      uneven.busiest <= 1_200 && uneven.soon() > 0.7 && uneven.longest() < 45 * second,
      `${uneven.soon()} ${uneven.longest()}`,
    );
  });

  it('without the times of the store the budget holds, and nothing stays unread for long', async () => {
    const found = await measure([every(second), ...minutely], { storeTimes: false });
    assert.ok(
      found.busiest <= 1_200 && found.soon() > 0.6 && found.longest() < 45 * second,
      `${found.soon()} ${found.longest()}`,
    );
  });
}).timeout(120_000);
