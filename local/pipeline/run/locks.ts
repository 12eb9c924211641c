/** The exclusive lock of a resource between runs, also of other processes: a folder with the holder and those who wait. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { withLock } from '../../lock.js';
import { isAlive } from '../../processes.js';
import { fileName } from '../devops/files.js';
import type { ResourceRef } from '../devops/types.js';

interface Mark {
  run: number;
  pid: number;
}

async function readMark(path: string): Promise<Mark | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as Mark;
  } catch {
    return undefined; // gone, or being written
  }
}

export interface Lock {
  release(): Promise<void>;
}

/**
 * Waits for the lock; `held` is told the run that has it, each time that is another one. `runLatest`: a newer waiting run takes the place of this one (then undefined). `sequential`: in the order of the runs.
 * @throws the signal's reason when it aborts
 */
export async function acquire(
  folder: string,
  resource: ResourceRef,
  run: number,
  behavior: 'runLatest' | 'sequential',
  signal: AbortSignal,
  held?: (run: number) => void,
): Promise<Lock | undefined> {
  const place = join(folder, fileName(`${resource.type}-${resource.id}`));
  await mkdir(place, { recursive: true });
  const holder = join(place, 'holder.json');
  const waiting = join(place, `waiting-${run}.json`);
  const mark = JSON.stringify({ run, pid: process.pid } satisfies Mark);
  await writeFile(waiting, mark);
  let told: number | undefined;
  try {
    for (;;) {
      signal.throwIfAborted();
      const others = await queue(place, run);
      if (behavior === 'runLatest' && others.some((other) => other > run)) return undefined;
      const turn = behavior === 'runLatest' || !others.some((other) => other < run);
      if (turn && (await take(holder, mark, signal))) return { release: () => rm(holder, { force: true }) };
      const other = (await readMark(holder))?.run;
      if (other !== undefined && other !== told) held?.((told = other));
      await sleep(200, undefined, { signal });
    }
  } finally {
    await rm(waiting, { force: true });
  }
}

/** Runs that wait besides ours; marks of dead processes are taken away. */
async function queue(place: string, run: number): Promise<number[]> {
  const found: number[] = [];
  for (const name of await readdir(place)) {
    if (!/^waiting-\d+\.json$/.test(name) || name === `waiting-${run}.json`) continue;
    const other = await readMark(join(place, name));
    if (other && isAlive(other.pid)) found.push(other.run);
    else if (other) await rm(join(place, name), { force: true });
  }
  return found;
}

/**
 * One at a time, and the mark is whole when it is there: a process that dies in here leaves nothing that looks held for ever,
 * and two who find a dead holder do not take each other's mark away.
 */
async function take(holder: string, mark: string, signal: AbortSignal): Promise<boolean> {
  return await withLock(
    `${holder}.lock`,
    async () => {
      const other = await readMark(holder);
      if (other && isAlive(other.pid)) return false;
      await writeFile(`${holder}.new`, mark);
      await rename(`${holder}.new`, holder);
      return true;
    },
    signal,
  );
}
