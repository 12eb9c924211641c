/**
 * Names, bodies and content types that no client should send, at every place that takes one: a typed error in one of the service's envelopes,
 * never a 500, and the store and the state folder stay as they were.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { open } from 'lmdb';
import { armId, send, startUp, tokenOf, type Reply, type Running } from '../../support/workspace.js';

const api = 'api-version=2024-10-01';

/** What the store holds, table by table, as one text. */
function stored(state: string): string {
  const root = open({ path: join(state, 'store'), readOnly: true, maxDbs: 64, encoding: 'json' });
  const hash = createHash('sha256');
  const tables = [...root.getKeys()].map(String).sort();
  for (const name of tables)
    for (const { key, value } of root.openDB({ name, encoding: 'json' }).getRange())
      hash.update(JSON.stringify([name, key, value]));
  void root.close();
  return hash.digest('hex');
}

/** Files of the state folder but for those that any request touches. */
function files(state: string): string[] {
  return (readdirSync(state, { recursive: true }) as string[]).filter((path) => !/^(store|blobs)/.test(path)).sort();
}

/** Kinds of resources: where they are put, and a body that would do. */
const places: [path: string, body: Record<string, unknown>][] = [
  ['codes/NAME/versions/1', { properties: { codeUri: 'https://x.blob.core.localhost/c/x' } }],
  ['codes/n/versions/NAME', { properties: { codeUri: 'https://x.blob.core.localhost/c/x' } }],
  [
    'components/NAME/versions/1',
    { properties: { componentSpec: { type: 'command', command: 'ls', environment: 'azureml:e:1' } } },
  ],
  ['data/NAME/versions/1', { properties: { dataType: 'uri_file', dataUri: 'https://example.org/x' } }],
  ['data/n/versions/NAME', { properties: { dataType: 'uri_file', dataUri: 'https://example.org/x' } }],
  ['environments/NAME/versions/1', { properties: { image: 'python:3.11' } }],
  ['environments/n/versions/NAME', { properties: { image: 'python:3.11' } }],
  ['models/NAME/versions/1', { properties: { modelUri: 'azureml://datastores/workspaceblobstore/paths/x' } }],
  ['models/NAME', { properties: { description: 'x' } }],
  ['data/NAME', { properties: { dataType: 'uri_file' } }],
  ['environments/NAME', { properties: { description: 'x' } }],
  [
    'datastores/NAME',
    {
      properties: { datastoreType: 'AzureBlob', accountName: 'a', containerName: 'c', credentials: { credentialsType: 'None' } },
    },
  ],
  ['computes/NAME', { location: 'eastus', properties: { computeType: 'AmlCompute', properties: { vmSize: 'S' } } }],
  [
    'schedules/NAME',
    {
      properties: {
        trigger: { triggerType: 'Cron', expression: '0 2 * * *' },
        action: { actionType: 'CreateJob', jobDefinition: { jobType: 'Pipeline', jobs: {} } },
      },
    },
  ],
  [
    'jobs/NAME',
    { properties: { jobType: 'Command', command: 'ls', environmentId: 'azureml:AzureML-sklearn-1.5@latest', computeId: 'none' } },
  ],
  ['../NAME', { location: 'eastus' }],
];

const names = [
  '..',
  '%2e%2e',
  '%2e%2e%2f%2e%2e%2fx',
  '..%2f..%2fx',
  '..%5cx',
  'a%00b',
  '%00',
  'a%0ab',
  '%F0%9F%98%80',
  '%C3%A4',
  'a%20b',
  'a%3Ab',
  'a@b',
  'a%25b',
  '-a',
  '.a',
  'x'.repeat(256),
  'x'.repeat(5000),
  '%ff',
  '%',
  '__proto__',
  '%3Cscript%3E',
  'a;b',
  '%E2%80%AE',
];

