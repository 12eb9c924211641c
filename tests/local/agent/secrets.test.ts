/** Secrets in every shape: what is masked, what proves a leak, what proves none (task-contract B.9, D.2). */
import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { parameterIsMasked, parameterIsSecret, SecretMasker } from '../../../local/agent/masker.js';
import { leakIn, RawOutput } from '../../../local/agent/raw-output.js';
import { writeResult } from '../../../local/agent/result-file.js';
import type { TaskRunResult } from '../../../local/agent/types.js';

const maskerOf = (...secrets: string[]): SecretMasker => {
  const masker = new SecretMasker();
  for (const secret of secrets) masker.add(secret);
  return masker;
};
const xml = (text: string, apostrophe: string): string =>
  text.replace(/[&<>"']/g, (one) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[one] ?? apostrophe);

describe('secrets', () => {
  let folder: string;
  before(() => (folder = mkdtempSync(join(tmpdir(), 'amlops-secrets-'))));
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('masks a value in every encoding, and takes each for a leak', () => {
    const secret = `a<b>"c'&d e/f+%;]\\\u00e9!(x)`;
    const masker = maskerOf(secret);
    const shapes: Record<string, string> = {
      raw: secret,
      json: JSON.stringify({ secret }).slice(11, -2),
      'json with slashes': JSON.stringify(secret).slice(1, -1).replaceAll('/', '\\/'),
      'json in ascii': `a<b>\\"c'&d e/f+%;]\\\\\\u00e9!(x)`,
      'json for the web': `a\\u003cb\\u003e\\"c'\\u0026d e/f+%;]\\\\\\u00e9!(x)`,
      'json of .NET': `a\\u003Cb\\u003E\\u0022c\\u0027\\u0026d e/f\\u002B%;]\\\\\\u00E9!(x)`,
      'part of an address': encodeURIComponent(secret),
      'part of an address, lower case': encodeURIComponent(secret).replace(/%../g, (one) => one.toLowerCase()),
      form: new URLSearchParams({ secret }).toString().slice(7),
      address: encodeURI(secret),
      'xml text': secret.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;'),
      'xml attribute': xml(secret, '&apos;'),
      html: xml(secret, '&#39;'),
      backslashes: secret.replaceAll('\\', '\\\\').replaceAll("'", "\\'").replaceAll('"', '\\"'),
      'powershell quotes': secret.replaceAll("'", "''"),
      'shell quotes': secret.replaceAll("'", "'\\''"),
      'data of a command': secret.replaceAll('%', '%AZP25'),
      'property of a command': secret.replaceAll('%', '%AZP25').replaceAll(']', '%5D').replaceAll(';', '%3B'),
      base64: Buffer.from(secret).toString('base64'),
      base64url: Buffer.from(secret).toString('base64url'),
    };
    for (const [shape, text] of Object.entries(shapes)) {
      assert.equal(masker.mask(`<${text}>`).replaceAll('***', ''), '<>', `${shape}: ${masker.mask(text)}`);
      assert.ok(masker.leak(`before ${text} after`) !== undefined, `${shape} is no leak`);
    }
    for (const encoding of ['base64', 'base64url'] as const)
      for (const before of ['', 'x', 'xy', 'user:'])
        assert.ok(
          masker.leak(Buffer.from(`${before}${secret}tail`).toString(encoding)) !== undefined,
          `${encoding} after "${before}"`,
        );
    // A value in quotes loses them in a shell; one from a file has a line end that its output has not.
    assert.equal(maskerOf('"in-quotes-1"').mask('in-quotes-1'), '***');
    assert.equal(maskerOf('abc\n').mask('<abc>'), '<***>');
    assert.equal(maskerOf('half \ud800 of it').mask('half \ufffd of it'), '***');
  });

  it('masks what PowerShell cuts at an ampersand', () => {
    const plain = maskerOf('firstpart&secondpart&thirdpart-of-the-secret');
    assert.equal(plain.mask('firstpart&secondpart&'), '***');
    assert.equal(plain.mask('| thirdpart-of-the-secret'), '| ***');
    const plus = maskerOf('firstpart&+secondpart&thirdpart');
    assert.equal(plus.mask('firstpart&+'), '***');
    assert.equal(plus.mask('econdpart&thirdpart'), '***', 'the colour takes a character');
    assert.ok(plus.leak('econdpart&thirdpart') !== undefined);
    // Parts too short to mean anything, and parts that are public, are no leaks.
    assert.equal(maskerOf('a&b').mask('a b'), 'a b');
    assert.equal(maskerOf('https://h/?sig=0123456789abcdef&comp=list').leak('GET /?comp=list'), undefined);
  });

  it('hides secrets of several lines line by line, in other words too', () => {
    const key = '-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\r\nhkiG9w0"AQE&FAASC\n}\n-----END PRIVATE KEY-----\n';
    const masker = maskerOf(key);
    for (const line of ['MIIEvQIBADANBgkq', 'hkiG9w0"AQE&FAASC', 'hkiG9w0\\"AQE&FAASC', 'hkiG9w0&quot;AQE&amp;FAASC']) {
      assert.equal(masker.mask(`x ${line} y`), 'x *** y', line);
      assert.ok(masker.leak(line) !== undefined, line);
    }
    assert.equal(masker.leak('-----BEGIN PRIVATE KEY-----'), undefined, 'the frame is everybody’s');
    assert.equal(masker.mask('{}'), '{}');
    assert.ok(masker.leak(JSON.stringify(key)) !== undefined);
    assert.ok(masker.leak(Buffer.from(key).toString('base64')) !== undefined);
  });

  it('takes no short or everyday value for a leak, but masks it', () => {
    const common = [
      '1',
      'true',
      'dev',
      'abc12',
      '000000',
      '------',
      '121212',
      '******',
      'production',
      'Localhost',
      'eastus2',
      ' west ',
    ];
    for (const value of common) {
      const masker = maskerOf(value);
      assert.equal(masker.mask(`<${value}>`), '<***>', value);
      for (const text of [value, Buffer.from(value).toString('base64'), encodeURIComponent(value)])
        assert.equal(masker.leak(`it is ${text}, ${text}.`), undefined, value);
    }
    for (const value of ['abc123', 'hunter2', 'topsecret', 'Production-7'])
      assert.ok(maskerOf(value).leak(`=${value}=`) !== undefined, value);
    assert.equal(new SecretMasker().leak('nothing'), undefined);
    for (const blank of ['', ' ', '\n', '\t ']) assert.equal(maskerOf(blank).size, 0);
    // What the agent masks without its being a secret; a value that is both is one.
    const names = ['ServicePrincipalId', 'workloadIdentityFederationSubject', 'workloadIdentityFederationIssuer'];
    assert.deepEqual(
      names.map((key) => [parameterIsMasked(key), parameterIsSecret(key)]),
      names.map(() => [true, false]),
    );
    assert.ok(parameterIsSecret('ServicePrincipalKey'));
    const both = new SecretMasker();
    both.add('client-id-1', { sensitive: false });
    assert.equal(both.leak('client-id-1'), undefined);
    both.add('client-id-1');
    both.add('client-id-1', { sensitive: false });
    assert.ok(both.leak('client-id-1') !== undefined);
  });

  it('says the place of a leak without the secret, cut to a message', () => {
    const masker = maskerOf('the-secret-1');
    assert.equal(masker.leak('one\ntwo the-secret-1 three\nfour'), 'two *** three');
    assert.equal(masker.leak(`${'x'.repeat(300)}the-secret-1`)?.length, 163);
    assert.equal(masker.hide('a the-secret-1 b'), 'a *** b');
    assert.equal(maskerOf('a', 'the-secret-1').hide('a the-secret-1'), 'a ***', 'short ones would ruin every text');
  });

  it('finds no leak in text that has nothing of the secret', () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[A-Za-z0-9+/]{12,40}$/), fc.stringMatching(/^[ !-,:-@]{0,80}$/), (secret, text) => {
        assert.equal(maskerOf(secret).leak(text), undefined);
      }),
    );
  });

  it('reads the raw lines once, and leaves out those that register', async () => {
    const masker = maskerOf('late-secret-1', 'one\u2028two-secret');
    const raw = new RawOutput(join(folder, 'raw'));
    for (const line of [
      '##vso[task.setsecret]late-secret-1',
      '##vso[task.setsecret]one\u2028two-secret',
      'text before ##vso[task.setvariable variable=x;isSecret=TRUE]late-secret-1',
      '##vso[task.settaskvariable variable=x;issecret=true]late-secret-1',
      '##vso[task.setendpoint id=1;field=authParameter;key=k]late-secret-1',
      'clean',
    ])
      raw.line(line);
    assert.deepEqual(await raw.leaks(masker), []);
    for (const line of [
      '##vso[task.setvariable variable=x;isOutput=true]late-secret-1',
      '##vso[task.setvariable variable=x;isSecret=false]late-secret-1',
      '##vso[task.setendpoint id=1;field=url]https://h/late-secret-1',
      '##vso[task.debug]late-secret-1',
      '##vso[task.logissue type=error;code=late-secret-1]x',
      'sixth late-secret-1',
    ])
      raw.line(line);
    // A step that clears every folder it finds takes nothing away.
    if (process.platform !== 'win32') rmSync(join(folder, 'raw'));
    const found = await raw.leaks(masker);
    assert.equal(found.length, 5, 'no more than a few are told');
    assert.ok(found.every((line) => line.includes('***') && !line.includes('late-secret')));
    raw.remove();
  });

  it('looks into files of any size and spelling, and into folders', () => {
    const masker = maskerOf('file-secret-1');
    const file = join(folder, 'f');
    const holds = (content: string | Buffer): boolean => {
      writeFileSync(file, content);
      return leakIn(file, masker) !== undefined;
    };
    assert.deepEqual([holds(''), holds('nothing here'), holds('x file-secret-1')], [false, false, true]);
    assert.ok(holds(Buffer.from('\ufefffile-secret-1', 'utf16le')));
    assert.ok(holds(Buffer.concat([Buffer.alloc(16 * 1024 * 1024 - 5, 97), Buffer.from('file-secret-1')])), 'between two blocks');
    mkdirSync(join(folder, 'art', 'deep'), { recursive: true });
    writeFileSync(join(folder, 'art', 'clean'), 'x');
    assert.equal(leakIn(join(folder, 'art'), masker), undefined);
    writeFileSync(join(folder, 'art', 'deep', 'model.bin'), Buffer.from([0, 255, ...Buffer.from('file-secret-1'), 0]));
    assert.ok(leakIn(join(folder, 'art'), masker) !== undefined);
  });

  it('keeps secrets out of the result file', () => {
    const file = join(folder, 'sub', 'result.json');
    const result = {
      result: 'Failed',
      outputVariables: {
        key: { value: 'marked-secret', isSecret: true },
        open: { value: 'https://h/?k=slipped-in-1', isSecret: false },
      },
      variables: { hidden: { value: 'v', isSecret: true } },
      buildTags: ['slipped-in-1'],
    } as unknown as TaskRunResult;
    writeResult(file, result, (text) => maskerOf('slipped-in-1').hide(text));
    assert.deepEqual(JSON.parse(readFileSync(file, 'utf8')), {
      result: 'Failed',
      outputVariables: { key: { value: '***', isSecret: true }, open: { value: 'https://h/?k=***', isSecret: false } },
      variables: { hidden: { value: '***', isSecret: true } },
      buildTags: ['***'],
    });
  });
});
