import assert from 'node:assert/strict';
import { canonicalJson, sha256Hex } from '../../src/release/canonical.js';
import { modelDigest } from '../../src/release/digest.js';
import { compileGate, judge } from '../../src/release/gate.js';
import { cutValue, evaluationFingerprint, metricsEntries, metricsOf, stableName } from '../../src/release/lineage.js';
import { planPromotion } from '../../src/release/plan.js';
import type { RunFacts } from '../../src/release/ports.js';
import { applyPlan } from '../../src/release/promote.js';
import { planDigestOf, type Pointer, type PromotionRecord } from '../../src/release/record.js';
import { verifyAgainstService, verifyRecords } from '../../src/release/verify.js';
import { recordsOf } from '../../src/release/lineage.js';
import { MemoryWorld, random } from '../support/memory-release.js';

const run = (runId: string) => ({ collectionUri: 'https://dev.azure.com/org/', runId, stageAttempt: 1 }) as RunFacts;

/** Three promotions in place; the files as `amlops records` fetches them. */
async function chain() {
  const world = new MemoryWorld();
  const prod = world.workspace('prod');
  for (const version of ['1', '2', '3']) {
    prod.seed('m', version, { 'model.pkl': version, 'é/a': 'x' }, { accuracy: 0.7 + Number(version) / 10 });
    const ports = world.ports(prod, prod);
    const planned = await planPromotion(
      {
        name: 'm',
        version,
        targetName: 'm',
        gate: compileGate('accuracy >= champion.accuracy # better'),
        onNoChampion: 'pass',
        champion: 'champion',
        run: run(version),
      },
      ports,
    );
    await applyPlan(planned, ports, {
      run: run(version),
      approvals: { readable: true, approvals: [] },
      onRejected: 'fail',
      requireApproval: false,
    });
  }
  const folder = 'amlops/records/m/';
  const files = new Map(
    [...prod.blobs].filter(([name]) => name.startsWith(folder)).map(([name, { bytes }]) => [name.slice(folder.length), bytes]),
  );
  const pointer = JSON.parse(prod.blobs.get('amlops/champions/m.json')!.bytes.toString()) as Pointer;
  const vouched = new Map([...prod.models.values()].map((model) => [model.id.toLowerCase(), recordsOf(model)]));
  return { files, service: { pointer, vouched } };
}
const first = (files: Map<string, Buffer>) => verifyRecords(files).problems[0];

/** Rewrites a record and everything after it so that the files agree with each other again. */
function rewrite(files: Map<string, Buffer>, number: number, change: (record: PromotionRecord) => void): Map<string, Buffer> {
  const out = new Map(files);
  for (let n = number; files.has(`00000${n}.json`); n++) {
    const record = JSON.parse(out.get(`00000${n}.json`)!.toString()) as PromotionRecord;
    if (n === number) change(record);
    else record.predicate.previousRecord!.sha256 = sha256Hex(out.get(`00000${n - 1}.json`)!);
    const bytes = Buffer.from(canonicalJson(record));
    out.set(`00000${n}.json`, bytes).set(`00000${n}.json.sha256`, Buffer.from(`${sha256Hex(bytes)}  00000${n}.json\n`));
  }
  return out;
}

