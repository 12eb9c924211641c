/** Generated job files: what we would send and what the unmodified azure-ai-ml sends. One seed again: AMLOPS_SOAK_SEEDS=1 AMLOPS_SOAK_FIRST=SEED. */
import assert from 'node:assert/strict';
import { compareSeeds, excused } from '../support/compile-parity.js';

const soak = process.env['AMLOPS_SOAK'] === '1';
const count = Number(process.env['AMLOPS_SOAK_SEEDS'] ?? (soak ? 2000 : 80));
const first = Number(process.env['AMLOPS_SOAK_FIRST'] ?? (soak ? 10_000 : 1));
const CHUNK = 80;

describe('compile: parity with azure-ai-ml', function () {
  this.timeout(soak ? 0 : 600_000);

  it(`sends what the client sends, for ${count} generated files`, async () => {
    const failures: string[] = [];
    const seen = new Map<string, number>();
    for (let from = first; from < first + count; from += CHUNK) {
      const seeds = Array.from({ length: Math.min(CHUNK, first + count - from) }, (_, index) => from + index);
      for (const row of await compareSeeds(seeds)) {
        const why = excused(row);
        seen.set(why ?? row.verdict, (seen.get(why ?? row.verdict) ?? 0) + 1);
        if (why === undefined)
          failures.push(
            [
              `seed ${row.seed} (${row.kind}${row.mistakes.map((one) => `, ${one}`).join('')}): ${row.verdict}`,
              ...(row.client === undefined ? [] : [`client: ${row.client.replace(/\s+/g, ' ').slice(0, 600)}`]),
              ...(row.ours === undefined ? [] : [`ours: ${row.ours}`]),
              ...row.differences,
            ].join('\n  '),
          );
      }
      if (soak) console.log(`      ${from + seeds.length - first} files, ${failures.length} failures`);
    }
    for (const [why, times] of [...seen].sort((a, b) => b[1] - a[1])) console.log(`      ${times} ${why}`);
    assert.deepEqual(failures, []);
    // The generator makes files that are sent, not only ones that are refused.
    assert.ok((seen.get('equal') ?? 0) >= count / 3 || count < 10, `${seen.get('equal') ?? 0} of ${count} are sent`);
  });
});
