// One temporary folder for all that a run starts: whatever is left in it (by clients, by processes that were killed) goes with the run.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Short: Unix sockets below it must fit 104 characters. */
const prefix = 'amlops-t';

/**
 * Makes the folder, makes it the temporary folder of this process and of those it starts, and removes it when this process ends, with the
 * folders of earlier runs that were killed. A process that was started by one with such a folder keeps that one. Gives the folder.
 */
export function ownTemp() {
  if (process.env.AMLOPS_RUN_TEMP) return process.env.AMLOPS_RUN_TEMP;
  removeStale(tmpdir());
  const folder = mkdtempSync(join(tmpdir(), `${prefix}${process.pid}-`));
  for (const name of ['TMPDIR', 'TMP', 'TEMP', 'AMLOPS_RUN_TEMP']) process.env[name] = folder;
  process.once('exit', () => rmSync(folder, removal));
  return folder;
}

/** Processes that are just ending may still write: a few tries. */
const removal = { recursive: true, force: true, maxRetries: 5, retryDelay: 100 };

function removeStale(parent) {
  for (const name of readdirSync(parent)) {
    const pid = Number(new RegExp(`^${prefix}(\\d+)-\\w{6}$`).exec(name)?.[1]);
    if (pid && !alive(pid)) rmSync(join(parent, name), removal);
  }
}

/** Whether there is a process of this id (also one of another user). */
export function alive(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
