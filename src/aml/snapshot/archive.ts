/**
 * A folder as one zip (`additional_includes: - lib.zip`), never written to disk: its headers are made here, and what lies between them is
 * read from the files themselves, so that any part of it can be hashed and sent as it is needed. Contents are stored, not compressed, as the
 * client stores them. Times are fixed and members sorted: the same contents are the same bytes on every machine.
 */
import { closeSync, fstatSync, readSync } from 'node:fs';
import path from 'node:path';
import { crc32 } from 'node:zlib';
import { Failure } from '../../azure/errors.js';
import { statOf } from '../compile/context.js';
import { byCodePoint } from '../compile/python.js';
import type { FilePart, SnapshotFile } from './types.js';
import { changed, openListed } from './walk.js';

/** What fits into an archive without the 64-bit extension, which not every reader knows. */
const MOST_BYTES = 0xffffffff;
const MOST_MEMBERS = 0xffff;
/** 1 January 1980, the earliest day that a zip knows. */
const DAY = 0x21;
const UTF8 = 0x800;
const CHUNK = 1024 * 1024;

/** The folder that an include asks to have zipped: `x/lib.zip` where only `x/lib` is. Undefined for any other include. */
export function folderToZip(include: string): string | undefined {
  if (path.extname(include) !== '.zip' || statOf(include)) return undefined;
  const folder = include.slice(0, -'.zip'.length);
  return statOf(folder)?.isDirectory() ? folder : undefined;
}

/**
 * In: the folder as it is written, the files of it that are sent (names below the folder). Out: its archive, with the folder's own name in
 * front of every member. Errors: Failure for what does not fit, and for a file that changes while it is read.
 */
export async function zipOf(folder: string, files: readonly SnapshotFile[], signal?: AbortSignal): Promise<SnapshotFile> {
  const root = path.basename(folder);
  const sorted = [...files].sort((a, b) => byCodePoint(a.name, b.name));
  const bytes = sorted.reduce((sum, { name, size }) => sum + size + 2 * (Buffer.byteLength(`${root}/${name}`) + 64), CHUNK);
  if (bytes > MOST_BYTES || sorted.length >= MOST_MEMBERS) {
    throw new Failure(`${folder} is too large for one zip: ${sorted.length} files, ${bytes - CHUNK} bytes.`, {
      code: 'ArchiveTooLarge',
      file: folder,
      advice: 'A zip holds 65,534 files and 4 GB: include the folder itself, or name what is not needed in its .amlignore.',
    });
  }
  const parts: (Buffer | FilePart)[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  const add = (name: string, part: FilePart | undefined, crc: number, mode: number): void => {
    const encoded = Buffer.from(name);
    const common = shared(encoded, crc, part?.size ?? 0);
    const header = Buffer.concat([Buffer.from('PK\x03\x04'), common, encoded]);
    directory.push(entry(common, encoded, at, mode));
    parts.push(header);
    at += header.length;
    if (part && part.size > 0) {
      parts.push(part);
      at += part.size;
    }
  };
  add(`${root}/`, undefined, 0, 0o040755);
  for (const { path: file, name, size, mtimeMs } of sorted) {
    signal?.throwIfAborted();
    const part = { path: file, size, mtimeMs };
    const { crc, mode } = await checksum(part, signal);
    add(`${root}/${name}`, part, crc, mode);
  }
  const central = Buffer.concat(directory);
  parts.push(central, ending(directory.length, central.length, at));
  const size = parts.reduce((sum, part) => sum + (Buffer.isBuffer(part) ? part.length : part.size), 0);
  return { path: folder, name: `${root}.zip`, size, mtimeMs: 0, parts };
}

/** Reads part of a file as it is in the snapshot. In: offset and length within its size. Errors: Failure when a file has changed. */
export function readParts(parts: NonNullable<SnapshotFile['parts']>, offset: number, length: number): Buffer {
  const into = Buffer.allocUnsafe(length);
  let start = 0;
  let filled = 0;
  for (const part of parts) {
    const size = Buffer.isBuffer(part) ? part.length : part.size;
    const from = Math.max(offset + filled - start, 0);
    const count = Math.min(size - from, length - filled);
    if (count > 0) {
      if (Buffer.isBuffer(part)) part.copy(into, filled, from, from + count);
      else readFrom(part, into.subarray(filled, filled + count), from);
      filled += count;
    }
    if (filled === length) return into;
    start += size;
  }
  throw new RangeError(`The file ends before ${offset + length}.`);
}

function readFrom(part: FilePart, into: Buffer, position: number): void {
  const handle = openPart(part);
  try {
    for (let done = 0; done < into.length;) {
      const count = readSync(handle, into, done, into.length - done, position + done);
      if (count === 0) throw changed(part.path);
      done += count;
    }
  } finally {
    closeSync(handle);
  }
}

/** Opens a file that must still be the one that was listed: the archive's checksums are those of that one. */
function openPart({ path: file, size, mtimeMs }: FilePart): number {
  const handle = openListed(file);
  const stat = fstatSync(handle);
  if (stat.size === size && stat.mtimeMs === mtimeMs) return handle;
  closeSync(handle);
  throw changed(file);
}

async function checksum(part: FilePart, signal?: AbortSignal): Promise<{ crc: number; mode: number }> {
  const handle = openPart(part);
  try {
    const buffer = Buffer.allocUnsafe(Math.min(part.size, CHUNK));
    let crc = 0;
    let total = 0;
    for (let turn = 1; total < part.size; turn++) {
      const count = readSync(handle, buffer, 0, buffer.length, null);
      if (count === 0) throw changed(part.path);
      crc = crc32(buffer.subarray(0, count), crc);
      total += count;
      // A cancel must be heard while gigabytes are read.
      if (turn % 64 === 0) await new Promise((resolve) => setImmediate(resolve));
      signal?.throwIfAborted();
    }
    if (total !== part.size) throw changed(part.path);
    // Whether it may be executed is content; the rest of the mode is the machine's.
    return { crc, mode: fstatSync(handle).mode & 0o100 ? 0o100755 : 0o100644 };
  } finally {
    closeSync(handle);
  }
}

/** What both headers of a member say: version 2.0, stored, time, checksum, sizes, length of the name. */
function shared(name: Buffer, crc: number, size: number): Buffer {
  const header = Buffer.alloc(26);
  header.writeUInt16LE(20, 0);
  header.writeUInt16LE(/^[\x20-\x7e]*$/.test(name.toString('latin1')) ? 0 : UTF8, 2);
  header.writeUInt16LE(DAY, 8);
  header.writeUInt32LE(crc, 10);
  header.writeUInt32LE(size, 14);
  header.writeUInt32LE(size, 18);
  header.writeUInt16LE(name.length, 22);
  return header;
}

/** A member's line in the directory at the end; `mode` as Unix has it, and the folder's bit of DOS. */
function entry(common: Buffer, name: Buffer, offset: number, mode: number): Buffer {
  const tail = Buffer.alloc(14);
  tail.writeUInt32LE(mode * 0x10000 + (mode & 0o040000 ? 0x10 : 0), 6);
  tail.writeUInt32LE(offset, 10);
  // Made on Unix (3), by version 2.0 of the format.
  return Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 3]), common, tail, name]);
}

function ending(count: number, length: number, offset: number): Buffer {
  const end = Buffer.alloc(22);
  end.write('PK\x05\x06', 'latin1');
  end.writeUInt16LE(count, 8);
  end.writeUInt16LE(count, 10);
  end.writeUInt32LE(length, 12);
  end.writeUInt32LE(offset, 16);
  return end;
}
