/** Small files of the state folder: written whole or not at all, readable by their owner only. */
import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';

export function writePrivate(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.tmp`;
  const descriptor = openSync(temporary, 'w', 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
  renameSync(temporary, file);
}
