/** Runtime facts of the recorded pipelines (measured on the service): which jobs and stages run, which values arrive. They are really run. */
import assert from 'node:assert/strict';
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Catalogue } from '../../../../local/pipeline/expand/types.js';
import { Bench } from './support.js';

interface Expectation {
  outcome: string;
  catalogue?: Catalogue;
  runtime?: {
    results?: Record<string, string>;
    runs?: Record<string, boolean>;
    stageRuns?: Record<string, boolean>;
    jobVariables?: Record<string, Record<string, string>>;
  };
}

const data = join(import.meta.dirname, '..', '..', '..', '..', '..', 'shared', 'conformance', 'templates', 'cases');

describe('runtime facts of the recorded pipelines', () => {
  if (!existsSync(data)) {
    it(`is skipped: the recorded data is not beside the repository (${data})`, function () {
      this.skip();
    });
    return;
  }
  const cases = readdirSync(data).flatMap((group) =>
    readdirSync(join(data, group)).flatMap((name) => {
      const expected = JSON.parse(readFileSync(join(data, group, name, 'expect.json'), 'utf8')) as Expectation;
      return expected.runtime && expected.outcome === 'ok' ? [{ title: `${group}/${name}`, expected }] : [];
    }),
  );

  it('are there', () => assert.ok(cases.length > 5));

  for (const { title, expected } of cases)
    it(title, async () => {
      const bench = new Bench();
      try {
        cpSync(join(data, title), bench.root, { recursive: true });
        const ran = await bench.run('', {
          entry: 'pipeline.yml',
          ...(expected.catalogue ? { catalogue: expected.catalogue } : {}),
        });
        const { results = {}, runs = {}, stageRuns = {}, jobVariables = {} } = expected.runtime ?? {};
        const records = ran.document.records;
        const phase = (job: string) =>
          records.find(({ type, identifier }) => type === 'Phase' && identifier.split('.')[1] === job);
        for (const [job, result] of Object.entries(results)) assert.equal(phase(job)?.result, result.toLowerCase(), job);
        for (const [job, wanted] of Object.entries(runs)) {
          const began = records.some(({ type, parentId }) => type === 'Job' && parentId === phase(job)?.id);
          assert.equal(began, wanted, `job ${job} ${wanted ? 'runs' : 'does not run'}`);
        }
        for (const [stage, wanted] of Object.entries(stageRuns))
          assert.equal(ran.results[stage] !== 'Skipped', wanted, `stage ${stage}`);
        for (const values of Object.values(jobVariables))
          for (const value of Object.values(values)) assert.ok(ran.seen.lines.includes(value), `${value} arrives`);
      } finally {
        bench.remove();
      }
    }).timeout(60_000);
});