describe('bad input', function () {
  let up: Running;
  let token: string;
  let scope: string;
  before(async () => {
    up = await startUp({ args: ['--workspaces', 'dev'] });
    token = await tokenOf(up.connection);
    scope = armId(up.connection);
  });
  after(async () => await up.stop());

  const put = async (path: string, body: unknown, headers: Record<string, string> = {}, method = 'PUT'): Promise<Reply> =>
    await send(up.connection, method, `${up.connection.resourceManager}${path}${path.includes('?') ? '&' : '?'}${api}`, {
      token,
      body,
      headers,
    });
  /** `../x` is meant as written: addresses are not tidied before they are sent. */
  const raw = async (path: string, body: unknown): Promise<Reply> => {
    const { request } = await import('node:https');
    const { readFileSync } = await import('node:fs');
    const bytes = Buffer.from(JSON.stringify(body));
    return await new Promise((resolve, reject) => {
      const asked = request(
        {
          ...{
            host: '127.0.0.1',
            port: new URL(up.connection.resourceManager).port,
            servername: 'localhost',
            method: 'PUT',
            path,
          },
          ca: readFileSync(up.connection.ca),
          headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'content-length': bytes.length },
        },
        (response) => {
          let text = '';
          response.setEncoding('utf8').on('data', (part: string) => (text += part));
          response.on('end', () =>
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              text,
              json: text ? JSON.parse(text) : undefined,
            }),
          );
        },
      );
      asked.on('error', reject).end(bytes);
    });
  };
  const typed = (reply: Reply, what: string): void => {
    assert.ok(reply.status >= 400 && reply.status < 500, `${what}: ${reply.status} ${reply.text.slice(0, 300)}`);
    const { error } = reply.json ?? {};
    assert.ok(
      typeof error?.code === 'string' && error.code && typeof error.message === 'string' && error.message,
      `${what}: ${reply.text}`,
    );
    assert.equal(/node_modules|at \w+ \(|\/work\/|\.[jt]s:\d/.test(reply.text), false, `${what}: ${reply.text}`);
  };
  const unchanged = async (work: () => Promise<void>): Promise<void> => {
    const before = [stored(up.state), files(up.state).join('\n')];
    await work();
    assert.deepEqual([stored(up.state), files(up.state).join('\n')], before);
  };

  it('names that are none are refused wherever a name stands', async () => {
    await unchanged(async () => {
      for (const [place, body] of places)
        for (const name of names) {
          if (place === 'jobs/NAME' && name === '__proto__') continue;
          const path = place === '../NAME' ? scope.replace(/[^/]+$/, name) : `${scope}/${place.replace('NAME', name)}`;
          typed(await raw(`${path}?${api}`, body), `${place} ${name.slice(0, 30)}`);
        }
    });
  });

  it('bodies that are none are refused wherever a body is taken', async () => {
    const broken: [unknown, Record<string, string>?][] = [
      ['{"properties": ', { 'content-type': 'application/json' }],
      ['properties: {a: b}', { 'content-type': 'application/yaml' }],
      ['properties=1', { 'content-type': 'application/x-www-form-urlencoded' }],
      [Buffer.from([0xff, 0xfe, 0x00]), { 'content-type': 'application/json' }],
      ['', { 'content-type': 'application/json' }],
      [JSON.stringify(null), { 'content-type': 'application/json' }],
      [[]],
      ['"text"', { 'content-type': 'application/json' }],
      [{ properties: null }],
      [{ properties: [] }],
      [{ properties: 'text' }],
      [{ properties: { nothingKnown: 1 } }],
      [{ properties: {}, location: '' }],
    ];
    await unchanged(async () => {
      for (const [place] of places)
        for (const [body, headers] of broken) {
          const path =
            place === '../NAME'
              ? scope.replace(/[^/]+$/, 'bad')
              : `${scope}/${place.replace('NAME', place.includes('versions/NAME') ? '7' : 'bad')}`;
          // A container needs no more than its name.
          if (/^(models|environments)\/NAME$/.test(place) && JSON.stringify(body) === '{"properties":{},"location":""}') continue;
          typed(await put(path, body, headers), `${place} ${JSON.stringify(body)}`);
        }
    });
  });

  it('members of the wrong kind are refused', async () => {
    await unchanged(async () => {
      for (const [place, good] of places) {
        const path = place === '../NAME' ? scope.replace(/[^/]+$/, 'bad') : `${scope}/${place.replace('NAME', '9')}`;
        const properties = (good['properties'] ?? {}) as Record<string, unknown>;
        for (const [member, wrong] of [
          ['tags', 'text'],
          ['tags', { a: {} }],
          ['description', { a: 1 }],
          ['properties', ['x']],
          ['isArchived', 'maybe'],
        ] as const) {
          if (place === '../NAME' && member !== 'description') continue;
          if (/^(datastores|computes|schedules)/.test(place) && member === 'isArchived') continue;
          if (place.startsWith('computes') && member !== 'description') continue;
          typed(
            await put(path, { ...good, properties: { ...properties, [member]: wrong } }),
            `${place} ${member} ${JSON.stringify(wrong)}`,
          );
        }
      }
    });
  });

  it('queries that are none are refused, and read in any casing', async () => {
    const list = async (query: string) => await put(`${scope}/environments/q/versions?${query}`, undefined, {}, 'GET');
    for (const version of ['1', '2'])
      assert.equal((await put(`${scope}/environments/q/versions/${version}`, { properties: { image: 'x' } })).status, 201);
    for (const query of ['$top=abc', '$top=-1', 'listViewType=bogus']) typed(await list(query), query);
    for (const query of ['$TOP=1', '$top=1', '$orderby=createdtime desc&$top=1'.replace(' ', '%20')])
      assert.deepEqual(
        (await list(query)).json.value.map(({ name }: { name: string }) => name),
        ['2'],
        query,
      );
  });

  it('nothing answers 500, whatever a body says', async () => {
    const value = fc.jsonValue({ maxDepth: 3 });
    const members = [
      'properties',
      'location',
      'tags',
      'componentSpec',
      'dataUri',
      'modelUri',
      'codeUri',
      'image',
      'build',
      'condaFile',
      'credentials',
      'datastoreType',
      'computeType',
      'trigger',
      'action',
      'jobType',
      'inputs',
      'outputs',
      'jobs',
      'isArchived',
      'flavors',
      'dataType',
      'secrets',
      'identity',
      'regionDetails',
    ];
    const some = fc.dictionary(fc.constantFrom(...members), value, { maxKeys: 6 });
    const paths = [
      ...places.map(([path]) => `PUT ${path.replace('NAME', 'f1')}`),
      'PATCH ../dev',
      'PATCH computes/cpu-cluster',
      'POST models/f1/versions/1/publish',
      'POST codes/f1/versions/1/startPendingUpload',
      'POST datastores/workspaceblobstore/listSecrets',
      'POST ../dev/diagnose',
      'PUT ../../registries/f1',
      'PATCH ../../registries/shared',
    ];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...paths), some, some, async (target, body, properties) => {
        const [method = '', path = ''] = target.split(' ');
        const full = path.startsWith('../')
          ? new URL(`${scope}/../${path.slice(3)}`, 'https://x').pathname.replace('/workspaces/registries', '/registries')
          : `${scope}/${path}`;
        const reply = await put(full, { ...body, properties }, {}, method);
        assert.ok(reply.status < 500 || reply.status === 501, `${target}: ${reply.status} ${reply.text}`);
        if (reply.status >= 400 && reply.text) assert.equal(typeof reply.json?.error?.code, 'string', reply.text);
      }),
      { numRuns: 300 },
    );
    assert.equal(/ServiceError|error:/.test(up.log()), false, up.log());
  });
});
