/** What a step gave out unmasked, its lines and its files: does it hold a secret that only the mask hid, or that nothing hid? */
import { appendFileSync, closeSync, createReadStream, openSync, readSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { parseCommand } from './command.js';
import { LineSplitter } from './lines.js';
import type { SecretMasker } from './masker.js';

const bufferSize = 1024 * 1024;
/** Lines that are told; more of them say nothing new. */
const mostLeaks = 5;

/** Lines whose very purpose is to hand the agent a secret. */
function registersSecret(line: string): boolean {
  const command = parseCommand(line);
  if (command?.area !== 'task') return false;
  const { event, properties } = command;
  if (event === 'setsecret') return true;
  if (event === 'setendpoint') return properties.get('field')?.toLowerCase() === 'authparameter';
  return (event === 'setvariable' || event === 'settaskvariable') && properties.get('issecret')?.toLowerCase() === 'true';
}

/** The unmasked lines, kept on disk while the step runs and read once at its end; kept open, so that a step that clears folders takes nothing away. */
export class RawOutput {
  readonly #open: number;
  #buffer: string[] = [];
  #size = 0;

  constructor(private readonly file: string) {
    this.#open = openSync(file, 'w+', 0o600);
  }

  line(text: string): void {
    this.#buffer.push(text);
    this.#size += text.length;
    if (this.#size > bufferSize) this.#flush();
  }

  #flush(): void {
    if (this.#buffer.length) appendFileSync(this.#open, `${this.#buffer.join('\n')}\n`);
    this.#buffer = [];
    this.#size = 0;
  }

  /** The first lines with secrets in them, masked. Every secret that is known by now counts, also one that was registered too late. */
  async leaks(masker: SecretMasker): Promise<string[]> {
    this.#flush();
    const found: string[] = [];
    // The same lines as the agent's: readline would cut at U+2028 too, and part a command from its data.
    const splitter = new LineSplitter((line) => {
      if (found.length >= mostLeaks) return;
      const leak = masker.leak(line);
      if (leak !== undefined && !registersSecret(line)) found.push(leak);
    });
    for await (const chunk of createReadStream(this.file, { fd: this.#open, start: 0, autoClose: false }))
      splitter.write(chunk as Buffer);
    splitter.end();
    return found;
  }

  remove(): void {
    closeSync(this.#open);
    rmSync(this.file, { force: true });
  }
}

const blockSize = 16 * 1024 * 1024;
/** Blocks of a large file overlap, so that no secret falls between two. */
const overlap = 64 * 1024;

/** The first secret in a file, or in any file of a folder, with the place masked as by `SecretMasker.leak`; read in blocks, as UTF-8 and UTF-16. */
export function leakIn(path: string, masker: SecretMasker): string | undefined {
  if (statSync(path).isDirectory()) {
    for (const entry of readdirSync(path, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile()) continue;
      const found = leakIn(join(entry.parentPath, entry.name), masker);
      if (found !== undefined) return found;
    }
    return undefined;
  }
  const { size } = statSync(path);
  const block = Buffer.alloc(Math.min(size, blockSize));
  const file = openSync(path, 'r');
  try {
    for (let at = 0; at < size; at += blockSize - overlap) {
      const bytes = block.subarray(0, readSync(file, block, 0, block.length, at));
      const found =
        masker.leak(bytes.toString('utf8')) ?? (bytes.includes(0) ? masker.leak(bytes.toString('utf16le')) : undefined);
      if (found !== undefined) return found;
    }
  } finally {
    closeSync(file);
  }
  return undefined;
}
