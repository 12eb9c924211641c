/** The unmasked output of a step, kept on disk while it runs and read once at its end: does it hold a secret that only the mask hid? */
import { appendFileSync, createReadStream, existsSync, rmSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { parseCommand } from './command.js';
import type { SecretMasker } from './masker.js';

const bufferSize = 1024 * 1024;

/** Lines whose very purpose is to hand the agent a secret. */
function registersSecret(line: string): boolean {
  const command = parseCommand(line);
  if (command?.area !== 'task') return false;
  const { event, properties } = command;
  if (event === 'setsecret') return true;
  if (event === 'setendpoint') return properties.get('field')?.toLowerCase() === 'authparameter';
  return (event === 'setvariable' || event === 'settaskvariable') && properties.get('issecret')?.toLowerCase() === 'true';
}

export class RawOutput {
  #buffer: string[] = [];
  #size = 0;

  constructor(private readonly file: string) {
    writeFileSync(file, '', { mode: 0o600 });
  }

  line(text: string): void {
    // A lone line separator inside a line would make two of one when it is read again.
    this.#buffer.push(text.replaceAll('\n', ' '));
    this.#size += text.length;
    if (this.#size > bufferSize) this.#flush();
  }

  #flush(): void {
    if (this.#buffer.length) appendFileSync(this.file, `${this.#buffer.join('\n')}\n`);
    this.#buffer = [];
    this.#size = 0;
  }

  /** Up to `limit` lines with secrets in them, masked. Every secret that is known by now counts, also one that was registered too late. */
  async leaks(masker: SecretMasker, limit = 5): Promise<string[]> {
    this.#flush();
    const found: string[] = [];
    for await (const line of createInterface({ input: createReadStream(this.file), crlfDelay: Infinity })) {
      const leak = masker.leak(line);
      if (leak === undefined || registersSecret(line)) continue;
      found.push(leak);
      if (found.length >= limit) break;
    }
    return found;
  }

  remove(): void {
    if (existsSync(this.file)) rmSync(this.file);
  }
}