describe('release: records', function () {
  this.timeout(120_000);
  it('verify as written, offline and against the service', async () => {
    const { files, service } = await chain();
    const verified = verifyRecords(files);
    assert.deepEqual(verified.problems, []);
    assert.equal(verified.records.length, 3);
    assert.deepEqual(verifyAgainstService(verified, service), []);
    const one = new Map([...files].filter(([name]) => name.startsWith('000002')));
    assert.deepEqual(verifyRecords(one, { whole: false }).problems, []);
  });

  it('any single bit that changes is found: every bit of a chain in a soak, else every byte of its small files', async () => {
    const { files } = await chain();
    const soak = Boolean(process.env['AMLOPS_SOAK']);
    const next = random(4);
    for (const [name, bytes] of files) {
      const number = name.slice(0, 6);
      // Of one record and its file, as `amlops verify FILE` sees it; what holds for it holds in the chain.
      const pair = [...files].filter(([key]) => key.startsWith(number));
      const all = Array.from(bytes, (_, at) => at);
      const places = soak || bytes.length < 200 ? all : Array.from({ length: 30 }, () => Math.floor(next() * bytes.length));
      for (const at of places)
        for (const bit of soak ? [0, 1, 2, 3, 4, 5, 6, 7] : [Math.floor(next() * 8)]) {
          const changed = Buffer.from(bytes);
          changed[at] = changed[at]! ^ (1 << bit);
          const [problem] = verifyRecords(new Map(pair).set(name, changed), { whole: false }).problems;
          assert.equal(problem?.file.slice(0, 6), number, `${name} byte ${at} bit ${bit}`);
        }
      const changed = Buffer.from(bytes);
      changed[bytes.length - 1]! ^= 1;
      assert.equal(first(new Map(files).set(name, changed))?.file.slice(0, 6), number);
    }
  });

  it('names the first thing that is wrong, also when the file hashes were made to fit', async () => {
    const { files, service } = await chain();
    const without = (name: string) => new Map([...files].filter(([key]) => key !== name));
    assert.match(first(without('000002.json.sha256'))!.message, /is missing/);
    assert.deepEqual(first(without('000001.json')), { file: '000001.json', message: 'is missing, only its .sha256 is there' });
    const gap = new Map([...files].filter(([key]) => !key.startsWith('000002')));
    assert.deepEqual(first(gap), { file: '000002.json', message: 'is missing' });
    const wrong = (number: number, change: (record: PromotionRecord) => void) => first(rewrite(files, number, change))?.message;
    assert.match(
      wrong(2, (record) => (record.subject[0]!.annotations.size += 1))!,
      /wrong digest/,
    );
    assert.match(
      wrong(2, (record) => (record.predicate.planDigest = `sha256:${'0'.repeat(64)}`))!,
      /wrong planDigest/,
    );
    assert.match(
      wrong(3, (record) => (record.predicate.gate!.verdict.rows[0]!.margin = 9))!,
      /wrong planDigest/,
    );
    assert.match(
      wrong(1, (record) => (record.predicate.requireApproval = true))!,
      /needed an approval/,
    );
    const facts = rewrite(files, 2, (record) => (record.predicate.build.requestedBy = 'somebody else'));
    const verified = verifyRecords(facts);
    assert.match(
      verified.problems[0]!.message,
      /speaks of record 2/,
      'the third names the second as the champion it took over from',
    );
    const lastOnly = verifyRecords(rewrite(files, 3, (record) => (record.predicate.build.requestedBy = 'somebody else')));
    assert.deepEqual(lastOnly.problems, [], 'rewritten whole, the files alone cannot tell');
    assert.match(verifyAgainstService(lastOnly, service)[0]!.message, /vouches for sha256:/);
    const cut = verifyRecords(new Map([...files].filter(([key]) => !key.startsWith('000003'))));
    assert.deepEqual(cut.problems, []);
    assert.match(verifyAgainstService(cut, service)[0]!.message, /is missing: .* vouches for it/);
    // Extra, renamed and reordered files; whatever their hashes say.
    const of = (name: string) => files.get(name)!;
    assert.deepEqual(first(new Map(files).set('0000001.json', of('000001.json'))), {
      file: '0000001.json',
      message: 'is not a file of a record chain',
    });
    assert.match(first(new Map(files).set('notes.txt', Buffer.from('x')))!.message, /not a file of a record chain/);
    const renamed = new Map([...files].filter(([name]) => !name.startsWith('000003')));
    renamed.set('000004.json', of('000003.json')).set('000004.json.sha256', of('000003.json.sha256'));
    assert.deepEqual(first(renamed), { file: '000003.json', message: 'is missing' });
    const sha = (name: string, bytes: Buffer) => Buffer.from(`${sha256Hex(bytes)}  ${name}\n`);
    const swapped = new Map(files).set('000002.json', of('000003.json')).set('000003.json', of('000002.json'));
    swapped.set('000002.json.sha256', sha('000002.json', of('000003.json')));
    swapped.set('000003.json.sha256', sha('000003.json', of('000002.json')));
    assert.match(first(swapped)!.message, /says it is record 3/);
    // A record that was put behind the others, pointer and all, by somebody who may write blobs but no versions.
    const forged = rewrite(
      files,
      3,
      (record) => (record.predicate.targetModel.id = record.predicate.targetModel.id.replace(/3$/, '9')),
    );
    const pointed = structuredClone(service.pointer);
    pointed.champion.record.sha256 = sha256Hex(forged.get('000003.json')!);
    const against = verifyAgainstService(verifyRecords(forged), { ...service, pointer: pointed });
    assert.match(against[0]!.message, /versions\/9 the champion, which is not there/);
    assert.match(
      verifyAgainstService(verifyRecords(forged), { ...service, pointer: undefined })[0]!.message,
      /versions\/3 vouches for sha256:/,
    );
    assert.equal(first(new Map([['000001.json', Buffer.from('{"a":1}')]]))?.message, 'is missing');
    assert.ok(verifyRecords(new Map([['000001.json', Buffer.from('null')]])).problems.length >= 2);
  });
});

