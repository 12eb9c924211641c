/** Secrets of a job: hidden in every later line, in all the encodings that the agent knows (task-contract B.9). */
import { secretForms } from './secret-forms.js';

/** Endpoint parameters that the agent does not mask (agent: Worker.cs). */
const publicParameters = new Set(
  (
    'Role Scope TenantId IssuedAt ExpiresAt Audience AuthenticationType AuthorizationType AccessTokenType ' +
    'AccessTokenFetchingMethod UseWindowsSecurity Unsecured OAuthAccessTokenIsSupplied CompleteCallbackPayload AcceptUntrustedCertificates'
  )
    .toLowerCase()
    .split(' '),
);

/** Masked by the agent like the others, but names and not keys: printing one is no leak. */
const namesOnly = new Set(['serviceprincipalid', 'workloadidentityfederationissuer', 'workloadidentityfederationsubject']);

export const parameterIsSecret = (key: string): boolean => !namesOnly.has(key.toLowerCase());

/** Is this parameter of a service connection masked? */
export const parameterIsMasked = (key: string): boolean => !publicParameters.has(key.toLowerCase());

const urlPassword = /\b[a-z][a-z0-9+.-]*:\/\/[^\s:/?#@]+:([^\s@/]+)@/gi;

const escapeRegExp = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');

export class SecretMasker {
  /** Form -> proof of a leak when seen unmasked. */
  readonly #forms = new Map<string, boolean>();
  #any: RegExp | undefined;
  #ordered: string[] = [];

  /** `sensitive: false` for what the agent masks although it is no secret (a service principal's id). Empty values are ignored. */
  add(value: string, { sensitive = true } = {}): void {
    for (const { text, proof } of secretForms(value)) {
      const known = this.#forms.get(text);
      if (known === true || known === (proof && sensitive)) continue;
      this.#forms.set(text, proof && sensitive);
      this.#any = undefined;
    }
  }

  get size(): number {
    return this.#forms.size;
  }

  #prepare(): RegExp {
    if (!this.#any) {
      this.#ordered = [...this.#forms.keys()].sort((a, b) => b.length - a.length);
      this.#any = this.#ordered.length ? new RegExp(this.#ordered.map(escapeRegExp).join('|')) : /(?!)/;
    }
    return this.#any;
  }

  /** The line as the log shows it. Overlapping secrets become one `***`. */
  mask(line: string): string {
    const spans: [number, number][] = [];
    if (this.#prepare().test(line)) {
      for (const form of this.#ordered) {
        for (let at = line.indexOf(form); at >= 0; at = line.indexOf(form, at + 1)) spans.push([at, at + form.length]);
      }
    }
    if (line.includes('://')) {
      for (const match of line.matchAll(urlPassword)) {
        const at = match.index + match[0].length - 1 - (match[1]?.length ?? 0);
        spans.push([at, match.index + match[0].length - 1]);
      }
    }
    if (spans.length === 0) return line;
    spans.sort((a, b) => a[0] - b[0]);
    let masked = '';
    let shown = 0;
    for (let index = 0; index < spans.length;) {
      const [start, firstEnd] = spans[index] as [number, number];
      let end = firstEnd;
      index += 1;
      for (let next = spans[index]; next && next[0] <= end; next = spans[index]) {
        end = Math.max(end, next[1]);
        index += 1;
      }
      masked += `${line.slice(shown, start)}***`;
      shown = end;
    }
    return masked + line.slice(shown);
  }

  /** Text with what is surely a secret hidden; short secrets, which would ruin it, and names stay. */
  hide(text: string): string {
    let hidden = text;
    if (this.#prepare().test(text))
      for (const form of this.#ordered) if (this.#forms.get(form) === true) hidden = hidden.replaceAll(form, '***');
    return hidden;
  }

  /** Does text hold a secret that only the mask would hide? Gives the text with it masked, cut for a message; undefined when it is clean. */
  leak(text: string): string | undefined {
    if (!this.#prepare().test(text)) return undefined;
    for (const form of this.#ordered) {
      if (this.#forms.get(form) !== true) continue;
      const at = text.indexOf(form);
      if (at < 0) continue;
      const line = text.slice(text.lastIndexOf('\n', at) + 1).split('\n', 1)[0] ?? '';
      const masked = this.mask(line);
      return masked.length > 160 ? `${masked.slice(0, 160)}...` : masked;
    }
    return undefined;
  }
}
