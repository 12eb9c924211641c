import assert from 'node:assert/strict';
import fc from 'fast-check';
import { compileGate, judge, missingMetrics, parseMetrics, factsToKeep, type GateFacts } from '../../src/release/gate.js';
import { Refusal } from '../../src/release/refusal.js';
import { verdictJUnit, verdictLines, verdictMarkdown } from '../../src/release/verdict-report.js';

const facts = (metrics: GateFacts['metrics'], champion?: GateFacts['metrics'], extra: Partial<GateFacts> = {}): GateFacts => ({
  metrics,
  metricsFrom: 'job j',
  champion: champion ? { label: 'champion m:1', metrics: champion, metricsFrom: 'properties of m:1' } : null,
  model: { name: 'm', version: '2', tags: { team: 'a' } },
  job: { name: 'j', status: 'Completed' },
  build: { runId: '7', branch: 'refs/heads/main' },
  ...extra,
});
const verdict = (gate: string, given: GateFacts, onNoChampion: 'pass' | 'reject' = 'pass') =>
  judge(compileGate(gate), given, { onNoChampion });
const row = (gate: string, given: GateFacts, onNoChampion: 'pass' | 'reject' = 'pass') =>
  verdict(gate, given, onNoChampion).rows[0]!;
const refused = (gate: string): Refusal => {
  try {
    compileGate(gate);
  } catch (error) {
    assert.ok(error instanceof Refusal, String(error));
    return error;
  }
  return assert.fail(`${gate} was taken`);
};

