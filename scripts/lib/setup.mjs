// Makes node_modules fit package-lock.json. No dependencies: it runs on a bare clone with nothing but Node.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** Refuses a Node that the project does not support, in words. */
export function requireNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 20 || (major === 20 && minor >= 19)) return;
  console.error(`Node.js 20.19 or newer is needed; this is ${process.versions.node}.`);
  process.exit(2);
}

/** Installs the locked packages unless the installed ones came from this very lock file. */
export function setup({ stampOnly = false } = {}) {
  requireNode();
  const hash = createHash('sha256')
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex');
  const stamp = join(root, 'node_modules', '.cache', 'lock-hash');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === hash) return;
  if (stampOnly) {
    mkdirSync(dirname(stamp), { recursive: true });
    writeFileSync(stamp, hash);
    return;
  }
  console.error('Installing the locked npm packages (first time about a minute) ...');
  const started = Date.now();
  run('npm', ['ci', '--no-audit', '--no-fund']);
  mkdirSync(dirname(stamp), { recursive: true });
  writeFileSync(stamp, hash);
  console.error(`Installed in ${Math.round((Date.now() - started) / 1000)} s.`);
}

/** Runs a command in the repository's root with its output shown; a failure ends this process with the same code. */
export function run(command, args, env = {}) {
  const windows = process.platform === 'win32';
  const done = spawnSync(windows && command === 'npm' ? 'npm.cmd' : command, args, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
    shell: windows && command === 'npm',
  });
  if (done.error) {
    console.error(`${command} could not be started: ${done.error.message}`);
    process.exit(1);
  }
  if (done.status !== 0) {
    console.error(`${command} ${args.join(' ')} ended with ${done.status ?? done.signal}.`);
    process.exit(done.status || 1);
  }
}
