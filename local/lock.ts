/** A lock between processes: a folder, because making one is atomic everywhere. The holder keeps touching it; one that no longer does has died. */
import { mkdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isAlive } from './processes.js';

const beatMs = 2_000;
const staleMs = 20_000;

async function owner(path: string): Promise<{ token: string; pid: number } | undefined> {
  try {
    return JSON.parse(await readFile(join(path, 'owner.json'), 'utf8')) as { token: string; pid: number };
  } catch {
    return undefined; // not written yet, or just released
  }
}

/** Takes away a lock whose holder is gone. Two who try at once: the loser's rename fails, or hits a token that it did not judge and gives it back. */
async function breakStale(path: string): Promise<void> {
  const held = await owner(path);
  const age = await stat(path).then(
    (info) => Date.now() - info.mtimeMs,
    () => 0,
  );
  if (held && isAlive(held.pid) && age < staleMs) return;
  if (!held && age < staleMs) return;
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return; // someone else was quicker
  }
  const taken = await owner(aside);
  if (taken?.token !== held?.token) await rename(aside, path).catch(() => rm(aside, { recursive: true, force: true }));
  else await rm(aside, { recursive: true, force: true });
}

/**
 * Runs `body` while holding the lock folder `path` (made with its parents). Waits for another holder as long as that one lives.
 * @param signal ends the wait (not the body)
 * @returns what `body` returns
 * @throws AbortError when the wait was ended
 */
export async function withLock<R>(path: string, body: () => Promise<R>, signal?: AbortSignal): Promise<R> {
  const token = randomUUID();
  await mkdir(dirname(path), { recursive: true });
  for (;;) {
    signal?.throwIfAborted();
    try {
      await mkdir(path);
      break;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      await breakStale(path);
      await sleep(100 + Math.random() * 100);
    }
  }
  await writeFile(join(path, 'owner.json'), JSON.stringify({ token, pid: process.pid }));
  const beat = setInterval(() => {
    const now = new Date();
    utimes(path, now, now).catch(() => undefined); // the lock was taken from us; the marker inside decides what is whole
  }, beatMs);
  try {
    return await body();
  } finally {
    clearInterval(beat);
    if ((await owner(path))?.token === token) await rm(path, { recursive: true, force: true });
  }
}
