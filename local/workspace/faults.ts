/**
 * Faults on purpose (`--faults SPEC`, or the admin route): what clients of Azure must survive, drawn from one integer seed.
 * A decision depends on the seed, the method, the path and how often that pair was asked before, not on the order in which
 * parallel requests arrive: the same client run meets the same faults again.
 *
 * SPEC: `name=value` separated by commas.
 *   seed=7          the seed (default 1)
 *   rate=0.1        share of the requests that get a fault (default 0)
 *   kinds=429+503+reset-before+reset-after+slow+truncate+expired   which (default all)
 *   burst=2         at most so many in a row for one request (default 2), so that a client that retries gets through
 *   limit=100       at most so many in all
 *   retry-after=1   seconds in the Retry-After of 429 and 503 (default 1)
 *   path=REGEX      only requests whose path matches
 *   metrics-late=3  the newest metrics of a run become visible with the n-th read
 *   not-responding=5  every job is NotResponding for so many seconds while it runs
 *   token-lifetime=60 seconds that issued tokens live (default 3599)
 *   operations-move the poll URL of a long-running operation changes with every poll
 */
import { createHash } from 'node:crypto';
import { Failure } from '../../src/azure/errors.js';

export const faultKinds = ['429', '503', 'reset-before', 'reset-after', 'slow', 'truncate', 'expired'] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface FaultSpec {
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
  operationsMove: boolean;
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
  operationsMove: false,
};

function refuse(part: string, why: string): never {
  throw new Failure(`--faults: '${part}' ${why}`, {
    code: 'FaultsInvalid',
    input: 'faults',
    advice: `Use name=value separated by commas: seed, rate, kinds (${faultKinds.join('+')}), burst, limit, retry-after, path, metrics-late, not-responding, token-lifetime, operations-move.`,
  });
}

/** Throws Failure `FaultsInvalid` for anything it does not know. */
export function parseFaults(text: string): FaultSpec {
  const spec: FaultSpec = { ...none, kinds: [...none.kinds] };
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
    switch (name) {
      case 'seed':
        spec.seed = number(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER, true);
        break;
      case 'rate':
        spec.rate = number(0, 1);
        break;
      case 'kinds':
        spec.kinds = value
          .split('+')
          .map((kind) => faultKinds.find((known) => known === kind) ?? refuse(part, `has an unknown kind '${kind}'.`));
        break;
      case 'burst':
        spec.burst = number(1, 1000, true);
        break;
      case 'limit':
        spec.limit = number(0, Number.MAX_SAFE_INTEGER, true);
        break;
      case 'retry-after':
        spec.retryAfter = number(0, 3600);
        break;
      case 'path':
        try {
          spec.path = new RegExp(value, 'i');
        } catch (_error) {
          refuse(part, 'is not a regular expression.');
        }
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
      case 'operations-move':
        spec.operationsMove = value === 'true';
        break;
      default:
        refuse(part, 'is not known.');
    }
  }
  return spec;
}

export class Faults {
  #text: string;
  #spec: FaultSpec;
  #asked = new Map<string, { count: number; row: number }>();
  #reads = new Map<string, number>();
  readonly injected: { method: string; path: string; nth: number; kind: FaultKind }[] = [];

  constructor(text = '') {
    this.#text = text;
    this.#spec = parseFaults(text);
  }

  /** Replaces the specification and starts counting anew (admin route). */
  set(text: string): void {
    this.#spec = parseFaults(text);
    this.#text = text;
    this.#asked = new Map();
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
    const spec = this.#spec;
    if (spec.rate <= 0 || this.injected.length >= spec.limit || (spec.path && !spec.path.test(path))) return undefined;
    const key = `${method} ${path.toLowerCase()}`;
    const asked = this.#asked.get(key) ?? { count: 0, row: 0 };
    this.#asked.set(key, asked);
    asked.count += 1;
    const digest = createHash('sha256').update(`${spec.seed} ${key} ${asked.count}`).digest();
    if (digest.readUInt32BE(0) / 0x1_0000_0000 >= spec.rate || asked.row >= spec.burst) {
      asked.row = 0;
      return undefined;
    }
    const kind = spec.kinds[digest.readUInt32BE(4) % spec.kinds.length];
    if (kind === undefined) return undefined;
    asked.row += 1;
    this.injected.push({ method, path, nth: asked.count, kind });
    return kind;
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
