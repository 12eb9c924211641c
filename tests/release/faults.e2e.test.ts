/**
 * Built RegisterModel and PromoteModel among faults of every kind and kills at random moments, against the embedded workspace: all ends old
 * or new and nothing between; run again, it is done exactly once. The same schedules in memory: promote.test.ts.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { modelDigest } from '../../src/release/digest.js';
import { random } from '../support/memory-release.js';
import { faultsOf, Site } from '../support/release-world.js';
import { task, type Moments, type TaskEnded } from '../support/task-cli.js';
import { startUp, type Running } from '../support/workspace.js';

const hops = ['copy', 'share', 'use', 'inPlace'] as const;
const soak = Number(process.env['AMLOPS_SOAK'] ? (process.env['AMLOPS_SOAK_RELEASE'] ?? 60) : 0);
const seeds = { keys: soak || 4, identity: soak || 2 };

for (const storage of ['keys', 'identity'] as const)
  describe(`release: ${seeds[storage]} schedules of faults and kills, storage by ${storage}`, function () {
    this.timeout(60 * 60_000);
    let up: Running;
    let folder: string;
    let run = 100;
    let dev: Site;
    let prod: Site;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'amlops-faulty-'));
      up = await startUp({ args: ['--storage', storage, '--workspaces', 'dev,prod'] });
      [dev, prod] = [new Site(up, 'dev'), new Site(up, 'prod')];
    });
    after(async () => {
      await up.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    /** A model of a few files from the seed; now and then one that goes in blocks, and one without bytes. */
    const make = (name: string, next: () => number) => {
      const path = join(folder, name);
      mkdirSync(join(path, 'code'), { recursive: true });
      const sizes = Array.from({ length: 1 + Math.floor(next() * 12) }, () => Math.floor(next() * 3000));
      if (next() < 0.3) sizes.push(17_000_000);
      sizes.forEach((size, index) =>
        writeFileSync(join(path, index % 2 ? 'code' : '.', `f${index}.bin`), Buffer.alloc(size, name)),
      );
      const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
      const digest = modelDigest(
        files.map((file) => {
          const bytes = readFileSync(join(file.parentPath, file.name));
          const below = join(file.parentPath, file.name).slice(path.length + 1);
          return { path: below, size: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') };
        }),
      );
      const metricsFile = join(folder, `${name}.json`);
      writeFileSync(metricsFile, JSON.stringify({ accuracy: 0.9 }));
      return { modelPath: path, metricsFile, digest };
    };

    /** A moment of death: so long after the start as a run takes at most, or just after a line of the log. */
    const moment = (next: () => number, length: number): Moments => {
      const line = [/Starting:/, /bytes, sha256/, /planDigest/, /Copied|Sharing/, /Registered/, /Record /][
        Math.floor(next() * 6)
      ]!;
      const [after, wait] = [next() * length, next() * 120];
      if (next() < 0.4) return { killAfter: length * 0.3 + after };
      return {
        killWhen: async (out) => {
          while (!line.test(out())) await sleep(5);
          await sleep(wait);
        },
      };
    };

    /** Attempts that are killed, each followed by `between`, then attempts until one is done. */
    const insist = async (
      work: (attempt: number, moments: Moments) => Promise<TaskEnded>,
      next: () => number,
      length: number,
      between: () => Promise<void>,
    ): Promise<TaskEnded> => {
      let attempt = 1;
      for (let deaths = 1 + Math.floor(next() * 3); deaths > 0; deaths--) {
        const ended = await work(attempt++, moment(next, length));
        if (ended.result === 'Succeeded') return ended;
        await between();
      }
      for (; attempt < 12; attempt++) {
        const ended = await work(attempt, {});
        if (ended.result === 'Succeeded') return ended;
        // Faults that outlive the retries end a run; never with a fault of its own, never in between.
        assert.doesNotMatch(ended.out, /had a fault of its own|TypeError|not iterable|undefined/, ended.out);
        await between();
      }
      throw new Error('It never came to an end.');
    };

    for (let seed = 1; seed <= seeds[storage]; seed++) {
      const hop = hops[(seed - 1) % hops.length]!;
      it(`seed ${seed}, ${hop}`, async () => {
        const next = random(seed * (storage === 'keys' ? 31 : 77));
        const name = `s${seed}`;
        const [first, second] = [make(`${name}-1`, next), make(`${name}-2`, next)];
        assert.notEqual(first.digest, second.digest);
        const register = (model: typeof first, build: number, attempt = 1, moments: Moments = {}) =>
          task(
            'RegisterModel',
            up.file,
            'dev',
            { modelName: name, modelPath: model.modelPath, metricsFile: model.metricsFile },
            { run: build, attempt, ...moments },
          );
        const sides = {
          copy: { targetWorkspaceName: 'prod' },
          share: { targetRegistry: 'shared' },
          use: { sourceRegistry: 'shared', targetWorkspaceName: 'prod' },
          inPlace: {},
        };
        const promote = (version: string, build: number, attempt = 1, moments: Moments = {}, how: (typeof hops)[number] = hop) =>
          task(
            'PromoteModel',
            up.file,
            how === 'use' ? 'prod' : 'dev',
            { ...sides[how], modelName: name, modelVersion: version, gate: 'accuracy >= champion.accuracy # not worse' },
            { run: build, attempt, ...moments },
          );
        const home = hop === 'copy' || hop === 'use' ? prod : dev;
        const calm = async (ended: TaskEnded, outcome = 'promoted') =>
          assert.deepEqual([ended.result, ended.outputs['outcome']], ['Succeeded', outcome], ended.out);

        // An old champion, made in peace.
        await calm(await register(first, run++), 'registered');
        if (hop === 'use') await calm(await promote('1', run++, 1, {}, 'share'));
        const started = Date.now();
        await calm(await promote('1', run++));
        const length = Date.now() - started;
        const old = await home.champion(name);

        const also = ['', ',operations-move', ',token-lifetime=20', ',operations-move,metrics-late=2'][seed % 4]!;
        const spec = `seed=${seed},rate=0.12,storage=0.08,retry-after=${seed % 5 === 0 ? 1 : 0}${also}`;
        await faultsOf(up, spec);
        const builds = [run++, run++, run++];
        await insist(
          (attempt, moments) => register(second, builds[0]!, attempt, moments),
          next,
          length,
          async () => {
            await faultsOf(up, '');
            const known = await dev.models.versions(name);
            assert.ok(known.length <= 2, 'one version or none');
            await faultsOf(up, spec.replace(/seed=\d+/, `seed=${Math.floor(next() * 1e6)}`));
          },
        );
        await faultsOf(up, '');
        const versions = (await dev.models.versions(name)).sort((a, b) => Number(a.version) - Number(b.version));
        assert.deepEqual(
          versions.map(({ version, properties }) => [version, properties['amlops.digest']]),
          [
            ['1', first.digest],
            ['2', second.digest],
          ],
        );
        for (const version of versions) assert.equal(await dev.digest(version), version.properties['amlops.digest']);
        assert.equal(versions[1]!.tags['ado.runId'], String(builds[0]));
        assert.deepEqual(await dev.orphans(name), []);

        if (hop === 'use') await calm(await promote('2', builds[1]!, 1, {}, 'share'));
        await faultsOf(up, spec);
        const records = await home.records(name);
        const done = await insist(
          (attempt, moments) => promote('2', builds[2]!, attempt, moments),
          next,
          length,
          async () => {
            await faultsOf(up, '');
            const champion = await home.champion(name);
            if (hop === 'share') assert.equal(champion, undefined);
            else if (champion !== old) assert.equal(await home.records(name), records + 1, 'the champion moves last');
            await faultsOf(up, spec.replace(/seed=\d+/, `seed=${Math.floor(next() * 1e6)}`));
          },
        );
        await faultsOf(up, '');
        assert.match(done.outputs['outcome'] ?? '', /^(promoted|unchanged)$/);
        assert.equal(done.outputs['modelDigest'], second.digest);
        const champion = await home.champion(name);
        if (hop === 'share') assert.equal(champion, undefined);
        else assert.equal(champion?.toLowerCase(), done.outputs['modelId']!.toLowerCase());
        assert.equal(await home.records(name), records + 1, 'one record');
        for (const site of [dev, prod]) assert.deepEqual(await site.orphans(name), []);
        const marked = (await home.models.versions(name)).filter(({ tags }) => tags['amlops.champion'] === 'true');
        assert.equal(marked.length, hop === 'copy' || hop === 'inPlace' ? 1 : 0);
        if (hop === 'copy') {
          const copies = (await prod.models.versions(name)).filter(
            ({ properties }) => properties['amlops.digest'] === second.digest,
          );
          assert.equal(copies.length, 1, 'one version');
          assert.equal(await prod.digest(copies[0]!), second.digest);
        }
        if (hop === 'share' || hop === 'use') {
          const shared = await dev.registry().versions(name);
          assert.deepEqual(shared.map(({ version }) => version).sort(), ['1', '2']);
        }

        // Again, after success: nothing is written anywhere.
        const before = [await dev.everything(name), await prod.everything(name)];
        await calm(await promote('2', builds[2]!, 20), 'unchanged');
        await calm(await register(second, builds[0]!, 20), 'unchanged');
        assert.deepEqual([await dev.everything(name), await prod.everything(name)], before);
      });
    }
  });
