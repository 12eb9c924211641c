// Submits every public job file with the real azure-ai-ml to an embedded workspace and writes docs/corpus.md: which file ends how.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { register } from 'tsx/esm/api';
import { root } from './lib/setup.mjs';
import { ownTemp } from './lib/temp.mjs';
import { build } from './build.mjs';

ownTemp();
await build({ quiet: true });
register();
const { corpusFolder, corpusPage, runCorpus } = await import('../tests/support/corpus.ts');
if (!corpusFolder) {
  console.error('The shared data (../shared/conformance/jobs) is not there: nothing to do.');
  process.exit(1);
}
const rows = await runCorpus(corpusFolder, { seconds: 3000 });
writeFileSync(join(root, 'docs', 'corpus.md'), corpusPage(rows));
const wrong = rows.filter(({ must, end }) => must && end !== 'Completed');
for (const { yaml, end, reason } of wrong) console.error(`must complete: ${yaml} ends ${end}: ${reason}`);
console.error(`${rows.length} files, ${wrong.length} that must complete do not.`);
process.exit(wrong.length === 0 ? 0 : 1);
