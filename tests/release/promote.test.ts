import assert from 'node:assert/strict';
import { assertApplicable } from '../../src/release/applicable.js';
import { compileGate, type Metrics } from '../../src/release/gate.js';
import { planPromotion, type Planned, type PromotionPorts, type PromotionRequest } from '../../src/release/plan.js';
import type { ApprovalFacts, RegistryWriter } from '../../src/release/ports.js';
import { applyPlan } from '../../src/release/promote.js';
import type { Pointer, Predicate } from '../../src/release/record.js';
import { Refusal } from '../../src/release/refusal.js';
import { planRollback } from '../../src/release/rollback.js';
import { Crash, MemoryWorld, random, runFacts, settled, type MemoryPlace, type Schedule } from '../support/memory-release.js';

const run = (runId: string, stageAttempt = 1) => runFacts(runId, { stageAttempt });
const approved: ApprovalFacts = {
  readable: true,
  approvals: [
    {
      approvalId: 'a',
      assigned: 'Team',
      actual: 'B',
      status: 'approved',
      comment: 'ok',
      when: '2026-01-01T00:00:00Z',
      bypassed: false,
    },
  ],
};
const none: ApprovalFacts = { readable: true, approvals: [] };

interface Options {
  runId?: string;
  attempt?: number;
  gate?: string;
  champion?: string;
  planDigest?: string;
  requireApproval?: boolean;
  approvals?: ApprovalFacts;
  metrics?: Metrics;
  targetName?: string;
}

function request(version: string, options: Options = {}): PromotionRequest {
  return {
    name: 'm',
    version,
    targetName: options.targetName ?? 'm',
    gate: compileGate(options.gate),
    onNoChampion: 'pass',
    champion: options.champion ?? 'champion',
    run: run(options.runId ?? '10', options.attempt),
    ...(options.metrics ? { metrics: { metrics: options.metrics, from: 'metricsFile' } } : {}),
  };
}

/** What the task does, without its words. */
async function finish(planned: Planned, ports: PromotionPorts, options: Options): Promise<'unchanged' | 'rejected' | 'done'> {
  if (planned.unchanged) return 'unchanged';
  const facts = {
    run: run(options.runId ?? '10', options.attempt),
    approvals: options.approvals ?? none,
    requireApproval: options.requireApproval ?? false,
  };
  assertApplicable(planned, { ...facts, ...(options.planDigest ? { planDigest: options.planDigest } : {}) });
  if (planned.plan.gate?.verdict.verdict === 'rejected') return 'rejected';
  await applyPlan(planned, ports, { ...facts, onRejected: 'fail' });
  return 'done';
}
async function promote(ports: PromotionPorts, version: string, options: Options = {}) {
  return finish(await planPromotion(request(version, options), ports), ports, options);
}
async function rollback(ports: PromotionPorts, options: Options & { version?: string } = {}) {
  return finish(
    await planRollback({ targetName: 'm', ...(options.version ? { version: options.version } : {}) }, ports),
    ports,
    options,
  );
}
const champion = (place: MemoryPlace) => settled(place, 'm').champion?.split('/').slice(-4).join('/');
const refuses = (work: Promise<unknown>, code: string) =>
  assert.rejects(work, (error) => error instanceof Refusal && error.code === code);
const files = { 'model.pkl': 'bytes', 'code/a.py': 'x', MLmodel: 'flavors:' };

