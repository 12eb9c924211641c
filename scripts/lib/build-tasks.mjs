// One bundle per task: dist/tasks/<Name>/{index.js, chunks of lazy imports, task.json, icon.png}, CommonJS for Node 20.
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync, copyFileSync, renameSync } from 'node:fs';
import { basename, join } from 'node:path';
import { root } from './setup.mjs';
import { packed } from './pack-chunks.mjs';
import { alive } from './temp.mjs';

/** What a bundle may weigh (design, numbers to hold), in bytes. */
export const budgets = { minified: 2 * 1024 * 1024, zipped: 600 * 1024, vsix: 4 * 1024 * 1024 };

/** Folders below tasks/ that hold a task. */
export function taskNames() {
  return readdirSync(join(root, 'tasks'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(root, 'tasks', entry.name, 'index.ts')))
    .map((entry) => entry.name)
    .sort();
}

/**
 * Builds every task. A lazy `import()` becomes a file of its own beside index.js, and code that both need a third: nothing is there twice
 * (a second copy of the task library would see no inputs, a second `Failure` class would not be recognised). esbuild splits ES modules
 * only, so the split is made as ES modules and each file is then turned into CommonJS, which the agent's `node index.js` starts faster.
 */
export async function buildTasks({ quiet = false } = {}) {
  const esbuild = await import('esbuild');
  const version = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')).version;
  removeStale(join(root, 'dist', 'tasks'));
  const built = [];
  for (const name of taskNames()) built.push(await buildTask(esbuild, name, version));
  if (!quiet)
    for (const { name, bytes, files } of built) console.error(`tasks/${name}: ${Math.round(bytes / 1024)} KB in ${files} files`);
  return built;
}

/**
 * Bundles one entry point. Gives the files by name (`index.js` and the chunks of lazy imports) and esbuild's metafile.
 * A bare package imported lazily is a chunk named after its entry file; a room imported lazily one named after its index.
 */
export async function bundle(esbuild, entry) {
  const split = await esbuild.build({
    absWorkingDir: root,
    entryPoints: { index: entry },
    outdir: 'dist/tasks',
    chunkNames: '[name]-[hash]',
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    mainFields: ['module', 'main'],
    target: 'node20',
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'warning',
    plugins: [unusedIsLeftOut(['http-proxy-agent', 'https-proxy-agent'])],
  });
  const files = {};
  for (const file of split.outputFiles) {
    const { code } = await esbuild.transform(file.text, {
      format: 'cjs',
      platform: 'node',
      target: 'node20',
      minify: true,
      legalComments: 'none',
      // `import()` as `require()`: our chunks are CommonJS, and the module loader costs start-up time.
      supported: { 'dynamic-import': false },
      logLevel: 'warning',
    });
    // A lazily imported CommonJS package: esbuild gives it a default export only, Node would have given its names too.
    const wrapped = /\bexport default require_\w+\(\);\s*$/.test(file.text);
    files[basename(file.path)] = wrapped ? `${code.trimEnd()}\nmodule.exports=module.exports.default;\n` : code;
  }
  return { files: packed(files, requiresOf(split.metafile), packsOf(files)), metafile: split.metafile };
}

/** What every run of a task reads is one file, and what every submission of a job reads another. */
function packsOf(files) {
  const named = (name) => Object.keys(files).filter((file) => file.startsWith(`${name}-`) || file === `${name}.js`);
  const packs = { 'index.js': ['internal', 'task'].flatMap(named) };
  const [compile] = named('compile');
  if (compile) packs[compile] = ['assets-online', 'submit'].flatMap(named);
  return packs;
}

/** What each file of a bundle imports of the others. */
function requiresOf({ outputs }) {
  const requires = {};
  for (const [output, { imports }] of Object.entries(outputs)) {
    const own = imports.filter(({ external }) => !external);
    requires[basename(output)] = own.map(({ path, kind }) => ({ file: basename(path), lazy: kind === 'dynamic-import' }));
  }
  return requires;
}

