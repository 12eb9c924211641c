/** The expression language: one small case a rule (sheet azure-pipelines-yaml 2.4 and its last section). */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { evaluate } from '../../../../local/pipeline/expressions/evaluate.js';
import {
  evaluateCondition,
  evaluateRuntime,
  type RuntimeContext,
  validateRuntime,
} from '../../../../local/pipeline/expressions/runtime.js';
import { ExpressionError, fromData, ObjectValue, toText, type Value } from '../../../../local/pipeline/expressions/values.js';

const data = fromData({
  Name: 'taxi',
  list: ['zero', 'first'],
  jobs: [{ id: 7, tags: ['a', 'b'] }, { title: 'x' }, { id: 9, tags: ['c'] }, 'text'],
  groups: [[{ id: 1 }, { id: 2 }], [{ id: 3 }]],
  map: { left: { id: 10 }, right: { id: 20 } },
});
const names = new Map<string, Value>([
  ['parameters', new ObjectValue([['data', data]], { foldCase: true, strict: true })],
  ['variables', new ObjectValue([['Build.Reason', 'Manual']], { foldCase: true })],
]);

function value(text: string): string {
  return toText(evaluate(text, { names }));
}

function message(text: string): string {
  try {
    evaluate(text, { names });
  } catch (error) {
    if (error instanceof ExpressionError) return error.message;
    throw error;
  }
  return 'it evaluated';
}

