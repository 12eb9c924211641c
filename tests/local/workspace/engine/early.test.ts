/** Early termination policies, by the examples of the published guide and by what must hold whatever the trials log. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { dueIntervals, judge, readPolicy, type Policy, type Progress } from '../../../../local/workspace/engine/early.js';

const policy = (source: object): Policy => readPolicy(source) as Policy;
const at = (...values: number[]): Progress => ({ values, ended: false });
const finished = (...values: number[]): Progress => ({ values, ended: true });

describe('early termination', () => {
  it('reads policies in both forms and refuses what is none', () => {
    assert.equal(readPolicy(null), undefined);
    const bandit = { interval: 2, delay: 5, kind: 'bandit', factor: 0.1, amount: 0 };
    assert.deepEqual(policy({ policyType: 'Bandit', evaluationInterval: 2, delayEvaluation: 5, slackFactor: 0.1 }), bandit);
    assert.deepEqual(policy({ type: 'bandit', evaluation_interval: '2', delay_evaluation: '5', slack_factor: '0.1' }), bandit);
    assert.deepEqual(policy({ policyType: 'MedianStopping' }), { interval: 1, delay: 0, kind: 'median' });
    assert.equal(policy({ type: 'truncation_selection', truncation_percentage: 20 }).kind, 'truncation');
    for (const wrong of [
      { policyType: 'Sudden' },
      { policyType: 'TruncationSelection' },
      { policyType: 'Bandit', slackFactor: 'much' },
    ])
      assert.throws(() => readPolicy(wrong), { status: 400 });
  });

  it('is applied at multiples of the interval from the delay on', () => {
    assert.deepEqual(dueIntervals(policy({ type: 'bandit' }), 0, 3), [1, 2, 3]);
    assert.deepEqual(dueIntervals(policy({ type: 'bandit', evaluation_interval: 2, delay_evaluation: 5 }), 0, 9), [6, 8]);
    assert.deepEqual(dueIntervals(policy({ type: 'bandit', evaluation_interval: 2, delay_evaluation: 5 }), 6, 9), [8]);
    assert.deepEqual(dueIntervals(policy({ type: 'bandit', delay_evaluation: 5 }), 0, 4), []);
  });

  it('bandit: within the slack of the best, as a ratio or an amount', () => {
    const ratio = policy({ type: 'bandit', slack_factor: 0.2 });
    // 0.8 / 1.2 = 0.667
    assert.match(
      judge(ratio, at(0.66), [at(0.66), at(0.8)], 1, true) ?? '',
      /0\.66 is not within the slack of the best trial's 0\.8/,
    );
    assert.equal(judge(ratio, at(0.67), [at(0.67), at(0.8)], 1, true), undefined);
    // Its best up to the interval counts, and what others log later does not.
    assert.equal(judge(ratio, at(0.7, 0.1), [at(0.7, 0.1), at(0.1, 0.8)], 2, true), undefined);
    assert.equal(judge(ratio, at(0.5), [at(0.5), at(0.55, 0.9)], 1, true), undefined);
    assert.equal(judge(ratio, at(1.2), [at(1.2), at(1)], 1, false), undefined);
    assert.ok(judge(ratio, at(1.21), [at(1.21), at(1)], 1, false));
    const amount = policy({ type: 'bandit', slack_amount: 0.2 });
    assert.equal(judge(amount, at(0.6), [at(0.6), at(0.8)], 1, true), undefined);
    assert.ok(judge(amount, at(0.59), [at(0.59), at(0.8)], 1, true));
    assert.ok(judge(amount, at(-0.5), [at(-0.5), at(-0.8)], 1, false));
    // Trials that ended before that interval are compared by what they reached; those on their way are not.
    assert.ok(judge(ratio, at(0.1, 0.1), [at(0.1, 0.1), finished(0.8)], 2, true));
    assert.equal(judge(ratio, at(0.1, 0.1), [at(0.1, 0.1), at(0.8)], 2, true), undefined);
  });

  it('median: the best against the median of the running averages', () => {
    const median = policy({ type: 'median_stopping' });
    const others = [at(1, 3), at(4, 4), at(6, 6)];
    const low = at(0, 1);
    assert.match(judge(median, low, [...others, low], 2, true) ?? '', /worse than the median 3 of/);
    const spiky = at(0, 3.5);
    assert.equal(judge(median, spiky, [...others, spiky], 2, true), undefined);
    assert.equal(judge(median, low, [...others, low], 2, false), undefined);
  });

  it('truncation: the lowest share at that interval', () => {
    const cut = policy({ type: 'truncation_selection', truncation_percentage: 40 });
    const five = [at(1), at(2), at(3), at(4), at(5)];
    const verdicts = (trials: Progress[], maximize = true): boolean[] =>
      trials.map((trial) => judge(cut, trial, trials, 1, maximize) !== undefined);
    assert.deepEqual(verdicts(five), [true, true, false, false, false]);
    assert.deepEqual(verdicts(five, false), [false, false, false, true, true]);
    assert.deepEqual(verdicts([at(1), at(2)]), [false, false]);
    const rest = { ...cut, excludeFinished: true } as Policy;
    const mixed = [at(1), finished(2), finished(3), finished(4), at(5)];
    assert.equal(judge(rest, mixed[0] as Progress, mixed, 1, true), undefined);
    assert.ok(judge(cut, mixed[0] as Progress, mixed, 1, true));
  });

  it('never ends the best trial', () => {
    const value = fc.double({ min: -1e6, max: 1e6, noNaN: true });
    const trials = fc.array(fc.array(value, { minLength: 3, maxLength: 3 }), { minLength: 1, maxLength: 8 });
    const policies = [
      { type: 'bandit', slack_factor: 0.3 },
      { type: 'bandit', slack_amount: 2 },
      { type: 'bandit' },
      { type: 'truncation_selection', truncation_percentage: 99 },
      { type: 'median_stopping' },
    ].map(policy);
    fc.assert(
      fc.property(trials, fc.constantFrom(...policies), fc.boolean(), (all, rule, maximize) => {
        const constant = all.map(([first = 0]) => at(first, first, first));
        const top = (maximize ? Math.max : Math.min)(...constant.map(({ values }) => values[0] ?? 0));
        const best = constant.find(({ values }) => values[0] === top) as Progress;
        assert.equal(judge(rule, best, constant, 3, maximize), undefined);
      }),
    );
  });
});
