/**
 * Where Azurite spends most of a small write, made cheap without a change to what it answers:
 * - it loads a telemetry client even when telemetry is off;
 * - every look at its index (`accountName` and `containerName` and `name`) starts with the least selective key and then reads through
 *   all blobs of the account, so the 10,000th blob costs 100 times the first;
 * - every request is held against all of its 72 operations, whose URI templates are parsed again each time (azurite-dispatch.ts);
 * - every step of a request puts together log lines, whole sets of headers as JSON among them, that nobody writes;
 * - each of a request's random ids asks the system for its bytes, and the one signature of a thousand requests is computed for each;
 * - what was just written is read back from the disk for its MD5, and flushed to it, although the index that names it is written
 *   seconds later and unflushed: a flush saves nothing when the machine loses power, and is not needed when only a process dies;
 * - a body goes through a write stream, whose turn of the thread pool costs more than the writing of a piece into the page cache.
 * - every five seconds it writes its whole index, whose requests wait meanwhile, also in the middle of ten thousand small writes.
 * And two things are made right: closing the index does not wait for a save that is under way, and what that save was to keep is lost;
 * a wrong account key is answered as a malformed token, and a wrong SAS as a firewall's refusal.
 * Each is a package of Azurite's own, found from its folder; one that is no longer there is an error at start, not a silent loss.
 */
import { createHash, randomFillSync } from 'node:crypto';
import { writeSync } from 'node:fs';
import Module, { type createRequire } from 'node:module';
import { dirname, join, sep } from 'node:path';
import { Readable, type Writable } from 'node:stream';
import { dispatcher, type Dispatch, type Specification } from './azurite-dispatch.js';

type Require = ReturnType<typeof createRequire>;
type Expression = Record<string, unknown>;
interface Resultset {
  filterInitialized: boolean;
  collection: { binaryIndices: Record<string, unknown> };
  findAnd: (this: Resultset, expressions: Expression[]) => unknown;
}

interface Loki {
  autosaveDirty: (this: Loki) => boolean;
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

interface Authentication {
  /** Whether one of the authenticators takes the request. */
  authenticate: (
    this: Authentication,
    context: { contextId?: string },
    request: { getQuery(name: string): string | undefined },
    ...more: unknown[]
  ) => Promise<boolean>;
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

/** The index is not saved while a request came in the last half second, but at the latest after half a minute. */
const quiet = 500;
const overdue = 30_000;

/** Call before Azurite is loaded. `azurite`: a `require` that starts in Azurite's folder; `asked`: when the last request came (`performance.now()`). */
export function tuneAzurite(azurite: Require, asked: () => number = () => -Infinity): void {
  silence(azurite);
  put(azurite, 'applicationinsights', {});
  put(azurite, 'uuid/lib/rng', pooled());

  const loki = azurite('lokijs') as { prototype: Loki; Resultset?: { prototype: Resultset } };
  const { Resultset } = loki;
  if (!Resultset) throw new Error('lokijs has no Resultset.');
  loki.prototype.close = function (done) {
    this.autosaveDisable();
    // Queued behind a save that is under way; `done` is told when everything is in the file.
    this.saveDatabase(done);
  };
  const dirty = loki.prototype.autosaveDirty;
  const saved = new WeakMap<Loki, number>();
  loki.prototype.autosaveDirty = function () {
    if (!dirty.call(this)) return false;
    const now = performance.now();
    const last = saved.get(this) ?? now;
    const due = now - asked() > quiet || now - last > overdue;
    saved.set(this, due ? now : last);
    return due;
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

  const generated = './dist/src/blob/generated';
  const dispatch = azurite(`${generated}/middleware/dispatch.middleware`) as { default: Dispatch };
  const specifications = azurite(`${generated}/artifacts/specifications`) as { default: Record<string, Specification> };
  const { isURITemplateMatch } = azurite(`${generated}/utils/utils`) as {
    isURITemplateMatch: (url: string, of: string) => boolean;
  };
  dispatch.default = dispatcher(specifications.default, isURITemplateMatch, dispatch.default);

  const utils = azurite('./dist/src/common/utils/utils') as { computeHMACSHA256: (text: string, key: Buffer) => string };
  utils.computeHMACSHA256 = remembering(utils.computeHMACSHA256);
  keepDigests(azurite);
  refuseWrongSignatures(azurite);
}

/** A shared key or a SAS that does not fit is refused as the service refuses it: 403 AuthenticationFailed. */
function refuseWrongSignatures(azurite: Require): void {
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
  const factory = azurite('./dist/src/blob/middlewares/AuthenticationMiddlewareFactory') as {
    default: { prototype: Authentication };
  };
  const all = factory.default.prototype;
  const { authenticate } = all;
  all.authenticate = async function (context, request, ...more) {
    const taken = await authenticate.call(this, context, request, ...more);
    if (!taken && request.getQuery('sig') !== undefined) throw errors.getAuthenticationFailed(context.contextId);
    return taken;
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

/** Compiles Azurite's modules so that a log line is put together only if somebody wanted it; errors and warnings stay. */
function silence(azurite: Require): void {
  const own = join(dirname(azurite.resolve('./package.json')), 'dist') + sep;
  const loader = Module.prototype as unknown as {
    _compile: (this: object, text: string, file: string, ...more: unknown[]) => unknown;
  };
  const compile = loader._compile;
  loader._compile = function (text, file, ...more) {
    // A statement of its own: what stands before it on its line is white space.
    const quiet = file.startsWith(own)
      ? text.replace(/^(\s*)(?=(?:(?:this\.)?logger|Logger_1\.default)\.(?:info|verbose|debug)\()/gm, '$1false && ')
      : text;
    return compile.call(this, quiet, file, ...more);
  };
}

/** The last few signatures: those of a SAS are the same for every blob of its container. */
function remembering(sign: (text: string, key: Buffer) => string): (text: string, key: Buffer) => string {
  const known = new Map<string, string>();
  return (text, key) => {
    const of = `${key.toString('base64')} ${text}`;
    const signature = known.get(of) ?? sign(text, key);
    known.delete(of);
    known.set(of, signature);
    if (known.size > 64) known.delete(known.keys().next().value ?? '');
    return signature;
  };
}

/** Random bytes for 256 ids at a time. */
function pooled(): () => Uint8Array {
  const pool = Buffer.alloc(4096);
  let at = pool.length;
  return () => {
    if (at === pool.length) {
      randomFillSync(pool);
      at = 0;
    }
    return Uint8Array.prototype.slice.call(pool, at, (at += 16));
  };
}
