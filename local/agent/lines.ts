/** Lines as .NET's StreamReader cuts them: LF, CR LF and a lone CR end one; the last needs no end. */
import { StringDecoder } from 'node:string_decoder';

/** Cuts a stream of UTF-8 bytes into lines. A line above `limit` characters is given out in pieces, so that memory stays bounded. */
export class LineSplitter {
  readonly #decoder = new StringDecoder('utf8');
  #rest = '';
  #afterCr = false;

  constructor(
    private readonly onLine: (line: string) => void,
    private readonly limit = 4 * 1024 * 1024,
  ) {}

  write(chunk: Buffer): void {
    this.#take(this.#decoder.write(chunk));
  }

  end(): void {
    this.#take(this.#decoder.end());
    if (this.#rest !== '') this.onLine(this.#rest);
    this.#rest = '';
  }

  #take(text: string): void {
    if (text === '') return;
    let from = 0;
    // The LF of a CR LF that fell between two chunks.
    if (this.#afterCr && text.startsWith('\n')) from = 1;
    this.#afterCr = text.endsWith('\r');
    const ends = /\r\n|\n|\r/g;
    ends.lastIndex = from;
    for (let match = ends.exec(text); match; match = ends.exec(text)) {
      this.onLine(this.#rest + text.slice(from, match.index));
      this.#rest = '';
      from = ends.lastIndex;
    }
    this.#rest += text.slice(from);
    while (this.#rest.length > this.limit) {
      this.onLine(this.#rest.slice(0, this.limit));
      this.#rest = this.#rest.slice(this.limit);
    }
  }
}
