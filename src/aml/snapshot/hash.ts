/** The client's two content hashes (reference azure-ml-rest §1.4 and corrections), read in one stream without copies. */
import { createHash, type Hash } from 'node:crypto';
import { closeSync, openSync, readdirSync, readSync, statSync } from 'node:fs';
import path from 'node:path';
import { byCodePoint } from '../compile/python.js';
import type { IgnoreRules } from './ignore.js';
import type { SnapshotFile } from './types.js';

const CHUNK = 1024 * 1024;
/** Between this many bytes the event loop gets a turn: a cancel must be heard while gigabytes are hashed. */
const TURN = 64 * 1024 * 1024;
const SEED = 'Initialize for october 2021 AML CLI version';

class Feeder {
  private readonly buffer = Buffer.allocUnsafe(CHUNK);
  private since = 0;
  constructor(
    private readonly hash: Hash,
    private readonly signal?: AbortSignal,
  ) {}

  async file(name: string): Promise<void> {
    const handle = openSync(name, 'r');
    try {
      for (;;) {
        const count = readSync(handle, this.buffer, 0, CHUNK, null);
        if (count === 0) break;
        this.hash.update(this.buffer.subarray(0, count));
        this.since += count;
        if (this.since >= TURN) {
          this.since = 0;
          await new Promise((resolve) => setImmediate(resolve));
          this.signal?.throwIfAborted();
        }
      }
    } finally {
      closeSync(handle);
    }
  }
}

/** Order of a snapshot's files: by lower-cased path, by code points. */
export function inSnapshotOrder(files: readonly SnapshotFile[]): SnapshotFile[] {
  const keyed = files.map((file) => ({ file, key: file.name.toLowerCase() }));
  const ascii = keyed.every(({ key }) => /^[\0-\uD7FF]*$/.test(key));
  keyed.sort((a, b) => (ascii ? (a.key < b.key ? -1 : a.key > b.key ? 1 : 0) : byCodePoint(a.key, b.key)));
  return keyed.map(({ file }) => file);
}

/** `hash_sha256` of a code snapshot: number of files, `#name#` and size of each, then the contents in the same order. Hex. */
export async function snapshotHash(files: readonly SnapshotFile[], signal?: AbortSignal): Promise<string> {
  const ordered = inSnapshotOrder(files);
  const hash = createHash('sha256');
  hash.update(String(ordered.length));
  for (const { name, size } of ordered) hash.update(`#${name}#${size}`);
  const feeder = new Feeder(hash, signal);
  for (const file of ordered) await feeder.file(file.path);
  return hash.digest('hex');
}

/** Id of `LocalUpload/{id}`: a seed text, then per entry (sorted by lower-cased path) its name and contents, folders in place. Hex. */
export async function uploadId(target: string, rules: IgnoreRules, signal?: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  hash.update(SEED);
  const feeder = new Feeder(hash, signal);
  if (statSync(target).isDirectory()) await feedFolder(target, '', rules, hash, feeder, 0);
  else await feeder.file(target);
  return hash.digest('hex');
}

async function feedFolder(
  folder: string,
  prefix: string,
  rules: IgnoreRules,
  hash: Hash,
  feeder: Feeder,
  depth: number,
): Promise<void> {
  if (depth > 200) return;
  const names = readdirSync(folder)
    .map((name) => ({ name, key: name.toLowerCase() }))
    .sort((a, b) => byCodePoint(a.key, b.key));
  for (const { name } of names) {
    const relative = prefix === '' ? name : `${prefix}/${name}`;
    // The folder itself is tested as the client does: an ignored one is neither counted nor entered.
    if (rules.ignores(relative)) continue;
    hash.update(name);
    const full = path.join(folder, name);
    const stat = statSync(full, { throwIfNoEntry: false });
    if (stat?.isFile()) await feeder.file(full);
    else if (stat?.isDirectory()) await feedFolder(full, relative, rules, hash, feeder, depth + 1);
  }
}
