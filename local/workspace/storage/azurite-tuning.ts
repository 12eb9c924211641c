/**
 * Where Azurite spends most of a small write, made cheap without a change to what it answers:
 * - it loads a telemetry client even when telemetry is off;
 * - every look at its index (`accountName` and `containerName` and `name`) starts with the least selective key and then reads through
 *   all blobs of the account, so the 10,000th blob costs 100 times the first;
 * - every request parses the URI template of every operation again;
 * - what was just written is read back from the disk for its MD5, and flushed to it, although the index that names it is written
 *   seconds later and unflushed: a flush saves nothing when the machine loses power, and is not needed when only a process dies;
 * - a body goes through a write stream, whose turn of the thread pool costs more than the writing of a piece into the page cache.
 * And two things are made right: closing the index does not wait for a save that is under way, and what that save was to keep is lost;
 * a wrong account key is answered as a malformed token.
 * Each is a package of Azurite's own, found from its folder; one that is no longer there is an error at start, not a silent loss.
 */
import { createHash } from 'node:crypto';
import { writeSync } from 'node:fs';
import type { createRequire } from 'node:module';
import { Readable, type Writable } from 'node:stream';

type Require = ReturnType<typeof createRequire>;
type Expression = Record<string, unknown>;
/** What Azurite uses of a parsed template: always with the same options. */
interface Template {
  fromUri(url: string, options: object): object | undefined;
}
interface Resultset {
  filterInitialized: boolean;
  collection: { binaryIndices: Record<string, unknown> };
  findAnd: (this: Resultset, expressions: Expression[]) => unknown;
}

interface Loki {
  autosaveDisable: (this: Loki) => void;
  saveDatabase: (this: Loki, done: (error?: unknown) => void) => void;
  close: (this: Loki, done: (error?: unknown) => void) => void;
}

interface ExtentStore {
  streamPipe: (this: ExtentStore, from: Readable, to: Writable, file: number, context: unknown) => Promise<number>;
  appendExtent: (this: ExtentStore, data: object, context: unknown) => Promise<object>;
  readExtent: (this: ExtentStore, extent: object, context: unknown) => Promise<Readable>;
}

interface SharedKeyAuthenticator {
  /** False: the key does not fit; undefined: the request shows none. */
  validate: (this: SharedKeyAuthenticator, request: object, context: { contextId?: string }) => Promise<boolean | undefined>;
}

/** Keys of Azurite's collections from the most selective to the least. */
const selective = ['name', 'blobName', 'containerName'];

function put(from: Require, name: string, exports: unknown): void {
  const path = from.resolve(name);
  const module = { exports, id: path, filename: path, loaded: true, children: [], paths: [] };
  (from.cache as Record<string, unknown>)[path] = module;
}

function rank(collection: Resultset['collection'], expression: Expression): number {
  const [key = ''] = Object.keys(expression);
  const at = selective.indexOf(key);
  // Only a plain value is an equality that its index answers at once.
  const plain = expression[key] === null || typeof expression[key] !== 'object';
  return at >= 0 && plain && collection.binaryIndices[key] ? at : selective.length;
}

/** Call before Azurite is loaded. `azurite`: a `require` that starts in Azurite's folder. */
export function tuneAzurite(azurite: Require): void {
  put(azurite, 'applicationinsights', {});

  const loki = azurite('lokijs') as { prototype: Loki; Resultset?: { prototype: Resultset } };
  const { Resultset } = loki;
  if (!Resultset) throw new Error('lokijs has no Resultset.');
  loki.prototype.close = function (done) {
    this.autosaveDisable();
    // Queued behind a save that is under way; `done` is told when everything is in the file.
    this.saveDatabase(done);
  };
  const findAnd = Resultset.prototype.findAnd;
  const and = function (this: Resultset, expressions: Expression[]): unknown {
    if (this.filterInitialized) return findAnd.call(this, expressions);
    // Sorting is stable: the rest keeps its order.
    return findAnd.call(
      this,
      [...expressions].sort((a, b) => rank(this.collection, a) - rank(this.collection, b)),
    );
  };
  Object.assign(Resultset.prototype, { findAnd: and, $and: and });

  const parse = azurite('uri-templates') as (template: string) => Template;
  const parsed = new Map<string, Template>();
  put(azurite, 'uri-templates', (template: string) => {
    const known = parsed.get(template) ?? remembering(parse(template));
    parsed.set(template, known);
    return known;
  });

  keepDigests(azurite);
  refuseWrongKeys(azurite);
}

