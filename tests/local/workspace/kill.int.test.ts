/**
 * `kill -9` of `amlops up` at random moments under load: every write that was acknowledged is there afterwards, and it starts again
 * each time. 20 kills here; `npm run soak` asks for more with AMLOPS_SOAK_KILLS. The seed is printed; AMLOPS_SEED repeats a run.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { armId, send, startUp, tokenOf, type Running } from '../../support/workspace.js';

const kills = Number(process.env['AMLOPS_SOAK_KILLS'] ?? 20);
const seed = Number(process.env['AMLOPS_SEED'] ?? Date.now() % 1_000_000);
const api = 'api-version=2023-08-01-preview';

/** A small generator of numbers from 0 to 1 (mulberry32). */
function generator(state: number): () => number {
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296;
  };
}

/** What was acknowledged: address to text that must be found there. */
type Ledger = Map<string, { kind: 'arm' | 'blob'; text: string }>;

/** Writes until the process is gone: an environment and a blob in turn. Addresses are without port: it may change. */
async function load(running: Running, writer: number, ledger: Ledger): Promise<void> {
  const { connection } = running;
  const token = await tokenOf(connection);
  const storage = await tokenOf(connection, undefined, 'https://storage.azure.com/.default');
  const dev = armId(connection);
  const store = (
    await send(connection, 'GET', `${connection.resourceManager}${dev}/datastores/workspaceblobstore?${api}`, { token })
  ).json.properties;
  for (let n = 0; ; n += 1) {
    const text = `${writer}-${n}-${Math.round(performance.now())}`;
    const name = `kill-${process.pid}-${text.replaceAll('.', '')}`;
    const path = `${dev}/environments/${name}/versions/1`;
    const arm = await send(connection, 'PUT', `${connection.resourceManager}${path}?${api}`, {
      token,
      body: { properties: { image: 'python:3.11', tags: { text } } },
    });
    if (arm.status === 201) ledger.set(path, { kind: 'arm', text });
    const blob = `/${store.containerName}/kill/${name}`;
    const host = `${store.accountName}.blob.${connection.metadata.storage_endpoint}`;
    const put = await send(connection, 'PUT', `https://${host}${blob}`, {
      token: storage,
      headers: { 'x-ms-blob-type': 'BlockBlob', 'x-ms-version': '2022-11-02' },
      body: Buffer.from(text),
    });
    if (put.status === 201) ledger.set(`${store.accountName} ${blob}`, { kind: 'blob', text });
  }
}

/** Everything in the ledger that is not there. */
async function missing(running: Running, ledger: Ledger): Promise<string[]> {
  const { connection } = running;
  const token = await tokenOf(connection);
  const storage = await tokenOf(connection, undefined, 'https://storage.azure.com/.default');
  const lost: string[] = [];
  for (const [address, { kind, text }] of ledger) {
    if (kind === 'arm') {
      const reply = await send(connection, 'GET', `${connection.resourceManager}${address}?${api}`, { token });
      if (reply.json?.properties?.tags?.text !== text) lost.push(`${address}: ${reply.status}`);
    } else {
      const [account, path] = address.split(' ');
      const reply = await send(connection, 'GET', `https://${account}.blob.${connection.metadata.storage_endpoint}${path}`, {
        token: storage,
        headers: { 'x-ms-version': '2022-11-02' },
      });
      if (reply.text !== text) lost.push(`${address}: ${reply.status}`);
    }
  }
  return lost;
}

describe(`kill -9 under load (${kills} times, seed ${seed})`, function () {
  this.timeout(60_000 + kills * 20_000);
  const state = mkdtempSync(join(tmpdir(), 'amlops-kill-'));
  let running: Running | undefined;
  after(async () => {
    await running?.stop(true);
    rmSync(state, { recursive: true, force: true });
  });

  it('loses no acknowledged write and starts again', async () => {
    const random = generator(seed);
    const ledger: Ledger = new Map();
    const all: Ledger = new Map();
    for (let kill = 1; kill <= kills; kill += 1) {
      const up = await startUp({ state });
      running = up;
      const lost = await missing(up, ledger);
      assert.deepEqual(lost, [], `after kill ${kill - 1}`);
      // Checking everything after each kill would be the test's own load: what was found is looked at again at the end.
      for (const [address, entry] of ledger) all.set(address, entry);
      ledger.clear();
      const writers = [0, 1, 2, 3].map(async (writer) => await load(up, writer, ledger).catch(() => undefined));
      await sleep(50 + random() * 1500);
      await up.kill();
      await Promise.all(writers);
      if (kill % 20 === 0) console.log(`      ${kill} of ${kills} kills, ${all.size + ledger.size} acknowledged writes`);
    }
    running = await startUp({ state });
    assert.deepEqual(await missing(running, new Map([...all, ...ledger])), []);
    assert.ok(all.size > kills, `only ${all.size} writes were acknowledged`);
  });
});
