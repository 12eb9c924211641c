/** Azurite as it is and tuned, asked the same: both answer the same, in order, and hold the same after a stop and a new start. */
import assert from 'node:assert/strict';
import { fork, type ChildProcess } from 'node:child_process';
import { createHmac } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { account, get, steps, type Step } from '../../../support/azurite-steps.js';

const script = join(import.meta.dirname, '..', '..', '..', 'support', 'azurite-child.ts');
/** Azurite's published key of that account. */
const key = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

interface Answer {
  status: number;
  headers: Record<string, string>;
  text: string;
}

/** Account SAS for everything a blob service has, tags included. */
function signature(): string {
  const fields = {
    sv: '2022-11-02',
    ss: 'b',
    srt: 'sco',
    sp: 'rwdxylacupitf',
    st: '2020-01-01T00:00:00Z',
    se: '2100-01-01T00:00:00Z',
  };
  const text = [account, fields.sp, fields.ss, fields.srt, fields.st, fields.se, '', '', fields.sv, '', ''].join('\n');
  const sig = createHmac('sha256', Buffer.from(key, 'base64')).update(text).digest('base64');
  return new URLSearchParams({ ...fields, sig }).toString();
}

class Side {
  #child!: ChildProcess;
  #port = 0;
  readonly #seen = new Map<string, string>();
  constructor(
    readonly folder: string,
    readonly how: 'plain' | 'tuned',
  ) {
    mkdirSync(join(folder, 'blobs'), { recursive: true });
  }

  async start(): Promise<void> {
    this.#child = fork(script, [this.folder, this.how], {
      execArgv: ['--import', 'tsx'],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#port = await new Promise((resolve, reject) => {
      this.#child.once('message', (port) => resolve(Number(port)));
      this.#child.once('exit', (code) => reject(new Error(`Azurite ended with ${code}`)));
    });
  }

  async stop(): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.send('stop');
    await ended;
  }

  /** `{etag:name}`, `{lease:name}` … in path and headers stand for what an earlier answer of this side gave. */
  #own(text: string): string {
    return text
      .replaceAll('{base}', `http://127.0.0.1:${this.#port}/${account}`)
      .replaceAll('{sas}', signature())
      .replaceAll('{path}', `/${account}`)
      .replace(/\{(\w+)\}/g, (_all, name: string) => this.#seen.get(name) ?? '');
  }

  async ask(step: Step): Promise<Answer> {
    const { method, path, headers = {}, body = '', keep } = step;
    const bytes = Buffer.from(this.#own(body));
    const target = this.#own(path);
    const signed = step.open ? target : `${target}${target.includes('?') ? '&' : '?'}${signature()}`;
    const sent = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, this.#own(value)]));
    const answer = await new Promise<Answer>((resolve, reject) => {
      const asking = request(
        {
          ...{ host: '127.0.0.1', port: this.#port, method, path: `/${account}/${signed}` },
          headers: { 'x-ms-version': '2022-11-02', 'content-length': String(bytes.length), ...sent },
        },
        (reply) => {
          const parts: Buffer[] = [];
          reply.on('data', (part: Buffer) => parts.push(part));
          reply.once('error', reject);
          reply.once('end', () => {
            const all = Object.entries(reply.headers).map(([name, value]): [string, string] => [name, String(value)]);
            resolve({
              status: reply.statusCode ?? 0,
              headers: Object.fromEntries(all),
              text: Buffer.concat(parts).toString('latin1'),
            });
          });
        },
      );
      asking.once('error', reject);
      asking.end(bytes);
    });
    if (keep) {
      const [name = '', from = ''] = keep;
      this.#seen.set(name, answer.headers[from] ?? new RegExp(from).exec(answer.text)?.[1] ?? '');
    }
    return this.#plain(answer);
  }

  /** Times, ids, tags of versions and ports are each side's own. */
  #plain({ status, headers, text }: Answer): Answer {
    const chance =
      /\d{4}-\d\d-\d\dT[\d:.]+Z|\w{3}, \d\d \w{3} \d{4} [\d:]+ GMT|"?0x[0-9A-F]{10,}"?|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|127\.0\.0\.1:\d+/g;
    const same = (value: string): string => value.replace(chance, '…').replace(/<Value>[^<]*</, '<Value>…<');
    const { date: _date, connection: _connection, 'keep-alive': _alive, ...rest } = headers;
    return {
      status,
      headers: Object.fromEntries(Object.entries(rest).map(([name, value]) => [name, same(value)])),
      text: same(text),
    };
  }
}

describe('Azurite, tuned and as it is', function () {
  this.timeout(120_000);
  const root = mkdtempSync(join(tmpdir(), 'amlops-same-'));
  const sides = (['plain', 'tuned'] as const).map((how) => new Side(join(root, how), how));
  const both = <T>(of: (side: Side) => Promise<T>): Promise<T[]> => Promise.all(sides.map(of));

  before(() => both((side) => side.start()));
  after(async () => {
    await both((side) => side.stop());
    rmSync(root, { recursive: true, force: true });
  });

  it('answers the same to everything, one after the other', async () => {
    const met = new Set<number>();
    for (const step of steps) {
      const [plain, tuned] = await both((side) => side.ask(step));
      const what = `${step.method} ${step.path} ${JSON.stringify(step.headers ?? {})}`;
      met.add(plain?.status ?? 0);
      // The one answer that was made right: what a wrong signature is told.
      if (step.headers?.['authorization']?.startsWith('SharedKey') || step.path.includes('sig=AAAA'))
        assert.deepEqual(tuned?.headers['x-ms-error-code'], 'AuthenticationFailed', what);
      else assert.deepEqual(tuned, plain, what);
    }
    assert.ok(
      [200, 201, 202, 206, 304, 400, 403, 404, 409, 412, 416].every((status) => met.has(status)),
      [...met].join(' '),
    );
  });

  it('holds the same after a new start', async () => {
    await both((side) => side.stop());
    await both((side) => side.start());
    for (const path of [
      '?comp=list',
      'ccc?restype=container&comp=list&include=metadata,snapshots,tags',
      'ccc/blocks',
      'ccc/log',
      'ccc/pages',
    ]) {
      const [plain, tuned] = await both((side) => side.ask(get(path)));
      assert.equal(plain?.status, 200, path);
      assert.deepEqual(tuned, plain, path);
    }
  });
});