describe('release: gates', function () {
  this.timeout(60_000);
  it('judges lines with names, margins and the champion', () => {
    const result = verdict(
      'accuracy >= 0.80   # floor\n\n# only a comment\naccuracy >= champion.accuracy - 0.005 # not worse\nmetrics["val/loss"] <= 0.4',
      facts({ accuracy: 0.9, 'val/loss': 0.41 }, { accuracy: 0.92 }),
    );
    assert.equal(result.verdict, 'rejected');
    assert.equal(result.champion, 'champion m:1');
    assert.deepEqual(
      result.rows.map(({ name, verdict, margin }) => [name, verdict, Number(margin?.toFixed(9))]),
      [
        ['floor', 'passed', 0.1],
        ['not worse', 'rejected', -0.015],
        ['metrics["val/loss"] <= 0.4', 'rejected', -0.01],
      ],
    );
    const table = verdictLines(result).join('\n');
    assert.match(table, /not worse: accuracy >= champion.accuracy - 0.005\s+0.9\s+0.92\s+-0.015\s+rejected/);
    const junit = verdictJUnit(result, 'gate of m');
    assert.match(junit, /tests="3" failures="2"/);
    assert.match(junit, /name="not worse" time="0">\n\s+<failure type="Rejected" message="missed by 0.015">/);
  });

  it('takes a YAML or JSON mapping, and knows a line from a mapping', () => {
    const names = (gate: string) => compileGate(gate).conditions.map(({ name, line, column }) => `${name}@${line}:${column}`);
    assert.deepEqual(names('floor: accuracy >= 0.8\n"not worse": "accuracy >= champion.accuracy" # why\n'), [
      'floor@1:8',
      'not worse@2:15',
    ]);
    assert.deepEqual(names('{"floor": "accuracy >= 0.8"}'), ['floor@1:12']);
    assert.deepEqual(names('long: >-\n  a > 1 &&\n  b > 1'), ['long@2:3']);
    assert.deepEqual(names('job.status == "Completed" ? a > 1 : b > 1'), ['job.status == "Completed" ? a > 1 : b > 1@1:1']);
    assert.deepEqual(names('a > 1 || model.tags["x # y"] == "z" # n'), ['n@1:1']);
  });

  it('reads integer literals as doubles, in arithmetic too', () => {
    assert.equal(row('accuracy * 100 >= 90 - 1', facts({ accuracy: 0.9 })).verdict, 'passed');
    assert.equal(row('1 / 2 == 0.5', facts({})).verdict, 'passed');
    assert.equal(row('size(metrics) == 2 && abs(-a) > 0x1', facts({ a: 2, b: 1 })).verdict, 'passed');
    assert.equal(row('[1, 2, 3].exists(x, x > a) && [5, 6][1] == 6', facts({ a: 2 })).verdict, 'passed');
  });

  it('lets reserved names win, and still reaches metrics of the same name', () => {
    const given = facts({ model: 3, size: 4, int: 5, max: 2, in: 1 });
    assert.equal(row('metrics["model"] == 3 && model.name == "m"', given).verdict, 'passed');
    assert.equal(row('size >= 4 && max == 2', given).verdict, 'passed');
    assert.equal(row('metrics["int"] == 5 && metrics["in"] == 1', given).verdict, 'passed');
    assert.match(refused('int > 4').message, /`int` is a word of CEL; a metric of that name is written metrics\["int"\]/);
    assert.match(refused('accuracy(1) > 2').message, /A metric is not called/);
  });

  it('rejects what is missing, not a number, NaN or infinite, and says so', () => {
    const given = facts({ nan: 'NaN', inf: 'Infinity', text: 'high', Accuracy: 1, ok: 1 });
    assert.match(
      row('accuracy > 0', given).note!,
      /the candidate has no metric "accuracy" \(read from job j\); it has "Accuracy"/,
    );
    assert.match(
      row('f1 > 0', facts({ r2: 1, 'val/loss': 1 })).note!,
      /no metric "f1" \(read from job j\); it has r2, val\/loss$/,
    );
    const many = Object.fromEntries([...Array(15).keys()].map((n) => [`m${String(n).padStart(2, '0')}`, n]));
    assert.match(row('f1 > 0', facts(many)).note!, /; it has m00, .*, m11 and 3 more$/);
    assert.match(row('f1 > 0', facts({})).note!, /\(read from job j\)$/);
    assert.match(row('nan > 0 || true', given).note!, /"nan" of the candidate is NaN/);
    assert.match(row('inf > 0', given).note!, /"inf" of the candidate is infinite/);
    assert.match(row('text > 0', given).note!, /"text" of the candidate is not a number: "high"/);
    assert.match(row('ok / (ok - 1) > 0', given).note!, /its arithmetic gives Infinity/);
    assert.match(row('ok > champion.ok', facts({ ok: 1 }, { other: 1 })).note!, /champion m:1 has no metric "ok"/);
    for (const gate of ['accuracy > 0', 'nan > 0 || true', 'inf > 0', 'text > 0', 'ok / (ok - 1) > 0'])
      assert.equal(row(gate, given).verdict, 'rejected', gate);
    assert.equal(row('has(metrics.nope) ? metrics.nope > 1 : ok == 1', given).verdict, 'passed');
    assert.equal(row('!("nope" in metrics) && !has(nope)', given).verdict, 'passed');
    assert.deepEqual(missingMetrics(compileGate('a > 1 && b > 1'), { b: 1 }), ['a']);
  });

  it('has a rule for no champion, and for one that was judged on other data', () => {
    const gate = 'accuracy >= champion.accuracy';
    assert.deepEqual(
      [row(gate, facts({ accuracy: 1 })).verdict, row(gate, facts({ accuracy: 1 })).note],
      ['passed', 'no champion yet'],
    );
    assert.equal(row(gate, facts({ accuracy: 1 }), 'reject').verdict, 'rejected');
    assert.equal(row(`accuracy > 2 && ${gate}`, facts({ accuracy: 1 })).verdict, 'rejected', 'it is false without the champion');
    assert.match(row(gate, facts({}), 'pass').note!, /no metric/, 'a missing metric rejects all the same');
    const other = facts({ accuracy: 1 }, { accuracy: 0.5 }, { evaluationData: { candidate: 'a', champion: 'b' } });
    assert.equal(row('accuracy > 0.5', other).verdict, 'passed');
    assert.match(row(gate, other).note!, /not comparable/);
    assert.equal(verdict(gate, other).notComparable, true);
    assert.equal(row(gate, { ...other, evaluationData: { candidate: 'a' } }).verdict, 'passed', 'unknown is not known to differ');
  });

  it('says where a gate does not parse: name, line, column', () => {
    const error = refused('a > 1 # one\n  b >= # two');
    assert.deepEqual([error.details.line, error.details.column, error.details.input], [2, 7, 'gate']);
    assert.match(error.message, /The condition "two" \(line 2, column 7\): it does not parse/);
    const mapped = refused('one: a > 1\ntwo: b ) 1');
    assert.deepEqual([mapped.details.line, mapped.details.column], [2, 8]);
    assert.match(refused('a - 1').message, /gives a double, not true or false/);
    assert.match(refused('"a" < 1').message, /no such overload: string < double/);
    assert.match(refused('a > 1e999').message, /too large/);
    assert.match(refused('one: [a, b]').message, /"one" must be a text/);
    assert.match(refused('one: a > 1\none: a > 2').message, /unique/);
    assert.match(refused('  # nothing here').message, /no condition/);
    assert.equal(compileGate('').conditions.length, 0);
    assert.equal(judge(compileGate(undefined), facts({}), { onNoChampion: 'pass' }).verdict, 'not judged');
  });

  it('reads metrics files with what Python writes', () => {
    assert.deepEqual(parseMetrics('{"a": 1, "NaN": NaN, "b": -Infinity, "c": "x", "d": null, "__proto__": 2}', 'm.json'), {
      a: 1,
      NaN: 'NaN',
      b: '-Infinity',
      c: 'x',
      d: 'null',
      ['__proto__']: 2,
    });
    assert.throws(() => parseMetrics('[1]', 'm.json'), /m.json must be an object/);
    assert.throws(() => parseMetrics('{', 'm.json'), /m.json is not JSON/);
    assert.throws(() => parseMetrics('no\njson', 'm.json'), /^Refusal: m.json is not JSON: [^\n]+$/);
    assert.throws(() => parseMetrics(`"${'\\\\'.repeat(1_000_000)}`, 'm.json'), /m.json is not JSON/);
    assert.deepEqual(parseMetrics('{"a\\"NaN": NaN, "\\\\": "NaN"}', 'm.json'), { 'a"NaN': 'NaN', '\\': 'NaN' });
  });

  it('property: the margin agrees with the verdict, and kept facts judge the same', () => {
    const double = fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e6, max: 1e6 });
    fc.assert(
      fc.property(double, double, fc.constantFrom('<', '<=', '>', '>=', '==', '!='), (a, b, operator) => {
        const gate = compileGate(`a ${operator} champion.a`);
        const given = facts({ a, unused: 3 }, { a: b, unused: 4 });
        const result = judge(gate, given, { onNoChampion: 'pass' });
        const only = result.rows[0]!;
        const holds = operator.endsWith('=') && operator !== '!=' ? only.margin! >= 0 : only.margin! > 0;
        assert.equal(only.verdict === 'passed', holds);
        assert.deepEqual(judge(gate, factsToKeep(gate, given), { onNoChampion: 'pass' }), result);
      }),
      { numRuns: 200 },
    );
  });

  it('keeps markup of foreign names out of reports', () => {
    const result = verdict('metrics["<img src=x>|[a](b)"] > 1', facts({ '<img src=x>|[a](b)': 2 }));
    assert.doesNotMatch(verdictMarkdown(result), /<img|\]\(/);
    assert.doesNotMatch(verdictJUnit(result, 'a"b<c'), /<c|<img/);
  });

  it('ends conditions that would never end, and judges the rest', () => {
    const ten = '[1,1,1,1,1,1,1,1,1,1]';
    const bomb = 'abcdefghijkl'.split('').reduceRight((inner, name) => `${ten}.all(${name}, ${inner})`, 'true');
    const result = verdict(
      `accuracy > 0.5\n${bomb} # loops\n"${'a'.repeat(40)}!".matches("^(a+)+$") # backtracks\naccuracy < 1`,
      {
        ...facts({ accuracy: 0.9 }),
      },
    );
    assert.deepEqual(
      result.rows.map(({ verdict: said, note }) => [said, note]),
      [
        ['passed', undefined],
        ['rejected', 'it takes too long to evaluate'],
        ['rejected', 'it takes too long to evaluate'],
        ['passed', undefined],
      ],
    );
    const long = refused(`accuracy > 0${' && accuracy > 0'.repeat(700)}`);
    assert.match(long.message, /it is too large or too deep \(limit 2000\)/);
    assert.ok(long.message.length < 300, 'the condition is not repeated whole');
    assert.match(refused(`${'('.repeat(3000)}a${')'.repeat(3000)} > 0`).message, /too deep/);
    assert.equal(verdict(Array.from({ length: 400 }, (_, i) => `a > ${i}`).join('\n'), facts({ a: 399.5 })).verdict, 'passed');
  });

  it('knows metrics that are named like functions, and says how other names are written', () => {
    const named = facts({ size: 3, max: 2, has: 1, matches: 4, 'größe/µ': 5, 'a-b': 6, 'c.d': 7, 'val/loss': 8 });
    const gate = 'size >= 3\nmax > 1\nhas == 1\nmatches > 3\nmetrics["größe/µ"] > 4\nmetrics["a-b"] > 5\nmetrics["c.d"] > 6';
    assert.equal(verdict(gate, named).verdict, 'passed');
    assert.match(row('a-b > 1', named).note ?? '', /no metric "a" .*; write metrics\["a-b"\]$/);
    assert.match(row('val/loss > 1', named).note ?? '', /; write metrics\["val\/loss"\]$/);
    const dotted = refused('size > 1\nc.d > 1');
    assert.deepEqual([dotted.details.line, dotted.details.column], [2, 1]);
    assert.match(dotted.message, /written metrics\["c\.d"\]\.$/);
    assert.match(refused('a > champoin.a').message, /Did you mean champion\.a\?/);
    assert.match(refused('val.loss < 1').message, /metrics\["val\.loss"\]\.$/);
    assert.match(refused('size > champion.val.loss').message, /column 8\): .*written champion\["val\.loss"\]/);
    assert.equal(verdict('model.tags.team == "a"', named).verdict, 'passed');
  });
});
