// Promotion by copy: 256 MiB in 2,000 files from one embedded workspace to another, beside bare https requests that read, hash and write the same bytes.
import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { Agent, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { median, seconds } from '../lib/measure.mjs';
import { root } from '../lib/setup.mjs';

export const title = 'promotion by copy, 256 MiB in 2,000 files';
export const goal = '<= 1.3x; resume after 90 % moves <= 10 % plus one block';

const count = 2000;
const size = (256 * 1024 * 1024) / count;
const width = 24;
const rounds = 5;

async function each(items, work) {
  let next = 0;
  const worker = async () => {
    for (let at = next++; at < items.length; at = next++) await work(items[at]);
  };
  await Promise.all(Array.from({ length: width }, worker));
}

/** One bare request; names below .localhost are this machine. */
function bare(agent, method, url, token, body) {
  return new Promise((resolve, reject) => {
    const headers = { Authorization: `Bearer ${token}`, 'x-ms-version': '2023-11-03', 'x-ms-date': new Date().toUTCString() };
    if (body) Object.assign(headers, { 'x-ms-blob-type': 'BlockBlob', 'Content-Length': body.length });
    const lookup = (_name, options, done) =>
      options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);
    const sent = request(url, { method, agent, headers, lookup }, (reply) => {
      const parts = [];
      reply.on('data', (part) => parts.push(part));
      reply.on('end', () =>
        reply.statusCode < 300 ? resolve(Buffer.concat(parts)) : reject(new Error(`${method} ${url}: ${reply.statusCode}`)),
      );
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

export async function measure() {
  const state = mkdtempSync(join(tmpdir(), 'amlops-bench-'));
  const child = spawn(process.execPath, [join(root, 'bin', 'amlops.mjs'), 'up', '--state', state], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await new Promise((resolve, reject) => {
      child.stdout.on('data', (text) => String(text).includes('ready ') && resolve());
      child.once('exit', (code) => reject(new Error(`amlops up ended with ${code}`)));
    });
    const load = (file) => tsImport(join(root, file), import.meta.url);
    const { openFrom } = await load('cli/connection.ts');
    const { openDatastore } = await load('src/aml/datastore.ts');
    const { copyModel } = await load('src/aml/models-copy.ts');
    const { BlobModelFiles } = await load('src/aml/models-files.ts');
    const file = join(state, 'connection.json');
    const [dev, prod] = [openFrom(file, 'dev'), openFrom(file, 'prod')];
    const [from, to] = [(await openDatastore(dev)).container, (await openDatastore(prod)).container];
    const names = Array.from({ length: count }, (_, i) => `part-${String(i).padStart(4, '0')}.bin`);
    await each(names, (name) => from.writeBytes(`bench/${name}`, randomBytes(size)));
    const agent = new Agent({ keepAlive: true, maxSockets: width, ca: readFileSync(JSON.parse(readFileSync(file, 'utf8')).ca) });
    const scope = 'https://storage.azure.com/.default';
    const [read, write] = [await dev.azure.token(scope), await prod.azure.token(scope)];
    const ours = [];
    const raw = [];
    const timed = async (into, work) => {
      const started = performance.now();
      await work();
      into.push(performance.now() - started);
    };
    for (let round = 0; round < rounds; round++) {
      const bareCopy = () =>
        each(names, async (name) => {
          const bytes = await bare(agent, 'GET', `${from.url}/bench/${name}`, read);
          createHash('sha256').update(bytes).digest('hex');
          await bare(agent, 'PUT', `${to.url}/raw-${round}/${name}`, write, bytes);
        });
      const copy = () => copyModel(new BlobModelFiles(from, 'bench', 'bench'), to, `copy-${round}`);
      // In turns, so that neither is always the one that comes to the emptier store.
      if (round % 2) await timed(ours, copy);
      await timed(raw, bareCopy);
      if (!(round % 2)) await timed(ours, copy);
    }
    agent.destroy();
    await each(names.slice(0, count / 10), (name) => to.delete(`copy-0/${name}`));
    const { moved } = await copyModel(new BlobModelFiles(from, 'bench', 'bench'), to, 'copy-0');
    const ratio = median(ours.map((value, index) => value / raw[index]));
    const share = moved / (count * size);
    return [
      { value: `${ratio.toFixed(2)}x`, beside: `raw copy plus hash, ${seconds(median(raw))}`, ok: ratio <= 1.3 },
      {
        value: `${(share * 100).toFixed(1)} % moved`,
        detail: 'resumed after 90 %',
        ok: moved <= (count * size) / 10 + 8 * 1024 * 1024,
      },
    ];
  } finally {
    child.kill('SIGTERM');
    await new Promise((resolve) => (child.exitCode === null ? child.once('exit', resolve) : resolve()));
    rmSync(state, { recursive: true, force: true });
  }
}