describe('release: promotion', () => {
  it('carries the same bytes by registry and by copy, and records why', async () => {
    const world = new MemoryWorld();
    const [dev, test, prod, shared] = [
      world.workspace('dev'),
      world.workspace('test'),
      world.workspace('prod'),
      world.registry('shared'),
    ];
    const seeded = dev.seed('m', '3', files, { accuracy: 0.9 });
    assert.equal(await promote(world.ports(dev, shared), '3', { gate: 'accuracy > 0.8' }), 'done');
    assert.equal(await promote(world.ports(shared, prod), '3', { gate: 'accuracy > champion.accuracy' }), 'done');
    assert.equal(await promote(world.ports(dev, test), '3', { approvals: approved, requireApproval: true }), 'done');
    assert.equal(champion(prod), 'models/m/versions/3');
    assert.match(settled(prod, 'm').champion!, /^azureml:\/\/registries\/shared\/models\/m\/versions\/3$/);
    assert.equal(prod.models.size, 0, 'a registry version is used, not registered again');
    const copied = test.models.get('m:1')!;
    assert.equal(copied.properties['amlops.digest'], seeded.properties['amlops.digest']);
    assert.deepEqual(
      [copied.jobName, copied.properties['amlops.job'], copied.tags['amlops.champion']],
      [undefined, 'job-3', 'true'],
    );
    for (const place of [dev, test, prod]) assert.deepEqual(settled(place, 'm').problems, []);
    assert.ok(
      settled(dev, 'm').records === 1 && dev.models.get('m:3')!.properties['amlops.record.000001'],
      'the share is recorded in its source',
    );
    for (const [from, to] of [
      [dev, shared],
      [shared, prod],
      [dev, test],
    ] as const) {
      for (const place of [dev, test, prod, shared]) place.writes = [];
      assert.equal(await promote(world.ports(from, to), '3', { runId: '12' }), 'unchanged');
      for (const place of [dev, test, prod, shared]) assert.deepEqual(place.writes, []);
    }
  });

  it('retrains in production: the second gate sees the first as champion, a worse model is rejected', async () => {
    const world = new MemoryWorld();
    const prod = world.workspace('prod');
    prod.seed('m', '1', files, { accuracy: 0.9 });
    prod.seed('m', '2', { a: '2' }, { accuracy: 0.85 });
    const gate = 'accuracy >= champion.accuracy';
    assert.equal(await promote(world.ports(prod, prod), '1', { gate }), 'done');
    prod.writes = [];
    const planned = await planPromotion(request('2', { gate }), world.ports(prod, prod));
    assert.equal(Number(planned.plan.gate!.verdict.rows[0]!.margin!.toFixed(6)), -0.05);
    assert.equal(await promote(world.ports(prod, prod), '2', { gate, runId: '11' }), 'rejected');
    assert.deepEqual(prod.writes, []);
    assert.equal(await promote(world.ports(prod, prod), '2', { gate, metrics: { accuracy: 0.95 }, runId: '11' }), 'done');
    assert.deepEqual(
      [prod.models.get('m:1')!.tags['amlops.champion'], prod.models.get('m:2')!.tags['amlops.champion']],
      ['false', 'true'],
    );
  });

  it('stops an older run, a changed plan, and two at once', async () => {
    const world = new MemoryWorld();
    const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
    dev.seed('m', '1', { a: '1' });
    dev.seed('m', '2', { a: '2' });
    const ports = world.ports(dev, prod);
    const old = await planPromotion(request('1', { runId: '10' }), ports);
    assert.equal(await promote(ports, '2', { runId: '11' }), 'done');
    prod.writes = [];
    await refuses(promote(ports, '1', { runId: '10' }), 'StalePromotion');
    await refuses(promote(ports, '1', { runId: '9' }), 'StalePromotion'); // numbers, not texts
    // Runs of another organization are counted by themselves: nothing is older or newer there.
    const elsewhere = { run: runFacts('10', { organization: 'other' }), requireApproval: false, approvals: none };
    const other = await planPromotion(request('1'), ports);
    assert.doesNotThrow(() => assertApplicable(other, elsewhere));
    await refuses(promote(ports, '1', { runId: '12', planDigest: old.planDigest }), 'PlanChanged');
    assert.deepEqual(prod.writes, []);
    const [left, right] = [
      await planPromotion(request('1', { runId: '12' }), ports),
      await planPromotion(request('1', { runId: '13' }), ports),
    ];
    assert.equal(left.planDigest, right.planDigest, 'a plan does not depend on the run that makes it');
    assert.equal(await finish(left, ports, { runId: '12' }), 'done');
    await refuses(finish(right, ports, { runId: '13' }), 'ChampionMoved');
    assert.equal(champion(prod), 'models/m/versions/2');
    assert.deepEqual(settled(prod, 'm').problems, []);
    dev.models.get('m:2')!.tags['owner'] = 'somebody';
    const changed = await planPromotion(request('1'), ports);
    dev.models.get('m:1')!.tags['owner'] = 'somebody';
    assert.notEqual((await planPromotion(request('1'), ports)).planDigest, changed.planDigest, 'a model changed after the plan');
  });

  it('applies no plan that is impossible or lacks rights; then nothing is written', async () => {
    const world = new MemoryWorld();
    const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
    dev.seed('m', '1', files);
    const ports = world.ports(dev, prod);
    const finding = (found: Partial<Planned['inspection']>): PromotionPorts => ({
      ...ports,
      inspect: () => Promise.resolve({ conditions: {}, rights: [], problems: [], ...found }),
    });
    const right = { whose: 'arm-prod', right: 'write models', on: 'prod' };
    await refuses(promote(finding({ problems: ['There is no way there.'] }), '1'), 'PromotionImpossible');
    await refuses(promote(finding({ rights: [{ ...right, found: 'no' }] }), '1'), 'RightsMissing');
    assert.deepEqual([prod.writes, dev.writes], [[], []]);
    assert.equal(await promote(finding({ rights: [{ ...right, found: 'yes' }] }), '1'), 'done');
  });

  it('moves no champion when its version was taken meanwhile, or when the registry holds other bytes than were shared', async () => {
    const world = new MemoryWorld();
    const [dev, prod, shared] = [world.workspace('dev'), world.workspace('prod'), world.registry('shared')];
    dev.seed('m', '1', files);
    const planned = await planPromotion(request('1'), world.ports(dev, prod));
    prod.seed('m', planned.plan.targetModel.version, { other: 'bytes' });
    await refuses(finish(planned, world.ports(dev, prod), {}), 'VersionTaken');
    assert.equal(champion(prod), undefined);
    const ports = world.ports(dev, shared);
    const target = ports.target as RegistryWriter;
    const share: RegistryWriter['share'] = async (...args) => {
      await target.share(...args);
      for (const path of shared.blobs.keys()) if (path.endsWith('model.pkl')) shared.put(path, Buffer.from('other'));
    };
    await refuses(promote({ ...ports, target: { ...target, share } }, '1'), 'DigestMismatch');
    assert.equal(
      [...dev.blobs.keys()].some((path) => path.startsWith('amlops/records/')),
      false,
    );
  });

  it('wants the approval that it was told to want', async () => {
    const world = new MemoryWorld();
    const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
    dev.seed('m', '1', files);
    const ports = world.ports(dev, prod);
    const bypassed = { readable: true, approvals: [{ ...approved.approvals[0]!, bypassed: true }] };
    for (const [approvals, code] of [
      [none, 'ApprovalMissing'],
      [{ readable: false, reason: '403', approvals: [] }, 'ApprovalUnreadable'],
      [bypassed, 'ApprovalBypassed'],
    ] as const)
      await refuses(promote(ports, '1', { requireApproval: true, approvals: approvals as ApprovalFacts }), code);
    assert.deepEqual(prod.writes, []);
    assert.equal(await promote(ports, '1'), 'done');
    const record = JSON.parse(prod.blobs.get('amlops/records/m/000001.json')!.bytes.toString()) as {
      predicate: { approvals: unknown };
    };
    assert.equal(record.predicate.approvals, 'none found');
  });

  it('says which metrics there are when the gate asks for another, and keeps none of them', async () => {
    const world = new MemoryWorld();
    const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
    dev.seed('m', '1', files, { Accuracy: 0.9, loss: 1 });
    const of = async (gate: string) => (await planPromotion(request('1', { gate }), world.ports(dev, prod))).plan.gate!;
    assert.match((await of('accuracy > 0')).verdict.rows[0]!.note!, /no metric "accuracy" .*it has "Accuracy"/);
    const missing = await of('f1 > 0 # floor\nloss < 2');
    assert.match(missing.verdict.rows[0]!.note!, /no metric "f1" .*it has Accuracy, loss/);
    assert.deepEqual(missing.facts.metrics, { loss: 1 });
  });

  it('rolls back along the champions that really were', async () => {
    const world = new MemoryWorld();
    const prod = world.workspace('prod');
    for (const version of ['1', '2', '3']) prod.seed('m', version, { a: version });
    const ports = world.ports(prod, prod);
    await refuses(rollback(ports), 'NoChampion');
    for (const version of ['1', '2', '3']) await promote(ports, version, { runId: version });
    assert.equal(await rollback(ports, { runId: '4' }), 'done');
    assert.equal(champion(prod), 'models/m/versions/2');
    assert.equal(await rollback(ports, { runId: '5' }), 'done');
    assert.equal(champion(prod), 'models/m/versions/1', 'not back up to 3');
    await refuses(rollback(ports, { runId: '6' }), 'NoEarlierChampion');
    assert.equal(await promote(ports, '3', { runId: '7' }), 'done');
    assert.equal(await rollback(ports, { runId: '8', version: '1' }), 'done');
    assert.equal(await rollback(ports, { runId: '8', version: '1' }), 'unchanged');
    await refuses(rollback(ports, { runId: '8', version: '9' }), 'NoEarlierChampion');
    assert.deepEqual(settled(prod, 'm'), { champion: prod.models.get('m:1')!.id, records: 7, problems: [] });
    assert.equal(prod.models.get('m:1')!.tags['amlops.champion'], 'true');
  });

  it('a version made anew under its old number stays champion by its tag too', async () => {
    const world = new MemoryWorld();
    const prod = world.workspace('prod');
    prod.seed('m', '1', files);
    await promote(world.ports(prod, prod), '1', { runId: '1' });
    const tag = () => prod.models.get('m:1')!.tags['amlops.champion'];
    assert.equal(tag(), 'true');
    prod.seed('m', '1', { ...files, 'model.pkl': 'made anew' });
    // Ids differ in casing by producer.
    const pointer = prod.blobs.get('amlops/champions/m.json')!;
    prod.put('amlops/champions/m.json', Buffer.from(pointer.bytes.toString().replace('/resourceGroups/', '/resourcegroups/')));
    assert.equal(await promote(world.ports(prod, prod), '1', { runId: '2' }), 'done', 'other bytes are another champion');
    assert.equal(tag(), 'true');
    assert.equal(settled(prod, 'm').records, 2);
  });

  it('promotes nothing that is archived, on either side; a rollback says it and goes on', async () => {
    const world = new MemoryWorld();
    const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
    dev.seed('m', '1', files).archived = true;
    dev.seed('m', '2', { a: 'b' });
    await refuses(promote(world.ports(dev, prod), '1'), 'ModelArchived');
    assert.equal(prod.blobs.size + prod.models.size, 0);
    dev.seed('m', '3', { a: 'c' }).archived = true;
    assert.equal((await planPromotion(request('latest'), world.ports(dev, prod))).plan.model.version, '2', 'latest in use');
    dev.models.get('m:1')!.archived = false;
    await promote(world.ports(dev, prod), '1', { runId: '1' });
    await promote(world.ports(dev, prod), '2', { runId: '2' });
    prod.models.get('m:1')!.archived = true;
    await refuses(promote(world.ports(dev, prod), '1', { runId: '3' }), 'ModelArchived');
    const back = await planRollback({ targetName: 'm' }, world.ports(prod, prod));
    assert.match(back.notes.join(), /m:1 is archived/);
    assert.equal(await finish(back, world.ports(prod, prod), { runId: '3' }), 'done');
    assert.equal(champion(prod), 'models/m/versions/1');
  });

  it('a record is completed by its own run only, a share by any; only what never moved the champion is abandoned', async () => {
    const world = new MemoryWorld();
    const [dev, prod, shared] = [world.workspace('dev'), world.workspace('prod'), world.registry('shared')];
    for (const version of ['1', '2']) dev.seed('m', version, { a: version });
    const predicate = (place: MemoryPlace, number: number) =>
      (JSON.parse(place.blobs.get(`amlops/records/m/00000${number}.json`)!.bytes.toString()) as { predicate: Predicate })
        .predicate;
    await promote(world.ports(dev, prod), '1', { runId: '1' });
    const planned = await planPromotion(request('2', { runId: '2' }), world.ports(dev, prod));
    const cutOff = (organization: string) =>
      applyPlan(planned, world.ports(dev, prod), {
        run: { ...run('2'), organization },
        approvals: none,
        onRejected: 'fail',
        requireApproval: false,
        announce: () => Promise.reject(new Crash('before the pointer moves')),
      });
    for (const organization of ['one', 'one', 'two']) await assert.rejects(cutOff(organization), Crash);
    assert.equal(settled(prod, 'm').records, 3, 'run 2 of another organization is another run');
    assert.deepEqual(predicate(prod, 2).abandons, [], 'the record of the champion is none that was abandoned');
    assert.deepEqual(
      predicate(prod, 3).abandons.map(({ number }) => number),
      [2],
    );
    const share = await planPromotion(request('1', { runId: '5' }), world.ports(dev, shared));
    for (const runId of ['5', '6'])
      await applyPlan(share, world.ports(dev, shared), {
        run: run(runId),
        approvals: none,
        onRejected: 'fail',
        requireApproval: false,
      });
    assert.equal(settled(dev, 'm').records, 1);
  });

  it('a plan does not see its own steps, and a record belongs to its plan', async () => {
    const world = new MemoryWorld();
    const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
    dev.seed('m', '1', files, { accuracy: 1 });
    const cutOff = (planned: Planned, ports: PromotionPorts, runId: string) =>
      assert.rejects(
        applyPlan(planned, ports, {
          run: run(runId),
          approvals: none,
          onRejected: 'fail',
          requireApproval: false,
          announce: () => Promise.reject(new Crash('before the pointer moves')),
        }),
        Crash,
      );
    const gate = 'model.name == "m"';
    const inPlace = () => planPromotion(request('1', { gate, runId: '1' }), world.ports(dev, dev));
    const first = await inPlace();
    await cutOff(first, world.ports(dev, dev), '1');
    assert.deepEqual(Object.keys(dev.models.get('m:1')!.tags), ['amlops.champion']);
    assert.equal((await inPlace()).planDigest, first.planDigest, 'tags and records of its own are no change of the world');
    const copy = await planPromotion(request('1', { gate, runId: '2' }), world.ports(dev, prod));
    assert.deepEqual(copy.plan.tags, {});
    const dies: Schedule = { write: () => (prod.models.size > 0 ? 'dieBefore' : 'ok'), pause: () => Promise.resolve() };
    await cutOff(copy, world.ports(dev, prod, dies), '2');
    assert.equal(prod.models.get('m:1')!.tags['amlops.champion'], undefined, 'whoever is champion there is none here');
    await cutOff(copy, world.ports(dev, prod), '2');
    await promote(world.ports(dev, prod), '1', { runId: '2' });
    assert.equal(settled(prod, 'm').records, 2, 'another gate is another plan');
  });

  it('the loser of a race puts the tags right; a rollback may be older; who is latest is somebody else', async () => {
    const world = new MemoryWorld();
    const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
    for (const [version, accuracy] of Object.entries({ 1: 0.8, 2: 0.9 })) dev.seed('m', version, { a: version }, { accuracy });
    const plans = await Promise.all(
      ['1', '2'].map((version) => planPromotion(request(version, { runId: version }), world.ports(dev, dev))),
    );
    const apply = (index: number) => finish(plans[index]!, world.ports(dev, dev), { runId: String(index + 1) });
    await apply(1);
    await refuses(apply(0), 'ChampionMoved');
    assert.deepEqual(
      ['m:1', 'm:2'].map((name) => dev.models.get(name)!.tags['amlops.champion']),
      ['false', 'true'],
    );
    await promote(world.ports(dev, prod), '1', { runId: '7' });
    await promote(world.ports(dev, prod), '2', { runId: '9' });
    assert.equal(await rollback(world.ports(prod, prod), { runId: '3' }), 'done');
    const newest = () => (JSON.parse(prod.blobs.get('amlops/champions/m.json')!.bytes.toString()) as Pointer).newestRun;
    assert.deepEqual(newest(), { organization: 'org', runId: '9' }, 'run 8 stays stale');
    const elsewhere = { ...run('4'), organization: 'else' };
    const again = await planPromotion({ ...request('2'), run: elsewhere }, world.ports(dev, prod));
    await applyPlan(again, world.ports(dev, prod), {
      run: elsewhere,
      approvals: none,
      onRejected: 'fail',
      requireApproval: false,
    });
    assert.deepEqual(newest(), { organization: 'else', runId: '4' }, 'numbers of two organizations are not compared');
    const latest = await planPromotion(
      request('2', { gate: 'accuracy > champion.accuracy', champion: 'latest', runId: '11' }),
      world.ports(dev, dev),
    );
    assert.match(latest.plan.gate!.facts.champion!.label, /m:1$/);
  });

  it('a share vouches for its own registry, and is no promotion that was abandoned', async () => {
    const world = new MemoryWorld();
    const [dev, shared, other] = [world.workspace('dev'), world.registry('shared'), world.registry('other')];
    dev.seed('m', '1', files);
    await promote(world.ports(dev, shared), '1', { runId: '1' });
    other.seed('m', '1', files);
    assert.equal(await promote(world.ports(dev, other), '1', { runId: '2' }), 'done', 'its record was missing');
    await promote(world.ports(dev, dev), '1', { runId: '3' });
    const last = JSON.parse(dev.blobs.get('amlops/records/m/000003.json')!.bytes.toString()) as { predicate: Predicate };
    assert.deepEqual(last.predicate.abandons, []);
  });

  it('does not guess which of two places a number was meant of, and goes back step by step', async () => {
    const world = new MemoryWorld();
    const [dev, prod, shared] = [world.workspace('dev'), world.workspace('prod'), world.registry('shared')];
    dev.seed('m', '1', files);
    dev.seed('m', '2', { ...files, 'model.pkl': 'other' });
    await promote(world.ports(dev, shared), '1', { runId: '1' });
    await promote(world.ports(shared, prod), '1', { runId: '2' });
    await promote(world.ports(dev, prod), '2', { runId: '3' });
    const [registry, own] = [champion(prod), 'models/m/versions/1'];
    assert.equal(registry, own, 'the same number');
    const before = prod.blobs.size;
    await refuses(rollback(world.ports(prod, prod), { runId: '4', version: '1' }), 'AmbiguousVersion');
    assert.equal(prod.blobs.size, before);
    await rollback(world.ports(prod, prod), { runId: '4' });
    assert.match(settled(prod, 'm').champion!, /^azureml:\/\/registries\/shared\//);
    assert.equal(
      await rollback(world.ports(prod, prod), { runId: '5', version: '1' }),
      'unchanged',
      'the other one is no earlier champion any more',
    );
  });

  it('refuses bad input before anything is written', async () => {
    const world = new MemoryWorld();
    const [dev, prod, shared, other] = [
      world.workspace('dev'),
      world.workspace('prod'),
      world.registry('shared'),
      world.registry('other'),
    ];
    dev.seed('m', '1', files);
    dev.seed('m', '11', { a: 'x' });
    dev.seed('m', '9', { a: 'y' });
    await refuses(promote(world.ports(dev, prod), '7'), 'ModelNotFound');
    await refuses(promote(world.ports(shared, other), '1'), 'HopUnsupported');
    await refuses(promote(world.ports(dev, dev), '1', { targetName: 'n' }), 'InputInvalid');
    shared.seed('m', '1', { a: 'other bytes' });
    await refuses(promote(world.ports(dev, shared), '1'), 'VersionTaken');
    dev.put('jobs/m/1/model.pkl', Buffer.from('changed'));
    await refuses(promote(world.ports(dev, prod), '1'), 'DigestMismatch');
    assert.deepEqual([...prod.blobs.keys()], [], 'nothing stays of a copy that is not what it should be');
    assert.equal((await planPromotion(request('latest'), world.ports(dev, prod))).plan.model.version, '11');
  });
});

/** Death, lost replies and interleavings, from a seed. */
function faults(next: () => number, chance: number): Schedule {
  return {
    write: () => {
      const value = next();
      if (value > chance) return 'ok';
      return value < chance / 3 ? 'dieBefore' : value < (2 * chance) / 3 ? 'dieAfter' : 'loseReply';
    },
    pause: async () => {
      for (let turns = Math.floor(next() * 3); turns > 0; turns--) await new Promise((resolve) => setImmediate(resolve));
    },
  };
}

const seeds = process.env['AMLOPS_SOAK'] ? 500 : 25;

describe(`release: ${seeds} schedules of crashes, lost replies and races`, () => {
  it('ends old or new and nothing between; run again, it is done exactly once', async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const next = random(seed);
      const world = new MemoryWorld();
      const [dev, prod, shared] = [world.workspace('dev'), world.workspace('prod'), world.registry('shared')];
      for (const version of ['1', '2'])
        dev.seed(
          'm',
          version,
          Object.fromEntries(Array.from({ length: 1 + Math.floor(next() * 5) }, (_, i) => [`f${i}`, `${version}-${i}`])),
          { accuracy: 0.8 },
        );
      const hop = (['copy', 'share', 'use', 'inPlace'] as const)[seed % 4]!;
      if (hop === 'use') for (const version of ['1', '2']) await promote(world.ports(dev, shared), version, { runId: version });
      const home = hop === 'inPlace' || hop === 'share' ? dev : prod;
      const [from, to] = { copy: [dev, prod], share: [dev, shared], use: [shared, prod], inPlace: [dev, dev] }[hop] as [
        MemoryPlace,
        MemoryPlace,
      ];
      await promote(world.ports(from, to), '1', { runId: '8' });
      const before = settled(home, 'm');
      const schedule = faults(next, 0.25);
      const options = { runId: '9', gate: 'accuracy >= champion.accuracy', approvals: approved, requireApproval: true };
      const where = `seed ${seed}, ${hop}`;
      let attempt = 0;
      for (let outcome = ''; outcome === '';) {
        assert.ok(++attempt < 200, where);
        try {
          outcome = await promote(world.ports(from, to, schedule), '2', { ...options, attempt });
        } catch (error) {
          if (!(error instanceof Crash)) throw new Error(`${where}: ${String(error)}`, { cause: error });
          if (settled(home, 'm').champion !== before.champion) break; // it died after the last write
        }
      }
      for (const place of [dev, prod, shared]) place.writes = [];
      assert.equal(await promote(world.ports(from, to), '2', options), 'unchanged', where);
      assert.deepEqual(
        [dev, prod, shared].flatMap((place) => place.writes),
        [],
        where,
      );
      const after = settled(home, 'm');
      assert.deepEqual(after.problems, [], where);
      assert.equal(after.records, before.records + 1, `${where}: one record`);
      if (hop !== 'share') assert.notEqual(after.champion, before.champion, where);
      const versions = [...to.models.values()].filter(
        (model) => model.properties['amlops.digest'] === dev.models.get('m:2')!.properties['amlops.digest'],
      );
      assert.equal(versions.length, hop === 'use' ? 0 : 1, `${where}: one version`);
      const uris = [...to.models.values()].map((model) => model.uri);
      const orphans = [...to.blobs.keys()].filter(
        (name) =>
          !name.startsWith('amlops/records/') &&
          !name.startsWith('amlops/champions/') &&
          !uris.some((uri) => name.startsWith(uri)),
      );
      assert.deepEqual(orphans, [], where);
      const marked = [...home.models.values()].filter((model) => model.tags['amlops.champion'] === 'true');
      if (hop === 'copy' || hop === 'inPlace')
        assert.deepEqual(
          marked.map((model) => model.id),
          [after.champion],
          where,
        );
    }
  });

  it('lets exactly one of several promotions at once win, and leaves a chain that verifies', async () => {
    for (let seed = 1; seed <= seeds; seed++) {
      const next = random(seed + 7777);
      const world = new MemoryWorld();
      const [dev, prod] = [world.workspace('dev'), world.workspace('prod')];
      for (const version of ['1', '2', '3']) dev.seed('m', version, { a: version });
      const racers = await Promise.all(
        ['1', '2', '3'].map((version) => planPromotion(request(version, { runId: `1${version}` }), world.ports(dev, prod))),
      );
      const ends = await Promise.allSettled(
        racers.map((planned, index) => {
          const schedule = faults(next, seed % 2 ? 0 : 0.1);
          return finish(planned, world.ports(dev, prod, schedule), { runId: `1${index + 1}` });
        }),
      );
      const where = `seed ${seed}: ${ends.map((end) => (end.status === 'fulfilled' ? end.value : String(end.reason))).join(' | ')}`;
      assert.ok(ends.filter((end) => end.status === 'fulfilled').length <= 1, where);
      for (const end of ends)
        if (end.status === 'rejected') {
          const { reason } = end as { reason: unknown };
          assert.ok(
            reason instanceof Crash || (reason instanceof Refusal && ['ChampionMoved', 'VersionTaken'].includes(reason.code)),
            where,
          );
        }
      assert.equal(
        await promote(world.ports(dev, prod), '3', { runId: '20' }).then(
          (outcome) => outcome === 'done' || outcome === 'unchanged',
        ),
        true,
      );
      assert.deepEqual(settled(prod, 'm').problems, [], where);
      const stack = await planRollback({ targetName: 'm' }, world.ports(dev, prod)).catch((error: unknown) => error);
      assert.ok(stack instanceof Refusal ? stack.code === 'NoEarlierChampion' : stack, where);
    }
  });
});
