/** The public job files that must complete, submitted by the real azure-ai-ml (docs/corpus.md has all of them: `node scripts/corpus.mjs`). */
import assert from 'node:assert/strict';
import { corpusFolder, runCorpus, type CorpusRow } from '../support/corpus.js';

describe('public job files through the real client', function () {
  this.timeout(900_000);

  it('complete when the rule says so, and end with their reason when not', async function () {
    if (!corpusFolder) {
      console.log('      skipped: ../shared/conformance/jobs is not there');
      this.skip();
    }
    // Those that must complete, and a few of each way to be refused; the rest is a matter of minutes and of the package index.
    const others =
      /hello-automl-job-basic|serverless-spark-standalone-default|cifar-distributed|4c_web_url|julia|gsm8k|hello-iris-folder/;
    const rows = await runCorpus(corpusFolder, { only: (must, { yaml }) => must || others.test(yaml), seconds: 700 });
    const named = (row: CorpusRow): string => `${row.yaml}: ${row.end} ${row.reason}`;
    assert.deepEqual(rows.filter(({ must, end }) => must && end !== 'Completed').map(named), []);
    assert.ok(rows.filter(({ must }) => must).length >= 28);
    const rest = rows.filter(({ must }) => !must);
    assert.ok(rest.length >= 6);
    assert.deepEqual(rest.filter(({ end, reason }) => !['Failed', 'refused'].includes(end) || reason === '').map(named), []);
  });
});
