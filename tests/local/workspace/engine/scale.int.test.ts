/**
 * Many nodes and many log lines. Here 20 nodes and 20,000 lines, for correctness only; `npm run soak -- scale` asks for 500 nodes, whose
 * share each must not take longer than one of 100, and for 1,000,000 lines of one job, over which the workspace's memory stays flat.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';
import { armId, send, startUp, tokenOf, type Reply, type Running } from '../../../support/workspace.js';

const soak = process.env['AMLOPS_SOAK'] === '1';
const nodes = soak ? [100, 500] : [20];
const lines = soak ? [100_000, 1_000_000] : [20_000];

/** Resident memory of a process in MB; undefined where `ps` cannot say. */
function memory(pid: number): number | undefined {
  if (process.platform === 'win32') return undefined;
  return Number(execFileSync('ps', ['-o', 'rss=', '-p', String(pid)], { encoding: 'utf8' })) / 1024;
}

describe(`scale${soak ? ' (soak)' : ''}`, function () {
  this.timeout(soak ? 0 : 300_000);
  let up: Running;
  let token: string;
  let environmentId: string;

  const ask = async (method: string, path: string, properties?: object, prefix = ''): Promise<Reply> => {
    const query = prefix === '' ? '?api-version=2024-01-01-preview' : '';
    const url = `${up.connection.resourceManager}${prefix}${armId(up.connection)}${path}${query}`;
    return await send(up.connection, method, url, { token, ...(properties && { body: { properties } }) });
  };
  const put = async (path: string, properties: object): Promise<string> => {
    const reply = await ask('PUT', path, properties);
    assert.ok(reply.status < 300, `${path}: ${reply.text.slice(0, 500)}`);
    return String(reply.json.id);
  };
  const ended = async (job: string, meanwhile?: () => void): Promise<string> => {
    for (;;) {
      const status = String((await ask('GET', `/jobs/${job}`)).json.properties.status);
      meanwhile?.();
      if (['Completed', 'Failed', 'Canceled'].includes(status)) return status;
      await sleep(200);
    }
  };

  before(async () => {
    up = await startUp({ args: ['--workspaces', 'dev'] });
    token = await tokenOf(up.connection);
    environmentId = await put('/environments/plain/versions/1', { image: 'python' });
    await put('/jobs/warm', { jobType: 'Command', command: 'true', environmentId });
    assert.equal(await ended('warm'), 'Completed');
  });
  after(() => up.stop());

  /** Runs `count` nodes side by side; gives milliseconds per node. */
  async function fanOut(count: number): Promise<number> {
    const componentId = await put(`/components/fan/versions/${count}`, {
      componentSpec: {
        type: 'command',
        name: 'fan',
        version: String(count),
        environment: `azureml:${environmentId}`,
        command: 'echo ${{inputs.number}} > ${{outputs.out}}/number',
        inputs: { number: { type: 'integer' } },
        outputs: { out: { type: 'uri_folder' } },
      },
    });
    const name = `fan${count}`;
    const jobs = Array.from({ length: count }, (_, number) => ({
      name: `node_${number}`,
      type: 'command',
      componentId,
      inputs: { number: { job_input_type: 'literal', value: String(number) } },
      _source: 'YAML.JOB',
    }));
    const before = performance.now();
    await put(`/jobs/${name}`, {
      jobType: 'Pipeline',
      settings: { force_rerun: true, _source: 'YAML.JOB' },
      jobs: Object.fromEntries(jobs.map((job) => [job.name, job])),
      inputs: {},
      outputs: {},
    });
    assert.equal(await ended(name), 'Completed');
    const took = (performance.now() - before) / count;
    const seen = new Map<string, string>();
    let next: string | undefined = `/runs/${name}/children`;
    while (next !== undefined) {
      const page: Reply = await ask('GET', next, undefined, '/history/v1.0');
      assert.equal(page.status, 200, page.text);
      for (const child of page.json.value) seen.set(String(child.displayName), String(child.status));
      const mark = page.json.continuationToken as string | undefined;
      next = mark === undefined ? undefined : `/runs/${name}/children?$continuationtoken=${encodeURIComponent(mark)}`;
    }
    assert.equal(seen.size, count);
    assert.deepEqual(new Set(seen.values()), new Set(['Completed']));
    return took;
  }

  it(`runs a fan-out of ${nodes.join(' and of ')} nodes, each once`, async () => {
    const each: number[] = [];
    for (const count of nodes) each.push(await fanOut(count));
    const [few, many] = each;
    if (!soak || few === undefined || many === undefined) return;
    console.log(`      ${nodes.map((count, i) => `${count} nodes: ${each[i]?.toFixed(0)} ms each`).join(', ')}`);
    assert.ok(many < few * 2, `a node of ${nodes[1]} takes ${many} ms, one of ${nodes[0]} ${few} ms`);
  });

  it(`keeps ${lines.at(-1)} log lines of one job`, async () => {
    const peaks: number[] = [];
    for (const count of lines) {
      let peak = 0;
      const look = (): void => void (peak = Math.max(peak, memory(up.process.pid ?? 0) ?? 0));
      const name = `lines${count}`;
      const program = `for n in range(${count}): print(f'line {n:07d} of a job that has much to say', flush=n % 1000 == 0)`;
      await put(`/jobs/${name}`, { jobType: 'Command', command: `python -c "${program}"`, environmentId });
      assert.equal(await ended(name, look), 'Completed');
      const details = await ask('GET', `/runs/${name}/details`, undefined, '/history/v1.0');
      const text = (await send(up.connection, 'GET', String(details.json.logFiles['user_logs/std_log.txt']))).text.split('\n');
      assert.equal(text.length, count + 1);
      for (const n of [0, count / 2, count - 1]) assert.ok(text[n]?.startsWith(`line ${String(n).padStart(7, '0')} `), text[n]);
      look();
      peaks.push(peak);
    }
    const [few, many] = peaks;
    if (!soak || few === undefined || many === undefined || process.platform === 'win32') return;
    console.log(`      ${lines.map((count, i) => `${count} lines: at most ${peaks[i]?.toFixed(0)} MB`).join(', ')}`);
    assert.ok(many < few + 64, `${many} MB over ${lines[1]} lines, ${few} MB over ${lines[0]}`);
  });
});
