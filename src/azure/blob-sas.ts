/** What the requests of an open container show. A SAS that can be exchanged is, once for all of them: ahead of its end, and when storage takes it no more. */
import type { HttpResponse } from './http.js';
import type { BlobAuth, Clock } from './types.js';

/** When a SAS that could not be exchanged ahead of its end is tried to be exchanged again. */
const soon = 60_000;

type Renewal = NonNullable<Extract<BlobAuth, { kind: 'sas' }>['renewal']>;

export class Shown {
  readonly #clock: Pick<Clock, 'now'>;
  #auth: BlobAuth;
  /** When it is exchanged ahead of its end. */
  #due: number;
  /** It came in exchange for another, and storage has not taken it yet. */
  #untried = false;
  #renewing: Promise<BlobAuth> | undefined;

  constructor(auth: BlobAuth, clock: Pick<Clock, 'now'>) {
    this.#clock = clock;
    this.#auth = auth;
    this.#due = this.#dueOf(auth);
  }

  #dueOf(auth: BlobAuth): number {
    return this.#clock.now() + ((auth.kind === 'sas' ? auth.renewal?.forMs : undefined) ?? Infinity);
  }

  /** For the next request. */
  async current(): Promise<BlobAuth> {
    const auth = this.#auth;
    if (auth.kind !== 'sas' || !auth.renewal || this.#clock.now() < this.#due) return auth;
    // Storage still takes the old one; when it does not, the next exchange says what is wrong.
    return this.#exchanged(auth.renewal).catch(() => auth);
  }

  #exchanged(renewal: Renewal): Promise<BlobAuth> {
    this.#renewing ??= renewal
      .next()
      .then((fresh) => {
        this.#due = fresh ? this.#dueOf(fresh) : this.#clock.now() + soon;
        if (fresh) [this.#auth, this.#untried] = [fresh, true];
        return this.#auth;
      })
      .catch((error: unknown) => {
        this.#due = this.#clock.now() + soon;
        throw error;
      })
      .finally(() => (this.#renewing = undefined));
    return this.#renewing;
  }

  /** A fresh SAS for one that storage takes no more (it has expired); undefined where the refusal is meant: of a fresh one, or for another reason. */
  async instead(of: BlobAuth, response: HttpResponse): Promise<BlobAuth | undefined> {
    if (of.kind !== 'sas' || !of.renewal || response.status !== 403) return undefined;
    const code = response.headers['x-ms-error-code'] ?? /<Code>(\w+)<\/Code>/.exec(response.bytes.toString('utf8'))?.[1];
    if (code !== 'AuthenticationFailed') return undefined;
    if (this.#auth !== of) return this.#auth;
    if (this.#untried) return undefined;
    const fresh = await this.#exchanged(of.renewal);
    return fresh === of ? undefined : fresh;
  }

  /** Storage has answered a request that showed it: with anything but a fault of its own or a refusal, it has taken it. */
  answered(auth: BlobAuth, status: number): void {
    if (status < 500 && status !== 403 && this.#auth === auth) this.#untried = false;
  }
}
