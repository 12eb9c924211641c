/**
 * SHA-256 (FIPS 180-4) whose state can be taken out and put back at a multiple of 64 bytes: Node's own cannot, and a large file that is
 * half copied would have to be read again from its beginning.
 */
/** The constants of the standard: fractions of the roots of the first primes. Computed when first needed. */
let constants: { K: Int32Array; H0: Int32Array } | undefined;

function standard(): { K: Int32Array; H0: Int32Array } {
  if (constants) return constants;
  const K = new Int32Array(64);
  const H0 = new Int32Array(8);
  for (let n = 2, i = 0; i < 64; n++) {
    let prime = true;
    for (let d = 2; d * d <= n; d++) if (n % d === 0) prime = false;
    if (!prime) continue;
    if (i < 8) H0[i] = fraction(Math.sqrt(n));
    K[i++] = fraction(Math.cbrt(n));
  }
  return (constants = { K, H0 });
}

function fraction(value: number): number {
  return Math.floor((value - Math.floor(value)) * 2 ** 32) | 0;
}

export class Sha256 {
  readonly #h = new Int32Array(standard().H0);
  readonly #w = new Int32Array(64);
  #tail = Buffer.alloc(0);
  #length = 0;

  /** `state`: 32 bytes of `state()`; `length`: bytes hashed so far, a multiple of 64. */
  static resume(state: Buffer, length: number): Sha256 {
    const hash = new Sha256();
    for (let i = 0; i < 8; i++) hash.#h[i] = state.readInt32BE(i * 4);
    hash.#length = length;
    return hash;
  }

  update(bytes: Buffer): this {
    this.#length += bytes.length;
    let data = bytes;
    if (this.#tail.length > 0) {
      const fill = Math.min(64 - this.#tail.length, bytes.length);
      this.#tail = Buffer.concat([this.#tail, bytes.subarray(0, fill)]);
      data = bytes.subarray(fill);
      if (this.#tail.length < 64) return this;
      this.#blocks(this.#tail);
      this.#tail = Buffer.alloc(0);
    }
    const whole = data.length - (data.length % 64);
    this.#blocks(data.subarray(0, whole));
    if (whole < data.length) this.#tail = Buffer.from(data.subarray(whole));
    return this;
  }

  /** State after a multiple of 64 bytes; at other places it is that of the last such place. */
  state(): Buffer {
    const out = Buffer.alloc(32);
    this.#h.forEach((word, i) => out.writeInt32BE(word, i * 4));
    return out;
  }

  /** Lower-case hex of everything so far. The object is spent afterwards. */
  hex(): string {
    const length = this.#length;
    const pad = Buffer.alloc((this.#tail.length < 56 ? 64 : 128) - this.#tail.length);
    pad[0] = 0x80;
    pad.writeBigUInt64BE(BigInt(length) * 8n, pad.length - 8);
    this.#blocks(Buffer.concat([this.#tail, pad]));
    return this.state().toString('hex');
  }

  #blocks(data: Buffer): void {
    const w = this.#w;
    const { K } = standard();
    const state = this.#h;
    for (let at = 0; at < data.length; at += 64) {
      for (let i = 0, p = at; i < 16; i++, p += 4)
        w[i] = (data[p]! << 24) | (data[p + 1]! << 16) | (data[p + 2]! << 8) | data[p + 3]!;
      for (let i = 16; i < 64; i++) {
        const x = w[i - 15]!;
        const y = w[i - 2]!;
        const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
        const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
        w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
      }
      let a = state[0]!;
      let b = state[1]!;
      let c = state[2]!;
      let d = state[3]!;
      let e = state[4]!;
      let f = state[5]!;
      let g = state[6]!;
      let h = state[7]!;
      for (let i = 0; i < 64; i++) {
        const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
        const t1 = (h + s1 + ((e & f) ^ (~e & g)) + K[i]! + w[i]!) | 0;
        const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
        const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
        h = g;
        g = f;
        f = e;
        e = (d + t1) | 0;
        d = c;
        c = b;
        b = a;
        a = (t1 + t2) | 0;
      }
      state[0] = (state[0]! + a) | 0;
      state[1] = (state[1]! + b) | 0;
      state[2] = (state[2]! + c) | 0;
      state[3] = (state[3]! + d) | 0;
      state[4] = (state[4]! + e) | 0;
      state[5] = (state[5]! + f) | 0;
      state[6] = (state[6]! + g) | 0;
      state[7] = (state[7]! + h) | 0;
    }
  }
}
