// npm run bench [-- ROW ...]: the numbers of docs/numbers.md, as ratios in one run (machines are noisy, so nothing is judged by seconds).
// A row is a file of scripts/bench/ that exports `title`, `goal` and `measure(): Promise<{ value, beside?, ok, detail? }[]>`.
import { readdirSync, writeFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setup } from './lib/setup.mjs';
import { ownTemp } from './lib/temp.mjs';

setup();
ownTemp();
await (await import('./build.mjs')).build({ quiet: true });
const folder = join(root, 'scripts', 'bench');
const names = readdirSync(folder)
  .filter((name) => name.endsWith('.bench.mjs'))
  .map((name) => name.replace('.bench.mjs', ''))
  .sort();
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length) {
  console.error(`Unknown row ${unknown.join(', ')}; there are ${names.join(', ')}.`);
  process.exit(2);
}
const rows = [];
for (const name of wanted.length ? wanted : names) {
  const row = await import(pathToFileURL(join(folder, `${name}.bench.mjs`)).href);
  console.error(`-- ${name}: ${row.title}`);
  try {
    for (const result of await row.measure()) rows.push({ name, title: row.title, goal: row.goal, ...result });
  } catch (error) {
    rows.push({ name, title: row.title, goal: row.goal, value: `not measured: ${error.message}`, ok: false });
  }
}
console.log('| row | measured | beside | goal | |\n| --- | --- | --- | --- | --- |');
for (const row of rows)
  console.log(
    `| ${row.detail ? `${row.title}, ${row.detail}` : row.title} | ${row.value} | ${row.beside ?? ''} | ${row.goal} | ${row.ok ? 'holds' : 'MISSED'} |`,
  );
mkdirSync(join(root, 'out'), { recursive: true });
writeFileSync(join(root, 'out', 'bench.json'), JSON.stringify(rows, null, 2));
process.exitCode = rows.every((row) => row.ok) ? 0 : 1;
