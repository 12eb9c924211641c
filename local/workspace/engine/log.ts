/** Moves a growing local log file into the run's append blob, in pieces of bounded size, while the job writes on. */
import { statSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { BlobPlace, Storage } from '../storage/types.js';

/** An append blob takes 4 MiB a block and 50,000 blocks. */
const pieceBytes = 4 * 1024 * 1024;
const shortestMs = 250;

interface LogPump {
  /** Moves what is left and ends. */
  finish(): Promise<void>;
}

/** Starts moving `file` (which must exist) to `place`. */
export function pumpLog(storage: Storage, file: string, place: BlobPlace): LogPump {
  const stop = new AbortController();
  const started = Date.now();
  let offset = 0;
  const buffer = Buffer.allocUnsafe(64 * 1024);
  /** True when everything there has been moved. */
  const move = async (): Promise<void> => {
    if (statSync(file).size <= offset) return;
    const handle = await open(file, 'r');
    try {
      for (;;) {
        const { size } = await handle.stat();
        const length = Math.min(size - offset, pieceBytes);
        if (length <= 0) return;
        const piece = length <= buffer.length ? buffer.subarray(0, length) : Buffer.allocUnsafe(length);
        const { bytesRead } = await handle.read(piece, 0, length, offset);
        if (bytesRead === 0) return;
        await storage.append(place, piece.subarray(0, bytesRead));
        offset += bytesRead;
      }
    } finally {
      await handle.close();
    }
  };
  let failure: unknown;
  const loop = (async () => {
    while (!stop.signal.aborted) {
      // Long jobs are read less often, so that the blob never runs out of blocks.
      await sleep(Math.max(shortestMs, (Date.now() - started) / 2_000), undefined, { signal: stop.signal }).catch(
        () => undefined,
      );
      if (stop.signal.aborted) return;
      try {
        await move();
        failure = undefined;
      } catch (error) {
        failure = error; // tried again with the next round, and for good in finish()
      }
    }
  })();
  return {
    async finish() {
      stop.abort();
      await loop;
      for (let attempt = 1; ; attempt++) {
        try {
          await move();
          return;
        } catch (error) {
          if (attempt === 3) throw failure ?? error;
          await sleep(200 * attempt);
        }
      }
    },
  };
}