describe('expressions', () => {
  const values: [text: string, result: string][] = [
    // literals
    ["'it''s'", "it's"],
    ['.5', '0.5'],
    ['3.', '3'],
    ['-1.50', '-1.5'],
    ['TRUE', 'True'],
    ['1.2.3', '1.2.3'],
    ['1000000', '1000000'],
    ['0.0000001', '0.0000001'],
    // members
    ['parameters.DATA', 'Object'],
    ['parameters.data.name', ''],
    ["parameters.data['Name']", 'taxi'],
    ["parameters.data.list['1']", 'first'],
    ['parameters.data.list[1.9]', 'first'],
    ['parameters.data.list[-1]', ''],
    ['parameters.data.nope.deeper[0]', ''],
    ["join(',', parameters.data.jobs.*.id)", '7,9'],
    ["join(',', parameters.data.jobs.*.tags.*)", 'a,b,c'],
    ["join(',', parameters.data.groups.*.*.id)", '1,2,3'],
    ["join(',', parameters.data.map[*].id)", '10,20'],
    ["split('a,b', ',')[1]", 'b'],
    ["variables['build.reason']", 'Manual'],
    ['variables.missing', ''],
    // coercion: the right side takes the kind of the left
    ["eq(1, '1.0')", 'True'],
    ["eq('1', 1)", 'True'],
    ["eq(1000, '1,000')", 'True'],
    ["eq(1, 'x')", 'False'],
    ["ne(1, 'x')", 'True'],
    ["eq(true, 'false')", 'True'],
    ["eq('false', true)", 'False'],
    ["eq(variables.missing, '')", 'True'],
    ["eq('', variables.missing)", 'True'],
    ['eq(0, variables.missing)', 'True'],
    ["eq(1.2.0, '1.2.0')", 'True'],
    ["eq(1.2.0, '1.2')", 'False'],
    ["lt(1.2.0, '1.3')", 'True'],
    ['eq(1.2, 1.2.0)', 'False'],
    ['eq(parameters.data.map.left, parameters.data.map.left)', 'True'],
    ['eq(parameters.data.map.left, parameters.data.map.right)', 'False'],
    ["lt('a', 'B')", 'True'],
    ['lt(False, True)', 'True'],
    // laziness
    ["and(false, gt(1, 'abc'))", 'False'],
    ["or(true, gt(1, 'abc'))", 'True'],
    ["coalesce('', 'a', gt(1, 'abc'))", 'a'],
    ["in('a', 'A', gt(1, 'abc'))", 'True'],
    ["convertToJson(coalesce(variables.missing, ''))", 'null'],
    ["convertToJson('a\u2028b')", '"a\\u2028b"'],
    // functions
    ["contains('Training', 'RAIN')", 'True'],
    ["containsValue(parameters.data.list, 'FIRST')", 'True'],
    ["containsValue('taxi', 'taxi')", 'False'],
    ["replace('AaA', 'a', '$&')", 'A$&A'],
    ["replace('abc', '', 'x')", 'abc'],
    ["join('|', split('a,,b,', ','))", 'a||b|'],
    ["join('|', split('abc', ''))", 'abc'],
    ["join(',', 'scalar')", 'scalar'],
    ["join(',', parameters.data.jobs)", ',,,text'],
    ["format('{1}-{0}-{1} {{x}}', 'a', 'b')", 'b-a-b {x}'],
    ['length(parameters.data.map)', '2'],
    ["length('four')", '4'],
    ["iif(false, 'yes', 'no')", 'no'],
    ['xor(true, true)', 'False'],
    ["trim('  a b ')", 'a b'],
    ["convertToJson('a\"b')", '"a\\"b"'],
    ['convertToJson(parameters.data.list)', '[\n  "zero",\n  "first"\n]'],
  ];
  for (const [text, result] of values) {
    it(text, () => {
      if (result === 'Object') assert.ok(evaluate(text, { names }) instanceof ObjectValue);
      else assert.equal(value(text), result);
    });
  }

  const errors: [text: string, sentence: string][] = [
    ['', 'An expression was expected'],
    ['1e3 2', "Unrecognized value: '1e3'. Located at position 1 within expression: '1e3 2'."],
    ['1 2', "Unexpected symbol: '2'. Located at position 3 within expression: '1 2'."],
    ['nosuch 2', "Unexpected symbol: '2'. Located at position 8"],
    ['nosuch.a', "Unrecognized value: 'nosuch'. Located at position 1 within expression: 'nosuch.a'."],
    ['nosuch()', "Unrecognized value: 'nosuch'."],
    ['counter()', "Unrecognized value: 'counter'."],
    ['null', "Unrecognized value: 'null'."],
    ['"text"', `Unrecognized value: '"text"'.`],
    ["'open", "Unrecognized value: ''open'."],
    ['1.2.3.4.5', "Unrecognized value: '1.2.3.4.5'."],
    ['+1', "Unrecognized value: '+1'."],
    ['true && false', "Unexpected symbol: '&&'. Located at position 6"],
    ['eq(1, 2, 3)', "Unexpected symbol: ','. Located at position 8"],
    ['eq(1)', "Unexpected symbol: ')'. Located at position 5"],
    ['not()', "Unexpected symbol: ')'. Located at position 5"],
    ['eq', "Expected '(' to follow a function: 'eq'. Located at position 1"],
    ['eq(1, 2', "Unclosed function: 'eq'. Located at position 1"],
    ['variables[0', "Unclosed indexer: '['. Located at position 10"],
    ['variables[]', "Unexpected symbol: ']'. Located at position 11"],
    ['variables.', "Expected a property name to follow the dereference operator '.': '.'. Located at position 10"],
    ['variables.9a', "Unexpected symbol: '9a'. Located at position 11"],
    ['(1)', "Unexpected symbol: '('. Located at position 1"],
    ["lt(1, 'x')", "Unable to convert from String to Number. Value: 'x'"],
    ['lt(1.2.0, 2)', 'Unable to convert from Number to Version. Value: 2'],
    ['lower(parameters.data)', 'Unable to convert from Object to String. Value: Object'],
    ["contains(parameters.data.list, 'a')", 'Unable to convert from Array to String. Value: Array'],
    ["iif(true, 'yes', lt(1, 'bad'))", "Unable to convert from String to Number. Value: 'bad'"],
    ['parameters.nope', "Key not found 'nope'"],
    ["format('{1}', 'a')", 'The following format string references more arguments than were supplied: {1}'],
    ["format('{a', 'a')", 'The following format string is invalid: {a'],
  ];
  for (const [text, sentence] of errors)
    it(`refuses ${text || 'nothing'}`, () => assert.ok(message(text).startsWith(sentence), message(text)));

  it('allows a depth of 50; member access does not count', () => {
    const nested = (depth: number): string => `${'not('.repeat(depth)}true${')'.repeat(depth)}`;
    assert.equal(message(nested(49)), 'it evaluated');
    assert.ok(message(nested(50)).startsWith('Exceeded max expression depth 50. For more help'));
    assert.equal(value(`coalesce(parameters.data${'.a'.repeat(80)}, 'deep')`), 'deep');
  });

  it('ends a text that doubles with every call', () => {
    let text = "'xxxxxxxxxx'";
    for (let depth = 0; depth < 40; depth++) text = `format('{0}{0}', ${text})`;
    assert.equal(message(text), 'Maximum object size exceeded');
  });

  it('throws nothing but its own error, whatever it reads', () => {
    const word = fc.constantFrom(
      'eq',
      '(',
      ')',
      ',',
      '.',
      '[',
      ']',
      '*',
      "'a'",
      "'",
      '1',
      '1.2.3',
      '-',
      'true',
      'variables',
      'x',
      ' ',
      'format',
      '{0}',
      '𝒳',
    );
    fc.assert(
      fc.property(fc.array(word, { maxLength: 30 }), (words) => {
        message(words.join(''));
      }),
      { numRuns: 500 },
    );
  });
});

