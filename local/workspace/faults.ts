/**
 * Faults on purpose (`--faults SPEC`, or the admin route): what clients of Azure must survive, drawn from one integer seed.
 * A decision depends on the seed, the method, the path and how often that pair was asked before, not on the order in which
 * parallel requests arrive: the same client run meets the same faults again. GUIDs in a path count as one and the same, because
 * subscriptions, workspaces and uploads get new ones in every state folder and every run.
 *
 * SPEC: `name=value` separated by commas.
 *   seed=7          the seed (default 1)
 *   rate=0.1        share of the requests that get a fault (default 0)
 *   kinds=429+503+reset-before+reset-after+slow+truncate+expired   which (default all)
 *   burst=2         at most so many in a row for one request (default 2), so that a client that retries gets through
 *   limit=100       at most so many in all (blob storage counts its own)
 *   retry-after=1   whole seconds in the Retry-After of 429 and 503 (default 1)
 *   path=REGEX      only requests whose path matches
 *   metrics-late=3  the newest metrics of a run become visible with the n-th read
 *   not-responding=5  every job is NotResponding for so many seconds while it runs
 *   token-lifetime=60 seconds that issued tokens live (default 3599)
 *   sas-lifetime=60 seconds that issued SAS live at most: of uploads, datastores, logs, artifacts, registries (default: as the service gives them)
 *   operations-move the poll URL of a long-running operation changes with every poll
 * and for requests of clients to blob storage (never the workspace's own), with the same seed, burst, limit and retry-after:
 *   storage=0.1     share of the requests that get a fault (default 0)
 *   storage-kinds=503+500+reset-before+reset-after+slow+truncate   which (default these); also 429 and expired, which storage gives
 *                   seldom and its clients do not all retry. `truncate` meets reads, `expired` Entra tokens only
 *   storage-path=REGEX  only requests whose `METHOD /container/blob?comp=…` matches
 */
import { createHash } from 'node:crypto';
import { Failure } from '../../src/azure/errors.js';

export const faultKinds = ['429', '503', 'reset-before', 'reset-after', 'slow', 'truncate', 'expired'] as const;
export type FaultKind = (typeof faultKinds)[number];

export const storageFaultKinds = ['503', '500', 'reset-before', 'reset-after', 'slow', 'truncate', '429', 'expired'] as const;
export type StorageFaultKind = (typeof storageFaultKinds)[number];

/** A fault that was injected; `service` is left out for the workspace itself. */
export interface Injected {
  method: string;
  path: string;
  nth: number;
  kind: FaultKind | StorageFaultKind;
  service?: 'storage';
}

interface FaultSpec {
  seed: number;
  rate: number;
  kinds: FaultKind[];
  burst: number;
  limit: number;
  retryAfter: number;
  path?: RegExp;
  metricsLate: number;
  notResponding: number;
  tokenLifetime: number;
  sasLifetime: number;
  operationsMove: boolean;
  storage: number;
  storageKinds: StorageFaultKind[];
  storagePath?: RegExp;
}

const none: FaultSpec = {
  seed: 1,
  rate: 0,
  kinds: [...faultKinds],
  burst: 2,
  limit: Infinity,
  retryAfter: 1,
  metricsLate: 0,
  notResponding: 0,
  tokenLifetime: 3599,
  sasLifetime: Infinity,
  operationsMove: false,
  storage: 0,
  storageKinds: storageFaultKinds.slice(0, 6),
};

function refuse(part: string, why: string): never {
  throw new Failure(`--faults: '${part}' ${why}`, {
    code: 'FaultsInvalid',
    input: 'faults',
    advice: `Use name=value separated by commas: seed, rate, kinds (${faultKinds.join('+')}), burst, limit, retry-after, path, metrics-late, not-responding, token-lifetime, sas-lifetime, operations-move, storage, storage-kinds (${storageFaultKinds.join('+')}), storage-path.`,
  });
}

