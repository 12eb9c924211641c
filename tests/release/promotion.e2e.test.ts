/** A model on its way to production as users send it: built tasks through the agent's harness, against embedded workspaces. */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { runClient } from '../support/client-kit.js';
import { amlops, task, type TaskEnded } from '../support/task-cli.js';
import { startUp, type Running } from '../support/workspace.js';

const soak = Boolean(process.env['AMLOPS_SOAK']);

for (const storage of ['keys', 'identity'] as const)
  describe(`release: promotion end to end, storage by ${storage}`, function () {
    this.timeout(10 * 60_000);
    let up: Running;
    let folder: string;
    let run = 1000;
    before(async () => {
      folder = mkdtempSync(join(tmpdir(), 'amlops-promote-'));
      up = await startUp({ args: ['--storage', storage] });
    });
    after(async () => {
      await up.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    /** A model folder and its metrics file. */
    const make = (name: string, metrics: Record<string, number | string>, bytes = name): Record<string, string> => {
      const model = join(folder, name);
      mkdirSync(join(model, 'data'), { recursive: true });
      writeFileSync(join(model, 'model.pkl'), bytes);
      writeFileSync(join(model, 'data', 'größe.bin'), Buffer.alloc(5000, name));
      writeFileSync(join(folder, `${name}.json`), JSON.stringify(metrics));
      return { modelPath: model, metricsFile: join(folder, `${name}.json`) };
    };
    const register = (workspace: string, inputs: Record<string, string>) =>
      task('RegisterModel', up.file, workspace, inputs, { run: run++ });
    const promote = (workspace: string, inputs: Record<string, string>, options: { run?: number } = {}) =>
      task('PromoteModel', up.file, workspace, inputs, { run: options.run ?? run++ });
    const done = (ended: TaskEnded, outcome: string): TaskEnded => {
      assert.deepEqual([ended.result, ended.outputs['outcome']], ['Succeeded', outcome], ended.out);
      assert.deepEqual(ended.problems, [], ended.out);
      return ended;
    };
    const failed = (ended: TaskEnded, text: RegExp): TaskEnded => {
      assert.equal(ended.result, 'Failed', ended.out);
      assert.match(ended.issues.map(({ message }) => message).join('\n'), text);
      assert.deepEqual(ended.problems, [], ended.out);
      return ended;
    };
    const why = async (workspace: string, model: string) => {
      const { out, code, err } = await amlops([
        'why',
        '--connection',
        up.file,
        '--workspace',
        workspace,
        '--model',
        model,
        '--json',
      ]);
      assert.equal(code, 0, err);
      return JSON.parse(out) as {
        champion: { id: string; version: string; digest: string };
        promotion: { gate: { verdict: string } | null };
      };
    };
    const records = async (workspace: string, model: string): Promise<string> => {
      const out = join(folder, `records-${workspace}-${model}-${run++}`);
      const { code, err } = await amlops([
        'records',
        '--connection',
        up.file,
        '--workspace',
        workspace,
        '--model',
        model,
        '--out',
        out,
      ]);
      assert.equal(code, 0, err);
      return out;
    };
    const verifies = async (workspace: string, model: string, count: number) => {
      const out = await records(workspace, model);
      assert.equal(readdirSync(out).length, 2 * count);
      const { code, err } = await amlops(['verify', out, '--connection', up.file, '--workspace', workspace]);
      assert.equal(code, 0, err);
      return out;
    };

    it('goes to production by registry and by copy with one digest, and can be asked why', async () => {
      const first = done(
        await register('dev', { ...make('a', { accuracy: 0.9 }), modelName: 'm', gate: 'accuracy >= 0.8 # floor' }),
        'registered',
      );
      const digest = first.outputs['modelDigest'];
      assert.equal(first.outputs['modelVersion'], '1');
      assert.ok(first.attachments.some(({ type }) => type === 'aml.model') && first.summaries.length === 1);
      const again = done(await register('dev', { ...make('a', { accuracy: 0.9 }), modelName: 'm' }), 'unchanged');
      assert.equal(again.outputs['modelVersion'], '1');
      const source = { modelName: 'm', modelVersion: '1', gate: 'accuracy >= champion.accuracy' };
      const shared = done(await promote('dev', { ...source, targetRegistry: 'shared' }), 'promoted');
      const used = done(await promote('prod', { ...source, sourceRegistry: 'shared', targetWorkspaceName: 'prod' }), 'promoted');
      const copied = done(await promote('dev', { ...source, targetWorkspaceName: 'test' }), 'promoted');
      assert.deepEqual(
        [shared, used, copied].map(({ outputs }) => outputs['modelDigest']),
        [digest, digest, digest],
      );
      assert.equal(used.outputs['modelId'], 'azureml://registries/shared/models/m/versions/1');
      assert.ok(copied.attachments.some(({ type }) => type === 'aml.promotion') && copied.buildTags.includes('model:m:1'));
      for (const [place, inputs] of [
        ['dev', { ...source, targetRegistry: 'shared' }],
        ['prod', { ...source, sourceRegistry: 'shared', targetWorkspaceName: 'prod' }],
        ['dev', { ...source, targetWorkspaceName: 'test' }],
      ] as const)
        done(await promote(place, inputs), 'unchanged');
      assert.equal((await why('prod', 'm')).champion.id, 'azureml://registries/shared/models/m/versions/1');
      assert.equal((await why('test', 'm')).champion.digest, digest);
      await readBack(digest!);
      await verifies('dev', 'm', 1);
      await verifies('test', 'm', 1);
      const chain = await verifies('prod', 'm', 1);
      const record = join(chain, '000001.json');
      const bytes = readFileSync(record);
      bytes[300]! ^= 4;
      writeFileSync(record, bytes);
      const broken = await amlops(['verify', chain]);
      assert.equal(broken.code, 1);
      assert.match(broken.err, /^000001\.json does not fit its \.sha256/);
    });

    /** The official client sees every version, tag and file. */
    const readBack = async (digest: string) => {
      const versions = ['dev=m:1', 'test=m:1', 'registry:shared=m:1'];
      const stdout = await runClient(join(import.meta.dirname, 'readback.py'), [up.file, ...versions]);
      const lines = stdout.split('\n').filter((line) => line.startsWith('{'));
      const seen = lines.map(
        (line) => JSON.parse(line) as { digest: string; tags: Record<string, string>; properties: Record<string, string> },
      );
      assert.deepEqual(
        seen.map((model) => [model.digest, model.properties['amlops.digest']]),
        [0, 1, 2].map(() => [digest, digest]),
      );
      for (const { tags } of seen) assert.equal(tags['ado.pipeline'], 'amlops task');
      assert.equal(seen[1]!.tags['amlops.champion'], 'true');
    };

    // Where storage takes no keys the ways differ only in how bytes are reached: two of the stories show that
    // (and sides.e2e.test.ts, which runs without keys); a soak tells them all.
    const both = storage === 'keys' || soak ? it : undefined;
    both?.('retrains in production: rejected with a table that says by how much, then rolled back', async () => {
      const gate = 'not worse: accuracy >= champion.accuracy - 0.01';
      const inPlace = { modelName: 'r', gate };
      for (const [name, accuracy] of [
        ['r1', 0.9],
        ['r2', 0.85],
        ['r3', 0.92],
      ] as const)
        done(await register('prod', { ...make(name, { accuracy }), modelName: 'r' }), 'registered');
      done(await promote('prod', { ...inPlace, modelVersion: '1' }), 'promoted');
      const worse = failed(await promote('prod', { ...inPlace, modelVersion: '2' }), /not worse \(missed by 0\.04\)/);
      assert.match(worse.out, /not worse: accuracy >= champion\.accuracy - 0\.01\s+0\.85\s+0\.9\s+-0\.04\s+rejected/);
      assert.equal(worse.outputs['outcome'], 'rejected');
      const warned = await promote('prod', { ...inPlace, modelVersion: '2', onRejected: 'warn' });
      assert.deepEqual([warned.result, warned.outputs['outcome']], ['SucceededWithIssues', 'rejected']);
      done(await promote('prod', { ...inPlace, modelVersion: '3' }), 'promoted');
      done(await promote('prod', { action: 'rollback', modelName: 'r' }), 'rolledBack');
      assert.equal((await why('prod', 'r')).champion.version, '1');
      await verifies('prod', 'r', 3);
    });

    both?.('plans with a reader, keeps to the plan, and stops an older run', async () => {
      done(await register('dev', { ...make('p1', { accuracy: 0.9 }), modelName: 'p' }), 'registered');
      done(await register('dev', { ...make('p2', { accuracy: 0.91 }), modelName: 'p' }), 'registered');
      const inputs = { modelName: 'p', targetWorkspaceName: 'prod', gate: 'accuracy > 0.5' };
      const reader = { azureSubscription: 'arm-dev-read', targetAzureSubscription: 'arm-prod-read' };
      const plan = done(await promote('dev', { ...inputs, ...reader, modelVersion: '1', action: 'plan' }), 'planned');
      assert.match(plan.out, /right no\s+the target's connection \S+ \(arm-prod-read\): write models on workspace prod/);
      const planDigest = plan.outputs['planDigest']!;
      assert.match(planDigest, /^sha256:[0-9a-f]{64}$/);
      failed(await promote('dev', { ...inputs, ...reader, modelVersion: '1' }), /Rights are missing: the target's connection/);
      failed(
        await promote('dev', { ...inputs, modelVersion: '1', requireApproval: 'true' }),
        /Approvals could not be read|No approval/,
      );
      const [older, newer] = [run++, run++];
      done(await promote('dev', { ...inputs, modelVersion: '2' }, { run: newer }), 'promoted');
      failed(
        await promote('dev', { ...inputs, modelVersion: '1' }, { run: older }),
        /is older than the run that moved the champion/,
      );
      failed(await promote('dev', { ...inputs, modelVersion: '1', planDigest }), /The world has changed since the plan/);
      assert.equal((await why('prod', 'p')).champion.version, '1', 'version 1 of prod holds version 2 of dev');
      await verifies('prod', 'p', 1);
    });

    if (storage === 'keys')
      both?.('refuses bad input with everything that is wrong, and writes nothing', async () => {
        const inputs = make('b', { nan: 'NaN', accuracy: 0.9 });
        failed(
          await register('dev', { ...inputs, modelName: 'no/name', modelVersion: '1.2', gate: 'accuracy >= # low' }),
          /modelName: .*\n[^]*modelVersion: [^]*gate: The condition "low" \(line 1, column 12\)/,
        );
        failed(await register('dev', { ...inputs, modelName: 'b', gate: 'nan > 1' }), /Rejected .*NaN/);
        failed(await register('dev', { ...inputs, modelName: 'b', gate: 'accuracy(1) > 1' }), /A metric is not called/);
        failed(await register('dev', { jobName: 'nowhere', outputName: 'model', modelName: 'b' }), /no job named nowhere/);
        failed(await register('dev', { ...inputs, modelName: 'b', modelType: 'mlflow_model' }), /no MLmodel file/);
        done(await register('dev', { ...inputs, modelName: 'b' }), 'registered');
        failed(await register('dev', { ...make('b9', {}), modelName: 'b', modelVersion: '1' }), /with other bytes/);
        failed(
          await promote('dev', { modelName: 'b', modelVersion: '7', targetWorkspaceName: 'prod' }),
          /no version "7"[^]*It has 1/,
        );
        failed(await promote('dev', { modelName: 'b', targetWorkspaceName: 'prod' }), /modelVersion is required/);
        failed(
          await promote('dev', { modelName: 'b', modelVersion: '1', sourceRegistry: 'shared', targetRegistry: 'other' }),
          /from a registry to a registry/,
        );
        assert.equal((await amlops(['why', '--connection', up.file, '--workspace', 'prod', '--model', 'b'])).code, 1);
      });
  });
