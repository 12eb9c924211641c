/** The client's two content hashes (reference azure-ml-rest §1.4 and corrections), read in one stream without copies. */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { Failure } from '../../azure/errors.js';
import { byCodePoint } from '../compile/python.js';
import type { IgnoreRules } from './ignore.js';
import type { SnapshotFile } from './types.js';
import { changed, circles, entriesOf, matchOf, openListed, spotOf, statAt, type Spot } from './walk.js';

const CHUNK = 1024 * 1024;
/** Between this many bytes the event loop gets a turn: a cancel must be heard while gigabytes are hashed, and the sign-in goes on. */
const TURN = 4 * 1024 * 1024;
const SEED = 'Initialize for october 2021 AML CLI version';

/** Feeds a hash from many files through one buffer: small files are hashed together, a megabyte at a time. */
class Feeder {
  private readonly buffer = Buffer.allocUnsafe(CHUNK);
  private filled = 0;
  private since = 0;
  constructor(
    private readonly hash: Hash,
    private readonly signal?: AbortSignal,
  ) {}

  /** Feeds text or bytes, in their place between the files. */
  text(value: string | Buffer): void {
    this.flush();
    this.hash.update(value);
  }

  /** Feeds a file's bytes; it must have the size that it had when it was listed. */
  async file(name: string, size: number): Promise<void> {
    const handle = openListed(name);
    let total = 0;
    try {
      // A file that grows as fast as it is read would never end.
      while (total <= size) {
        const room = CHUNK - this.filled;
        const count = readSync(handle, this.buffer, this.filled, room, null);
        this.filled += count;
        total += count;
        // A read that comes back short has met the end, once the size is there; another one would cost as much as the file.
        if (count === 0 || (count < room && total === size)) break;
        if (this.filled < CHUNK) continue;
        this.flush();
        if (this.since >= TURN) {
          this.since = 0;
          await new Promise((resolve) => setImmediate(resolve));
          this.signal?.throwIfAborted();
        }
      }
    } finally {
      closeSync(handle);
    }
    if (total !== size) throw changed(name);
  }

  digest(): string {
    this.flush();
    return this.hash.digest('hex');
  }

  private flush(): void {
    this.hash.update(this.buffer.subarray(0, this.filled));
    this.since += this.filled;
    this.filled = 0;
  }
}

/**
 * Order of a snapshot's files: by lower-cased path, by code points. Names that differ in case only follow each other by code points (the
 * client leaves them as the file system lists them, which differs from machine to machine).
 */
export function inSnapshotOrder(files: readonly SnapshotFile[]): SnapshotFile[] {
  const keyed = files.map((file) => ({ file, name: file.name, key: file.name.toLowerCase() }));
  const ascii = keyed.every(({ key }) => /^[\0-\uD7FF]*$/.test(key));
  keyed.sort((a, b) => (ascii ? (a.key < b.key ? -1 : a.key > b.key ? 1 : byCodePoint(a.name, b.name)) : inOrder(a, b)));
  return keyed.map(({ file }) => file);
}

function inOrder(a: { name: string; key: string }, b: { name: string; key: string }): number {
  return byCodePoint(a.key, b.key) || byCodePoint(a.name, b.name);
}

/** `hash_sha256` of a code snapshot: number of files, `#name#` and size of each, then the contents in the same order. Hex. */
export async function snapshotHash(files: readonly SnapshotFile[], signal?: AbortSignal): Promise<string> {
  const ordered = inSnapshotOrder(files);
  const hash = createHash('sha256');
  hash.update(`${ordered.length}${ordered.map(({ name, size }) => `#${name}#${size}`).join('')}`);
  const feeder = new Feeder(hash, signal);
  for (const file of ordered) {
    if (!file.parts) await feeder.file(file.path, file.size);
    for (const part of file.parts ?? []) {
      if (Buffer.isBuffer(part)) feeder.text(part);
      else await feeder.file(part.path, part.size);
    }
  }
  return feeder.digest();
}

/**
 * Id of `LocalUpload/{id}`: a seed text, then per entry (sorted by lower-cased path) its name and contents, folders in place. Hex.
 * `files`: those that were listed and are to be sent. Errors: Failure for one that was not listed: it would be missing under that id for good.
 */
export async function uploadId(
  target: string,
  rules: IgnoreRules,
  files: readonly SnapshotFile[],
  signal?: AbortSignal,
): Promise<string> {
  const feeder = new Feeder(createHash('sha256'), signal);
  feeder.text(SEED);
  const stat = statSync(target);
  const listed = new Set(files.map((file) => file.path));
  if (stat.isDirectory()) await feedFolder(spotOf(target, rules), { rules, feeder, listed }, []);
  else await feeder.file(target, stat.size);
  return feeder.digest();
}

/** Data is not sent in part: the id would be that of other data. */
function unreadableFolder(folder: string): Failure {
  const advice = 'Give yourself the right to read it, or name it in .amlignore.';
  return new Failure(`${folder} may not be read (EACCES).`, { code: 'FolderUnreadable', file: folder, advice });
}

interface Feeding {
  rules: IgnoreRules;
  feeder: Feeder;
  /** Paths of the files that are sent. */
  listed: ReadonlySet<string>;
}

async function feedFolder(spot: Spot, feeding: Feeding, above: readonly string[]): Promise<void> {
  const { rules, feeder, listed } = feeding;
  const there = entriesOf(spot.real);
  if (!there) throw unreadableFolder(spot.real);
  const entries = there.map((entry) => ({ entry, name: entry.name, key: entry.name.toLowerCase() })).sort(inOrder);
  for (const { entry, name } of entries) {
    // The folder itself is tested as the client does, a link by its own name: an ignored one is neither counted nor entered.
    const match = matchOf(spot, name, rules);
    if (rules.ignores(match)) continue;
    feeder.text(name);
    const full = path.join(spot.real, name);
    const isLink = entry.isSymbolicLink();
    if (!isLink && entry.isDirectory()) await feedFolder({ real: full, match }, feeding, above);
    else {
      const stat = statAt(full, isLink);
      if (stat?.isFile()) {
        if (!listed.has(full)) throw changed(full, 'came into the folder while that was being read');
        await feeder.file(full, stat.size);
      } else if (stat?.isDirectory()) {
        const inside = spotOf(full, rules);
        const chain = [...above, spot.real];
        if (!circles(inside.real, chain)) await feedFolder(inside, feeding, chain);
      }
    }
  }
}
