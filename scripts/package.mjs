// npm run package [-- --dev]: dist/tasks -> out/<publisher>.<id>-<version>.vsix. `--dev` gives a private twin with ids of its own.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root, setup } from './lib/setup.mjs';

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
const kb = (bytes) => `${Math.round(bytes / 1024)} KB`;

/** Builds and packs; gives the VSIX's path. Throws with all that is wrong. */
export async function packageExtension({ dev = false, quiet = false } = {}) {
  setup();
  const { budgets, buildTasks, taskNames } = await import('./lib/build-tasks.mjs');
  await buildTasks({ quiet: true });
  const { version } = readJson(join(root, 'package.json'));
  const manifest = readJson(join(root, 'vss-extension.json'));
  const wrong = [];
  const contributed = manifest.contributions.map(({ properties }) => properties.name.replace(/^tasks\//, ''));
  for (const name of contributed)
    if (!taskNames().includes(name)) wrong.push(`vss-extension.json contributes ${name}, which is not built`);
  for (const name of taskNames())
    if (!contributed.includes(name)) wrong.push(`tasks/${name} is not contributed by vss-extension.json`);
  if (wrong.length) throw new Error(wrong.join('\n'));

  const stage = join(root, 'out', 'stage');
  rmSync(stage, { recursive: true, force: true });
  mkdirSync(stage, { recursive: true });
  for (const file of ['overview.md', 'LICENSE', 'images']) cpSync(join(root, file), join(stage, file), { recursive: true });
  for (const name of contributed) cpSync(join(root, 'dist', 'tasks', name), join(stage, 'tasks', name), { recursive: true });
  writeFileSync(join(stage, 'ThirdPartyNotices.txt'), notices(contributed));
  const shown = { ...manifest, version };
  if (dev) developmentTwin(shown, stage, contributed);
  writeFileSync(join(stage, 'vss-extension.json'), JSON.stringify(shown, null, 2));

  const vsix = join(root, 'out', `${shown.publisher}.${shown.id}-${version}.vsix`);
  rmSync(vsix, { force: true });
  runTfx(stage, vsix);
  const AdmZip = (await import('adm-zip')).default;
  sameBytesEachTime(AdmZip, vsix);
  const zip = new AdmZip(vsix);
  const rows = contributed.map((name) => {
    const members = zip.getEntries().filter(({ entryName }) => entryName.startsWith(`tasks/${name}/`));
    if (!members.some(({ entryName }) => entryName.endsWith('/task.json'))) wrong.push(`the VSIX holds no task.json of ${name}`);
    const size = (key) => members.reduce((sum, { header }) => sum + header[key], 0);
    const [minified, zipped] = [size('size'), size('compressedSize')];
    if (minified > budgets.minified) wrong.push(`${name} weighs ${kb(minified)}; allowed are ${kb(budgets.minified)}`);
    if (zipped > budgets.zipped) wrong.push(`${name} weighs ${kb(zipped)} zipped; allowed are ${kb(budgets.zipped)}`);
    return `  ${name.padEnd(16)} ${kb(minified).padStart(8)} minified ${kb(zipped).padStart(8)} zipped`;
  });
  const whole = statSync(vsix).size;
  if (whole > budgets.vsix) wrong.push(`the VSIX weighs ${kb(whole)}; allowed are ${kb(budgets.vsix)}`);
  if (wrong.length) throw new Error(wrong.join('\n'));
  if (!quiet) console.error([`${vsix}  ${kb(whole)}`, ...rows].join('\n'));
  return vsix;
}

/** Task checks of tfx are only warnings: each of them stops us. */
function runTfx(stage, vsix) {
  const done = spawnSync(
    process.execPath,
    [
      join(root, 'node_modules', 'tfx-cli', '_build', 'tfx-cli.js'),
      'extension',
      'create',
      '--root',
      stage,
      '--manifests',
      'vss-extension.json',
      '--output-path',
      vsix,
      '--no-prompt',
      '--no-color',
    ],
    { cwd: stage, encoding: 'utf8', env: { ...process.env, TFX_TRACE: '' } },
  );
  const said = `${done.stdout ?? ''}${done.stderr ?? ''}`;
  const complaints = said.split('\n').filter((line) => /warning|error/i.test(line) && !/^\s*- /.test(line));
  if (done.status !== 0 || complaints.length || !existsSync(vsix)) throw new Error(`tfx refused the extension:\n${said.trim()}`);
}

/** The same inputs give the same file: one time stamp, the order that tfx chose. */
function sameBytesEachTime(AdmZip, file) {
  const before = new AdmZip(file);
  const after = new AdmZip();
  after.setZipComment?.('');
  for (const entry of before.getEntries()) {
    if (entry.isDirectory) continue;
    const added = after.addFile(entry.entryName, entry.getData());
    added.header.time = new Date(1980, 0, 1);
  }
  after.writeZip(file);
}

/** An extension and tasks that can live beside the real ones in an organization. */
function developmentTwin(manifest, stage, names) {
  manifest.id += '-dev';
  manifest.name += ' (development)';
  manifest.public = false;
  for (const name of names) {
    const file = join(stage, 'tasks', name, 'task.json');
    const task = readJson(file);
    const hash = createHash('sha256').update(`${task.id} dev`).digest('hex');
    task.id = [hash.slice(0, 8), hash.slice(8, 12), `5${hash.slice(13, 16)}`, `a${hash.slice(17, 20)}`, hash.slice(20, 32)].join(
      '-',
    );
    task.friendlyName = `${task.friendlyName.slice(0, 34)} (dev)`;
    writeFileSync(file, JSON.stringify(task, null, 2));
  }
}

/** Licences of every package whose code is in a bundle. */
function notices(names) {
  const packages = new Set(names.flatMap((name) => Object.keys(readJson(join(root, 'dist', 'meta', `${name}.json`)))));
  const parts = [...packages].sort().map((name) => {
    const folder = join(root, 'node_modules', name);
    const { version, license } = readJson(join(folder, 'package.json'));
    const file = readdirSync(folder).find((entry) => /^(licen[cs]e|copying)/i.test(entry));
    const text = file ? readFileSync(join(folder, file), 'utf8').trim() : `Licence: ${license ?? 'see the package'}`;
    return `${name} ${version}\n${'-'.repeat(name.length + version.length + 1)}\n${text}\n`;
  });
  return `The tasks contain code of these packages.\n\n${parts.join('\n')}`;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  await packageExtension({ dev: process.argv.includes('--dev') }).catch((error) => {
    console.error(`Not packaged:\n${error.message}`);
    process.exitCode = 1;
  });
}
