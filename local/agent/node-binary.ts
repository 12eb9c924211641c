/** The Node that runs a task: this process's own when the version fits, else one from npm in a folder of its own (task-contract B.3). */
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Failure } from '../../src/azure/errors.js';
import { withLock } from '../lock.js';
import { cacheFolder } from '../python.js';
import type { NodeVersion } from './types.js';

const major = (version: string): number => Number(/^v?(\d+)/.exec(version)?.[1]);

/**
 * Path of a Node of that major version. Asks npm on first use. Errors: Failure `NodeMissing` (no npm, no package index, no such
 * platform), with npm's own words.
 */
export async function nodeBinary(version: NodeVersion, onProgress: (line: string) => void = () => undefined): Promise<string> {
  if (major(process.version) === version) return process.execPath;
  const windows = process.platform === 'win32';
  const name = `node-${windows ? 'win' : process.platform}-${process.arch}`;
  const folder = join(cacheFolder(), `node-${version}`);
  const binary = join(folder, 'node_modules', name, 'bin', windows ? 'node.exe' : 'node');
  if (existsSync(binary)) return binary;
  return await withLock(`${folder}.lock`, async () => {
    if (existsSync(binary)) return binary;
    onProgress(`Fetching Node ${version} (${name}) once ...`);
    const fresh = `${folder}.new`;
    rmSync(fresh, { recursive: true, force: true });
    mkdirSync(fresh, { recursive: true });
    writeFileSync(join(fresh, 'package.json'), JSON.stringify({ private: true }));
    try {
      await promisify(execFile)(
        windows ? 'npm.cmd' : 'npm',
        ['install', '--prefix', fresh, '--no-audit', '--no-fund', '--ignore-scripts', `${name}@${version}`],
        { cwd: fresh, shell: windows, timeout: 300_000 },
      );
    } catch (error) {
      throw new Failure(`Node ${version} could not be fetched from npm: ${(error as Error).message.slice(0, 600)}`, {
        code: 'NodeMissing',
        advice: `Run amlops with Node ${version}, or let npm reach its registry once.`,
        cause: error,
      });
    }
    rmSync(folder, { recursive: true, force: true });
    renameSync(fresh, folder);
    if (!existsSync(binary)) throw new Failure(`${name}@${version} holds no ${binary}.`, { code: 'NodeMissing' });
    return binary;
  });
}
