/** When to ask next: the intervals that docs/run-task.md promises, and an allowance that holds whatever is asked of it. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Allowance, handicap, jobInterval, logInterval, stepsInterval } from '../../../src/aml/jobs/schedule.js';

const minute = 60_000;
const hour = 60 * minute;

describe('when to ask next', () => {
  it('the job by its age; steps and logs soon after a change, few young logs sooner, where requests are scarce later', () => {
    assert.deepEqual([0, 10 * minute, hour].map(jobInterval), [1_800, 27_000, 90_000]);
    const steps = (scarce: boolean) => [0, 80_000, hour].map((since) => stepsInterval(since, scarce));
    assert.deepEqual([steps(false), steps(true)], [[2_000, 8_000, 9_300], [6_000, 8_000, 30_000]]); // prettier-ignore
    const logs = (open: number) => [0, 100_000, hour].map((age) => logInterval(age, open));
    assert.deepEqual([1, 2, 3].map(logs), [[3_000, 5_000, 9_300], [3_000, 5_000, 9_300], [9_300, 9_300, 9_300]]); // prettier-ignore
    assert.deepEqual([0, 20_000, 30_000, hour].map(handicap), [0, 0, 5_000, 20_000]);
  });

  it('never more than the limit in any sixty minutes, however looks come; what is short has the whole store', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(20), fc.integer({ min: 1, max: 4 * minute })), { maxLength: 120 }), (looks) => {
        const allowance = new Allowance(0, 60, 10);
        const taken: number[] = [];
        let now = 0;
        for (const [wanted, pause] of looks) {
          now += pause;
          for (let n = 0; n < wanted && allowance.take(now); n++) taken.push(now);
        }
        for (const at of taken) assert.ok(taken.filter((other) => other >= at && other < at + hour).length <= 60 + 30);
      }),
    );
    const store = new Allowance(0);
    let short = 0;
    while (store.take(0)) short++;
    assert.equal(short, 100);
    assert.ok(store.scarce(0));
    const wait = store.wait(0);
    assert.ok(wait > 1_000 && wait <= 5_000, `${wait}`);
    assert.ok(!store.take(wait - 50) && store.take(wait + 50));
  });
});
