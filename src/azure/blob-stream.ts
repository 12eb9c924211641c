/** A blob's bytes over lines that break, or that stay open and bring nothing. */
import type { Readable } from 'node:stream';
import { dropsTheLine } from './line.js';

/** How long a piece of a blob is waited for. */
const silence = 60_000;

/** The bytes from `start` to `end`; what is missing when the line breaks is asked for again with `reopen`. Errors: what broke the line six times in a row. */
export async function* resuming(
  first: Readable,
  start: number,
  end: number,
  reopen: (position: number) => Promise<Readable | undefined>,
  signal: AbortSignal | undefined,
): AsyncGenerator<Buffer> {
  let position = start;
  let stream: Readable | undefined = first;
  for (let tries = 0; ;) {
    try {
      for await (const piece of pieces(stream)) {
        const more = position + piece.length > end;
        position += piece.length;
        tries = 0;
        yield more ? piece.subarray(0, end - position) : piece;
        // Who was asked for a part and sends the whole.
        if (more) return;
      }
      if (position >= end) return;
      throw Object.assign(new Error(`the reply ended at byte ${position} of ${end}`), { code: 'ERR_STREAM_PREMATURE_CLOSE' });
    } catch (error) {
      signal?.throwIfAborted();
      if (!dropsTheLine(error) || ++tries > 5) throw error;
      stream = await reopen(position);
      if (!stream) throw error;
    }
  }
}

/** Only the time in which somebody waits for a piece counts: a slow disk is no silence. */
async function* pieces(stream: Readable): AsyncGenerator<Buffer> {
  const iterator = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  try {
    for (;;) {
      const timer = setTimeout(() => {
        stream.destroy(Object.assign(new Error(`nothing came for ${silence / 1000} s`), { code: 'ETIMEDOUT' }));
      }, silence);
      const piece = await iterator.next().finally(() => clearTimeout(timer));
      if (piece.done) return;
      yield piece.value;
    }
  } finally {
    stream.destroy();
  }
}
