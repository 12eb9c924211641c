/** What every file of the house keeps to: readable in one sitting, nothing of a machine or a registry in it, nothing done on import. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { trackedFiles } from '../support/tracked.js';

const root = join(import.meta.dirname, '..', '..');
const tracked = trackedFiles(root);
const sources = tracked.filter((file) => /^(src|tasks|local|cli)\/.*\.ts$/.test(file));

describe('files of the house', () => {
  it('are short enough to read in one sitting', () => {
    const long = sources
      .map((file) => ({ file, lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1 }))
      .filter(({ lines }) => lines > 350)
      .map(({ file, lines }) => `${file}: ${lines} lines`);
    assert.deepEqual(long, []);
  });

  it('name no path of a machine and no host of a package registry', () => {
    const leak = new RegExp(
      [
        String.raw`(?<![\w.])/(?:work|farm)/(?:main|shared|steering|in|\.)`,
        '(?<![\\w.])/ro' + 'ot/',
        ['registry', 'npmjs', 'org'].join(String.raw`\.`),
        ['pypi', 'org'].join(String.raw`\.`),
        'files' + String.raw`\.pythonhosted`,
      ].join('|'),
    );
    const found: string[] = [];
    for (const file of tracked) {
      if (/\.(png|ico|vsix)$/.test(file)) continue;
      readFileSync(join(root, file), 'utf8')
        .split('\n')
        .forEach((line, index) => {
          if (leak.test(line)) found.push(`${file}:${index + 1}: ${line.trim().slice(0, 120)}`);
        });
    }
    assert.deepEqual(found, []);
  });

  it('write package-lock.json without the addresses of a registry', () => {
    assert.doesNotMatch(readFileSync(join(root, 'package-lock.json'), 'utf8'), /"resolved": "https?:/);
  });

  it('bring no production dependency that needs an install script or a Node newer than 20', () => {
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')) as {
      packages: Record<string, { dev?: boolean; engines?: { node?: string }; version?: string }>;
    };
    const wrong = Object.entries(lock.packages)
      .filter(([name, entry]) => name && !entry.dev && /^\s*(>=?|\^|~)?\s*v?2[1-9]/.test(entry.engines?.node ?? ''))
      .map(([name, entry]) => `${name}@${entry.version}: node ${entry.engines?.node}`);
    assert.deepEqual(wrong, []);
    assert.match(readFileSync(join(root, '.npmrc'), 'utf8'), /^ignore-scripts=true$/m);
  });

  it('do nothing on import', function () {
    this.timeout(300_000); // a process that does not end by itself is noticed by the limit below
    // The task library itself reads its inputs when it is loaded; only the adapter and the host load it.
    const libraryDoors = ['src/task/agent-platform.ts', 'src/task/host.ts'];
    const modules = sources.filter(
      (file) =>
        !file.endsWith('.worker.ts') &&
        !/^tasks\/[^/]+\/index\.ts$/.test(file) &&
        file !== 'cli/amlops.ts' &&
        !libraryDoors.includes(file),
    );
    const script = `for (const file of ${JSON.stringify(modules.map((file) => join(root, file)))}) await import(file);`;
    const done = spawnSync(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', script], {
      cwd: root,
      encoding: 'utf8',
      timeout: 240_000,
    });
    assert.equal(done.stderr, '', 'nothing may be written to standard error');
    assert.equal(done.stdout, '', 'nothing may be written to standard output');
    assert.equal(done.status, 0, 'the process must end by itself: no timer, socket or child may be left by an import');
  });
});