/** Throws Failure `FaultsInvalid` for anything it does not know. */
export function parseFaults(text: string): FaultSpec {
  const spec: FaultSpec = { ...none, kinds: [...none.kinds], storageKinds: [...none.storageKinds] };
  for (const part of text
    .split(',')
    .map((entry) => entry.trim())
    .filter(Boolean)) {
    const at = part.indexOf('=');
    const name = at < 0 ? part : part.slice(0, at);
    const value = at < 0 ? 'true' : part.slice(at + 1);
    const number = (low: number, high: number, whole = false): number => {
      const parsed = Number(value);
      if (value.trim() === '' || !(parsed >= low && parsed <= high) || (whole && !Number.isInteger(parsed)))
        refuse(part, `needs a${whole ? ' whole' : ''} number from ${low} to ${high}.`);
      return parsed;
    };
    const kinds = <Kind extends string>(all: readonly Kind[]): Kind[] =>
      value.split('+').map((kind) => all.find((known) => known === kind) ?? refuse(part, `has an unknown kind '${kind}'.`));
    const pattern = (): RegExp => {
      try {
        return new RegExp(value, 'i');
      } catch (_error) {
        return refuse(part, 'is not a regular expression.');
      }
    };
    switch (name) {
      case 'seed':
        spec.seed = number(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true);
        break;
      case 'rate':
        spec.rate = number(0, 1);
        break;
      case 'kinds':
        spec.kinds = kinds(faultKinds);
        break;
      case 'burst':
        spec.burst = number(1, 1000, true);
        break;
      case 'limit':
        spec.limit = number(0, Number.MAX_SAFE_INTEGER, true);
        break;
      case 'retry-after':
        spec.retryAfter = number(0, 3600, true); // The header knows whole seconds only; clients refuse others.
        break;
      case 'path':
        spec.path = pattern();
        break;
      case 'storage':
        spec.storage = number(0, 1);
        break;
      case 'storage-kinds':
        spec.storageKinds = kinds(storageFaultKinds);
        break;
      case 'storage-path':
        spec.storagePath = pattern();
        break;
      case 'metrics-late':
        spec.metricsLate = number(0, 1_000_000, true);
        break;
      case 'not-responding':
        spec.notResponding = number(0, 86_400);
        break;
      case 'token-lifetime':
        spec.tokenLifetime = number(1, 86_400, true);
        break;
      case 'sas-lifetime':
        spec.sasLifetime = number(1, 86_400, true);
        break;
      case 'operations-move':
        spec.operationsMove = value === 'true';
        break;
      default:
        refuse(part, 'is not known.');
    }
  }
  return spec;
}

const guid = /[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/g;

/** Draws faults for one kind of requests from the seed. */
export class Draw<Kind extends string> {
  readonly #asked = new Map<string, { count: number; row: number }>();
  #injected = 0;

  constructor(
    readonly spec: Pick<FaultSpec, 'seed' | 'burst' | 'limit'> & { rate: number; kinds: readonly Kind[]; path?: RegExp },
  ) {}

  /** The fault, if any, and the how many-th request of its kind it meets. `possible` leaves kinds out that make no sense for it. */
  next(method: string, path: string, possible: (kind: Kind) => boolean = () => true): { kind: Kind; nth: number } | undefined {
    const { spec } = this;
    const key = `${method} ${path.toLowerCase().replace(guid, '*')}`;
    const asked = this.#asked.get(key) ?? { count: 0, row: 0 };
    this.#asked.set(key, asked);
    asked.count += 1;
    const digest = createHash('sha256').update(`${spec.seed} ${key} ${asked.count}`).digest();
    if (digest.readUInt32BE(0) / 0x1_0000_0000 >= spec.rate || asked.row >= spec.burst) {
      asked.row = 0;
      return undefined;
    }
    const kinds = spec.kinds.filter(possible);
    const kind = kinds[digest.readUInt32BE(4) % kinds.length];
    if (kind === undefined || this.#injected >= spec.limit) return undefined;
    asked.row += 1;
    this.#injected += 1;
    return { kind, nth: asked.count };
  }

  /** Whether a request to this path may meet a fault at all. */
  meets(path: string): boolean {
    return this.spec.rate > 0 && this.#injected < this.spec.limit && (this.spec.path?.test(path) ?? true);
  }
}

export class Faults {
  #text: string;
  #spec: FaultSpec;
  #draw: Draw<FaultKind>;
  #reads = new Map<string, number>();
  readonly injected: Injected[] = [];

  constructor(text = '') {
    this.#text = text;
    this.#spec = parseFaults(text);
    this.#draw = new Draw(this.#spec);
  }

  /** Replaces the specification and starts counting anew (admin route). */
  set(text: string): void {
    this.#spec = parseFaults(text);
    this.#text = text;
    this.#draw = new Draw(this.#spec);
    this.#reads = new Map();
    this.injected.length = 0;
  }

  get text(): string {
    return this.#text;
  }
  get spec(): Readonly<FaultSpec> {
    return this.#spec;
  }

  /** The fault for this request, if any. */
  next(method: string, path: string): FaultKind | undefined {
    const drawn = this.#draw.meets(path) ? this.#draw.next(method, path) : undefined;
    if (drawn) this.injected.push({ method, path, ...drawn });
    return drawn?.kind;
  }

  /** To be asked at every read of a run's metrics: true means "answer as if the newest were not there yet". */
  metricsLate(runId: string): boolean {
    if (this.#spec.metricsLate <= 0) return false;
    const reads = (this.#reads.get(runId) ?? 0) + 1;
    this.#reads.set(runId, reads);
    return reads <= this.#spec.metricsLate;
  }

  /** Seconds for which a job shows NotResponding after it began to run; 0 is the rule. */
  notResponding(): number {
    return this.#spec.notResponding;
  }

  /** True when poll URLs of long-running operations change with every poll. */
  get operationsMove(): boolean {
    return this.#spec.operationsMove;
  }
}
