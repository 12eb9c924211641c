import assert from 'node:assert/strict';
import { mkdtemp, mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findPython, uvFlags, venvHash } from '../../local/python.js';
import { withLock } from '../../local/lock.js';

describe('python of this machine', () => {
  it('is at least 3.11', async () => {
    const python = await findPython();
    const [major = 0, minor = 0] = python.version.split('.').map(Number);
    assert.ok(major === 3 && minor >= 11, python.version);
  });

  it('names a venv by what is in it, not by how the lines are ordered', () => {
    const python = { executable: '/p', version: '3.11.1' };
    assert.equal(venvHash(python, ['a==1', '', 'b']), venvHash(python, ['b', 'a==1 ']));
    assert.notEqual(venvHash(python, ['a==1']), venvHash(python, ['a==2']));
    assert.notEqual(venvHash(python, ['a']), venvHash({ ...python, version: '3.12.0' }, ['a']));
  });

  it('hands the configuration of pip on to uv', () => {
    const { flags, env } = uvFlags(
      ":env:.cert='/c.pem'\nglobal.index-url='https://i.example/simple'\nglobal.extra-index-url='https://a.example https://b.example'\n",
    );
    assert.deepEqual(flags, [
      ...['--index-url', 'https://i.example/simple'],
      ...['--extra-index-url', 'https://a.example', '--extra-index-url', 'https://b.example'],
      ...['--index-strategy', 'unsafe-best-match'],
    ]);
    assert.equal(env['SSL_CERT_FILE'], '/c.pem');
  });
});

describe('lock between processes', () => {
  let folder: string;
  before(async () => (folder = await mkdtemp(join(tmpdir(), 'amlops-lock-'))));
  after(() => rm(folder, { recursive: true }));

  it('lets one in at a time', async () => {
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 8 }, () =>
        withLock(join(folder, 'a.lock'), async () => {
          most = Math.max(most, ++inside);
          await new Promise((resolve) => setImmediate(resolve));
          inside--;
        }),
      ),
    );
    assert.equal(most, 1);
    assert.deepEqual(await readdir(folder), []);
  });

  it('is taken from a holder that died', async () => {
    const path = join(folder, 'b.lock');
    await mkdir(path);
    await writeFile(join(path, 'owner.json'), JSON.stringify({ token: 't', pid: 2 ** 22 + 1 }));
    assert.equal(await withLock(path, () => Promise.resolve(7)), 7);
    await mkdir(path);
    const old = new Date(Date.now() - 60_000);
    await utimes(path, old, old);
    assert.equal(await withLock(path, () => Promise.resolve(8)), 8);
  });
});
