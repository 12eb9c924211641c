/** One process a state folder: a file with the owner's pid, taken over when that process is gone. */
import { closeSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Failure } from '../../src/azure/errors.js';
import { isAlive, startTime } from '../processes.js';

/** `''` where it cannot be known. */
const birth = (pid: number): string => startTime(pid) ?? '';

/** Takes the folder; the function that is given back frees it. Throws Failure `StateInUse`. */
export async function lock(root: string): Promise<() => void> {
  const file = join(root, 'lock');
  for (;;) {
    try {
      const descriptor = openSync(file, 'wx', 0o600);
      writeSync(descriptor, `${process.pid} ${birth(process.pid)}`);
      closeSync(descriptor);
      return () => rmSync(file, { force: true });
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw error;
    }
    const [pid = '', born = ''] = readFileSync(file, 'utf8').split(' ');
    const owner = Number(pid);
    if (owner > 0 && isAlive(owner) && birth(owner) === born)
      throw new Failure(`${root} is in use by process ${owner}.`, {
        code: 'StateInUse',
        input: 'state',
        advice: 'End that `amlops up`, or use another --state folder.',
      });
    rmSync(file, { force: true });
  }
}