describe('runtime expressions', () => {
  const dependencies: RuntimeContext['dependencies'] = {
    ok: { result: 'Succeeded', outputs: { 'promote.version': '7' } },
    issues: { result: 'SucceededWithIssues' },
    failed: { result: 'Failed' },
    skipped: { result: 'Skipped' },
    abandoned: { result: 'Abandoned' },
  };
  const pick = (...chosen: string[]): RuntimeContext => ({
    dependencies: Object.fromEntries(Object.entries(dependencies ?? {}).filter(([name]) => chosen.includes(name))),
  });
  // succeeded, failed, succeededOrFailed, always (sheet 1.4, measured on a real run)
  const table: [string[], boolean[]][] = [
    [[], [true, false, true, true]],
    [
      ['ok', 'issues'],
      [true, false, true, true],
    ],
    [['failed'], [false, true, true, true]],
    [['skipped'], [false, false, false, true]],
    [
      ['ok', 'skipped'],
      [false, false, true, true],
    ],
    [['abandoned'], [false, false, false, true]],
  ];
  for (const [chosen, results] of table) {
    it(`status functions after ${chosen.join(' and ') || 'nothing'}`, () => {
      const found = ['succeeded()', 'failed()', 'succeededOrFailed()', 'always()'].map((text) =>
        evaluateCondition(text, 'jobCondition', pick(...chosen)),
      );
      assert.deepEqual(found, results);
    });
  }

  it('arguments replace the set; an unknown name is neither', () => {
    const all = pick('ok', 'skipped', 'failed');
    assert.equal(evaluateCondition("succeeded('OK')", 'stageCondition', all), true);
    assert.equal(evaluateCondition("succeeded('nosuch')", 'stageCondition', all), false);
    assert.equal(evaluateCondition("failed('failed')", 'stageCondition', all), true);
  });

  it('a cancelled run runs only what asks for it', () => {
    const context = { ...pick('ok'), canceled: true };
    assert.equal(evaluateCondition(undefined, 'stageCondition', context), false);
    assert.equal(evaluateCondition('canceled()', 'stageCondition', context), true);
    assert.equal(evaluateCondition('always()', 'stageCondition', context), true);
    assert.equal(evaluateCondition('succeededOrFailed()', 'stepCondition', { jobStatus: 'Canceled' }), false);
  });

  it('reads outputs and variables; a name without dots needs no index', () => {
    const context: RuntimeContext = {
      ...pick('ok'),
      stageDependencies: { train: { train: { result: 'Succeeded', outputs: { 'train.register.modelVersion': '3' } } } },
      variables: { 'register.outcome': 'registered' },
    };
    assert.equal(evaluateRuntime("$[ dependencies.OK.outputs['promote.version'] ]", 'jobVariable', context), '7');
    assert.equal(
      evaluateRuntime("$[ stageDependencies.train.train.outputs['train.register.modelVersion'] ]", 'jobVariable', context),
      '3',
    );
    assert.equal(evaluateRuntime('$[ stageDependencies.train.other.result ]', 'jobVariable', context), '');
    assert.equal(evaluateRuntime('plain $[ text ]', 'jobVariable', context), 'plain $[ text ]');
    assert.equal(evaluateCondition("in(variables['register.outcome'], 'registered')", 'stepCondition', context), true);
    assert.equal(
      evaluateRuntime("$[ counter('p', 7) ]", 'rootVariable', { counter: (prefix, seed) => (prefix === 'p' ? seed + 1 : 0) }),
      '8',
    );
  });

  it('is checked before the run as far as the service checks it', () => {
    const refused: [string, Parameters<typeof validateRuntime>[1]][] = [
      ['$[ always() ]', 'rootVariable'],
      ['$[ parameters.p ]', 'rootVariable'],
      ["$[ counter('p', 7, 1) ]", 'rootVariable'],
      ["eq(resources.pipeline.t.runID, 'x')", 'stageCondition'],
      ["canceled('A')", 'jobCondition'],
      ['nosuch()', 'jobCondition'],
      ['eq(1)', 'stepCondition'],
    ];
    for (const [text, slot] of refused) assert.throws(() => validateRuntime(text, slot), ExpressionError, text);
    validateRuntime('$[ nosuch.a ]', 'jobVariable');
    validateRuntime("and(eq(nosuch.a, 'x'), always('x'), other())", 'stepCondition');
    validateRuntime('$[ resources.pipeline.t.runID ]', 'rootVariable');
  });
});