describe('release: records that were written anew so that all hashes fit', () => {
  /** What is said of record 3 after a change, its plan digest made to fit. */
  async function said(change: (predicate: PromotionRecord['predicate']) => void): Promise<string> {
    const { files } = await chain();
    const forged = rewrite(files, 3, ({ predicate }) => {
      change(predicate);
      predicate.planDigest = planDigestOf(predicate);
    });
    return verifyRecords(forged)
      .problems.map(({ message }) => message)
      .join('\n');
  }

  it('say when the own gate rejects, with arithmetic that is right', async () => {
    const message = await said((predicate) => {
      const gate = predicate.gate!;
      gate.facts.metrics = { accuracy: 0 };
      gate.verdict = judge(compileGate(gate.text), gate.facts, { onNoChampion: gate.onNoChampion });
    });
    assert.match(message, /its own gate rejects/);
    assert.doesNotMatch(message, /arithmetic/);
  });

  it('say when the only approval was bypassed, or never given', async () => {
    const approval = { approvalId: 'a', assigned: 'A', actual: 'B', status: 'approved', comment: '', when: '', bypassed: false };
    const given = (change: Partial<typeof approval>) =>
      said((predicate) => {
        predicate.requireApproval = true;
        predicate.approvals = [{ ...approval, ...change }];
      });
    assert.equal(await given({}), '');
    assert.match(await given({ bypassed: true }), /needed an approval/);
    assert.match(await given({ status: 'rejected' }), /needed an approval/);
  });

  it('say when it is other JSON, and when the champion pointer names another hash', async () => {
    const { files, service } = await chain();
    const loose = Buffer.from(JSON.stringify(JSON.parse(files.get('000003.json')!.toString()), null, 1));
    const sha = Buffer.from(`${sha256Hex(loose)}  000003.json\n`);
    const problems = verifyRecords(new Map(files).set('000003.json', loose).set('000003.json.sha256', sha)).problems;
    assert.match(problems[0]!.message, /not canonical JSON/);
    const pointer = structuredClone(service.pointer);
    pointer.champion.record.sha256 = '0'.repeat(64);
    const against = verifyAgainstService(verifyRecords(files), { ...service, pointer });
    assert.match(against.map(({ message }) => message).join('\n'), /does not fit the champion pointer/);
  });
});

describe('release: digest and lineage', () => {
  it('digests lines sorted by UTF-8 bytes', () => {
    const file = (path: string) => ({ path, size: 1, sha256: sha256Hex(path) });
    const [a, b, c] = ['a/b', 'a.b', '\u{10000}'].map(file) as [
      ReturnType<typeof file>,
      ReturnType<typeof file>,
      ReturnType<typeof file>,
    ];
    const d = file('\uffff');
    const expected = sha256Hex([b, a, d, c].map(({ path, sha256 }) => `${path}\t1\t${sha256}\n`).join(''));
    assert.equal(modelDigest([a, b, c, d]), `sha256:${expected}`);
    assert.throws(() => modelDigest([]), /no files/);
    for (const path of ['../a', '/a', 'a//b', 'a\nb', 'a\\b', 'a/./b', '\ud800'])
      assert.throws(() => modelDigest([file(path)]), /impossible path/);
    assert.throws(() => modelDigest([a, a]), /two files named/);
  });

  it('writes canonical JSON', () => {
    assert.equal(
      canonicalJson({ b: 1e21, a: [1.0, -0, 1e-7, 'é\u2028"'], '\u20ac': null, $: undefined }),
      '{"a":[1,0,1e-7,"é\u2028\\""],"b":1e+21,"€":null}',
    );
    assert.throws(() => canonicalJson({ a: NaN }), /cannot be recorded/);
  });

  it('cuts long values by rule and keeps snapshots whole', () => {
    const long = 'x'.repeat(300);
    assert.equal(cutValue(long).length, 256);
    assert.notEqual(cutValue(`${long}a`), cutValue(`${long}b`));
    const metrics = Object.fromEntries(Array.from({ length: 500 }, (_, i) => [`metric-${i}`, i / 7]));
    const model = { id: '', name: 'm', version: '1', type: '', uri: '', tags: metricsEntries(metrics), properties: {} };
    assert.ok(Object.keys(model.tags).length > 1);
    assert.deepEqual(metricsOf(model), { metrics, from: 'tags of m:1' });
  });

  it('knows evaluation data by name and version, wherever it lies', () => {
    const asset = (workspace: string, version: number) =>
      `azureml:/subscriptions/s/resourceGroups/r/providers/x/workspaces/${workspace}/data/held-out/versions/${version}`;
    assert.equal(stableName(asset('dev', 1)), 'held-out:1');
    assert.equal(
      evaluationFingerprint({ test_data: asset('dev', 1), train: 'anything' }),
      evaluationFingerprint({ test_data: asset('prod', 1) }),
    );
    assert.notEqual(evaluationFingerprint({ testData: asset('dev', 1) }), evaluationFingerprint({ testData: asset('dev', 2) }));
    assert.equal(evaluationFingerprint({ test: 'azureml://datastores/d/paths/x' }), undefined);
    assert.equal(evaluationFingerprint({ latest_data: asset('dev', 1) }), undefined, 'latest is no test');
  });
});
