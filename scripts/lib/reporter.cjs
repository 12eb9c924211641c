// mocha's spec output, plus the totals in a file for the one closing line of `npm test`.
const { writeFileSync } = require('node:fs');
const { reporters, Runner } = require('mocha');

module.exports = class Totals extends reporters.Spec {
  constructor(runner, options) {
    super(runner, options);
    runner.once(Runner.constants.EVENT_RUN_END, () => {
      if (process.env.AMLOPS_TEST_TOTALS) {
        const { passes, failures, pending } = this.stats;
        writeFileSync(process.env.AMLOPS_TEST_TOTALS, JSON.stringify({ passed: passes, failed: failures, skipped: pending }));
      }
    });
  }
};