/** Packages that a library of ours imports for a part of it that we do not use, and that do not say of themselves that loading them does nothing. */
function unusedIsLeftOut(packages) {
  return {
    name: 'unused-is-left-out',
    setup(build) {
      build.onResolve({ filter: new RegExp(`^(${packages.join('|')})$`) }, async ({ path, pluginData, ...from }) => {
        if (pluginData === 'resolved') return undefined;
        const found = await build.resolve(path, { ...from, pluginData: 'resolved' });
        return { ...found, sideEffects: false };
      });
    },
  };
}

async function buildTask(esbuild, name, version) {
  const source = join(root, 'tasks', name);
  const { files, metafile } = await bundle(esbuild, join(source, 'index.ts'));
  // Built aside and put in place whole: a task that starts meanwhile sees the old bundle or the new one.
  const target = join(root, 'dist', 'tasks', name);
  const fresh = `${target}.${process.pid}`;
  rmSync(fresh, { recursive: true, force: true });
  mkdirSync(fresh, { recursive: true });
  let bytes = 0;
  for (const [file, code] of Object.entries(files)) {
    bytes += Buffer.byteLength(code);
    writeFileSync(join(fresh, file), code);
  }
  writeFileSync(join(fresh, 'task.json'), `${JSON.stringify(stamp(readJson(join(source, 'task.json')), version), null, 2)}\n`);
  // The bundle is CommonJS wherever the agent unpacks it, also below a folder whose package.json says otherwise.
  writeFileSync(join(fresh, 'package.json'), '{ "type": "commonjs" }\n');
  for (const extra of ['icon.png']) if (existsSync(join(source, extra))) copyFileSync(join(source, extra), join(fresh, extra));
  mkdirSync(join(root, 'dist', 'meta'), { recursive: true });
  writeFileSync(join(root, 'dist', 'meta', `${name}.json`), JSON.stringify(packagesOf(metafile)));
  putInPlace(fresh, target);
  return { name, bytes, files: Object.keys(files).length };
}

/** Puts `fresh` where `target` is, also while another build does the same: the last one's bundle stays, and nothing beside it. */
export function putInPlace(fresh, target) {
  const old = `${target}.old${process.pid}`;
  try {
    for (let attempt = 1; ; attempt++) {
      try {
        if (existsSync(target)) renameSync(target, old);
      } catch (error) {
        if (error.code !== 'ENOENT') throw error;
      }
      try {
        renameSync(fresh, target);
        return;
      } catch (error) {
        // The other build was quicker: its bundle makes way.
        if (!['ENOTEMPTY', 'EEXIST', 'EPERM'].includes(error.code) || attempt === 5) throw error;
      }
      rmSync(old, { recursive: true, force: true });
    }
  } finally {
    rmSync(old, { recursive: true, force: true });
    rmSync(fresh, { recursive: true, force: true });
  }
}

/** Removes what builds that were killed have left: `<Name>.<pid>` and `<Name>.old<pid>` of processes that are gone. */
export function removeStale(folder) {
  if (!existsSync(folder)) return;
  for (const name of readdirSync(folder)) {
    const pid = Number(/^\w+\.(?:old)?(\d+)$/.exec(name)?.[1]);
    if (pid && pid !== process.pid && !alive(pid)) rmSync(join(folder, name), { recursive: true, force: true });
  }
}

/** The version stands in package.json only: a task's Minor and Patch are the extension's, its Major is its own contract (`@1`). */
function stamp(task, version) {
  const [, minor, patch] = version.split('.').map(Number);
  return { ...task, version: { Major: task.version.Major, Minor: minor, Patch: patch } };
}

/** Packages that a bundle holds code of, with the bytes each brings. */
function packagesOf(metafile) {
  const bytes = {};
  for (const output of Object.values(metafile.outputs)) {
    for (const [path, { bytesInOutput }] of Object.entries(output.inputs)) {
      const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1];
      if (name && bytesInOutput > 0) bytes[name] = (bytes[name] ?? 0) + bytesInOutput;
    }
  }
  return bytes;
}

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