/** A shared key that does not fit is refused as the service refuses it (403 AuthenticationFailed), not as a malformed token. */
function refuseWrongKeys(azurite: Require): void {
  const keys = (
    azurite('./dist/src/blob/authentication/BlobSharedKeyAuthenticator') as { default: { prototype: SharedKeyAuthenticator } }
  ).default.prototype;
  const errors = (
    azurite('./dist/src/blob/errors/StorageErrorFactory') as {
      default: { getAuthenticationFailed: (id: string | undefined) => Error };
    }
  ).default;
  const { validate } = keys;
  keys.validate = async function (request, context) {
    const holds = await validate.call(this, request, context);
    if (holds === false) throw errors.getAuthenticationFailed(context.contextId);
    return holds;
  };
}

/** The MD5 of a body is taken while it is written; the stream that would read it back opens its file only if somebody reads. */
function keepDigests(azurite: Require): void {
  const store = (azurite('./dist/src/common/persistence/FSExtentStore') as { default: { prototype: ExtentStore } }).default
    .prototype;
  const utils = azurite('./dist/src/common/utils/utils') as { getMD5FromStream: (stream: Readable) => Promise<Uint8Array> };
  const { appendExtent, readExtent } = store;
  const { getMD5FromStream } = utils;
  const ofBody = new WeakMap<object, Buffer>();
  const ofExtent = new WeakMap<object, Buffer>();
  const ofStream = new WeakMap<Readable, Buffer>();
  store.streamPipe = (from, _to, file) =>
    new Promise((resolve, reject) => {
      const hash = createHash('md5');
      let count = 0;
      const write = (piece: Buffer): void => {
        try {
          for (let at = 0; at < piece.length;) at += writeSync(file, piece, at);
        } catch (error) {
          // The caller cuts off what is there: nothing may follow.
          from.off('data', write).resume();
          reject(error instanceof Error ? error : new Error(String(error)));
          return;
        }
        hash.update(piece);
        count += piece.length;
      };
      from
        .on('data', write)
        .once('end', () => {
          ofBody.set(from, hash.digest());
          resolve(count);
        })
        .once('error', reject)
        .once('close', () => {
          if (!from.readableEnded) reject(new Error('The body was closed before its end.'));
        });
    });
  store.appendExtent = async function (data, context) {
    const extent = await appendExtent.call(this, data, context);
    const digest = ofBody.get(data);
    if (digest) ofExtent.set(extent, digest);
    return extent;
  };
  store.readExtent = async function (extent, context) {
    // Azurite keeps this very object as the blob's place: only the reading that follows the writing is spared.
    const digest = ofExtent.get(extent);
    if (!digest) return readExtent.call(this, extent, context);
    ofExtent.delete(extent);
    const late = async function* (open: () => Promise<Readable>) {
      yield* await open();
    };
    const stream = Readable.from(
      late(() => readExtent.call(this, extent, context)),
      { objectMode: false },
    );
    ofStream.set(stream, digest);
    return stream;
  };
  utils.getMD5FromStream = async (stream) => ofStream.get(stream) ?? getMD5FromStream(stream);
}

/** A request is held against the same few templates once for each operation: the last answer is the next one. */
function remembering(template: Template): Template {
  let last: string | undefined;
  let answer: object | undefined;
  return {
    fromUri(url, options) {
      if (url !== last) [last, answer] = [url, template.fromUri(url, options)];
      return answer;
    },
  };
}
