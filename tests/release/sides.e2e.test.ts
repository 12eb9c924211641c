/**
 * Two sides, two credentials: the task in this process, so that every request it sends can be looked at, and what the plan finds before
 * anything is written. Two builds that register at once, as users run them.
 */
import assert from 'node:assert/strict';
import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { ClientRequest } from 'node:http';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { agentEndpoints } from '../../local/agent/local-connections.js';
import { readConnectionFile } from '../../local/connection-file.js';
import type { ServiceEndpoint } from '../../src/task/platform.js';
import { parse } from '../../tasks/PromoteModel/inputs.js';
import { run } from '../../tasks/PromoteModel/run.js';
import { FakePlatform } from '../support/fake-platform.js';
import { task, type TaskEnded } from '../support/task-cli.js';
import { armId, send, startUp, tokenOf, type Running } from '../support/workspace.js';

/** What a service connection of the agent looks like to a task: names of members in small letters. */
function endpoints(file: string): Record<string, ServiceEndpoint> {
  const small = (map: Readonly<Record<string, string>>) =>
    Object.fromEntries(Object.entries(map).map(([key, value]) => [key.toLowerCase(), value]));
  return Object.fromEntries(
    agentEndpoints(readConnectionFile(file)).map((endpoint) => [
      endpoint.name,
      {
        id: endpoint.id,
        url: endpoint.url,
        scheme: endpoint.scheme,
        parameters: small(endpoint.parameters),
        data: small(endpoint.data),
      },
    ]),
  );
}

interface Sent {
  method: string;
  host: string;
  path: string;
  /** Client id that the bearer token speaks for. */
  who: string | undefined;
}

/** Every request that clients of this process begin, while `work` runs. */
async function watched(work: () => Promise<unknown>): Promise<Sent[]> {
  const sent: Sent[] = [];
  const see = (message: unknown) => {
    const { request } = message as { request: ClientRequest };
    const header = request.getHeader('authorization');
    const bearer = typeof header === 'string' ? /^Bearer ([^.]+)\.([^.]+)\./.exec(header)?.[2] : undefined;
    const claims = bearer && (JSON.parse(Buffer.from(bearer, 'base64url').toString()) as { appid?: string; azp?: string });
    sent.push({
      method: request.method,
      host: String(request.getHeader('host')),
      path: request.path,
      who: claims ? (claims.appid ?? claims.azp ?? 'nobody') : undefined,
    });
  };
  subscribe('http.client.request.start', see);
  try {
    await work();
  } finally {
    unsubscribe('http.client.request.start', see);
  }
  return sent;
}

describe('release: two sides', function () {
  this.timeout(5 * 60_000);
  let up: Running;
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'amlops-sides-'));
    up = await startUp({ args: ['--storage', 'identity', '--workspaces', 'dev,prod,far@northeurope'] });
  });
  after(async () => {
    await up.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  const make = (name: string, bytes = name): Record<string, string> => {
    const place = join(folder, name);
    mkdirSync(place, { recursive: true });
    writeFileSync(join(place, 'model.pkl'), bytes);
    writeFileSync(join(folder, `${name}.json`), JSON.stringify({ accuracy: 0.9, size: 3, nan: 'NaN' }).replace('"NaN"', 'NaN'));
    return { modelPath: place, metricsFile: join(folder, `${name}.json`) };
  };
  const promote = async (inputs: Record<string, string>): Promise<FakePlatform & { result: string }> => {
    const platform = new FakePlatform(
      {
        azureSubscription: 'arm-dev',
        resourceGroupName: 'rg-dev',
        workspaceName: 'dev',
        ...(inputs['targetWorkspaceName']
          ? {
              targetAzureSubscription: `arm-${inputs['targetWorkspaceName']}`,
              targetResourceGroupName: `rg-${inputs['targetWorkspaceName']}`,
            }
          : {}),
        ...inputs,
      },
      { 'Agent.CAInfo': up.connection.ca },
      endpoints(up.file),
    );
    const { result } = await run(parse(platform), platform);
    return Object.assign(platform, { result });
  };
  const refuses = (inputs: Record<string, string>, text: RegExp) =>
    assert.rejects(promote(inputs), (error) => error instanceof Error && text.test(error.message));
  const model = async (workspace: string, path: string, token: string) => {
    const { resourceManager } = up.connection;
    const url = `${resourceManager}${armId(up.connection, workspace)}/models${path && `/${path}`}?api-version=2024-04-01`;
    return send(up.connection, 'GET', url, { token });
  };
  const nothingIn = async (workspace: string) => {
    const { json } = await model(workspace, '', await tokenOf(up.connection, `arm-${workspace}`));
    assert.deepEqual((json as { value: unknown[] }).value, []);
  };

  it('two builds that register at once: the same bytes are one version that names both, other bytes two versions', async () => {
    const both = async (name: string, left: Record<string, string>, right: Record<string, string>): Promise<TaskEnded[]> => {
      const ended = await Promise.all(
        [left, right].map((inputs, index) =>
          task('RegisterModel', up.file, 'dev', { ...inputs, modelName: name }, { run: 10 + index }),
        ),
      );
      for (const one of ended) assert.deepEqual([one.result, one.problems], ['Succeeded', []], one.out);
      return ended;
    };
    const [same, other] = await Promise.all([both('same', make('one'), make('one')), both('other', make('x'), make('y'))]);
    assert.deepEqual(
      same.map(({ outputs }) => outputs['modelVersion']),
      ['1', '1'],
    );
    assert.ok(same.some(({ outputs }) => outputs['outcome'] === 'registered'));
    assert.deepEqual(other.map(({ outputs }) => outputs['modelVersion']).sort(), ['1', '2']);
    assert.deepEqual(
      other.map(({ outputs }) => outputs['outcome']),
      ['registered', 'registered'],
    );
    const { json } = await model('dev', 'same/versions/1', await tokenOf(up.connection, 'arm-dev'));
    const { tags, properties } = (json as { properties: Record<'tags' | 'properties', Record<string, string>> }).properties;
    const notes = Object.keys(properties).filter((key) => key.startsWith('amlops.alsoProducedBy.'));
    const named = new Set([tags['ado.runId'], ...notes.map((key) => key.slice('amlops.alsoProducedBy.'.length))]);
    assert.deepEqual([...named].sort(), ['10', '11']);
  });

  it('finds in the plan what cannot be, and writes nothing: a registry in another region, gates, versions', async () => {
    const one = { modelName: 'one', modelVersion: '1' };
    const ended = await task('RegisterModel', up.file, 'far', { ...make('one'), modelName: 'one' }, { run: 20 });
    assert.equal(ended.outputs['outcome'], 'registered', ended.out);
    const far = { azureSubscription: 'arm-far', resourceGroupName: 'rg-far', workspaceName: 'far' };
    const region = /^The registry shared serves eastus, not northeurope, where the workspace far is\. Add that region/;
    await refuses({ ...far, ...one, targetRegistry: 'shared' }, region);
    const planned = await promote({ ...far, ...one, targetRegistry: 'shared', action: 'plan' });
    assert.match(planned.lines.join('\n'), /not northeurope/);
    const target = { targetWorkspaceName: 'prod' };
    await refuses({ ...far, ...target, modelName: 'one', modelVersion: '7' }, /no version "7" of the model "one" in far/);
    await refuses({ ...far, ...target, ...one, modelName: 'two' }, /no model "two" in far/);
    await refuses({ ...far, ...target, modelName: 'one' }, /modelVersion is required/);
    await refuses(
      { ...far, ...target, ...one, gate: 'floor: accuracy > 0.5\nlow: accuracy >=' },
      /gate: The condition "low" \(line 2, column \d+\)/,
    );
    await refuses({ ...far, ...target, ...one, gate: 'size(1) > 2' }, /condition "size\(1\) > 2" \(line 1, column \d+\)/);
    const rejected = await promote({ ...far, ...target, ...one, gate: 'size >= 3\nnan > 0 # finite' });
    assert.deepEqual([rejected.result, rejected.outputs['outcome']], ['Failed', 'rejected']);
    assert.match(rejected.issues.map(({ message }) => message).join(), /finite .*NaN/);
    // Nobody is asked to approve what the gate rejects: a plan ends as the promotion would.
    const plan = { ...far, ...target, ...one, action: 'plan', gate: 'accuracy > 0.95 # high' };
    const failed = await promote(plan);
    assert.deepEqual([failed.result, failed.outputs['outcome']], ['Failed', 'rejected']);
    assert.match(failed.outputs['planDigest'] ?? '', /^sha256:/);
    assert.match(failed.issues.map(({ message }) => message).join(), /high \(missed by 0\.05\).*Nothing was written/);
    const warned = await promote({ ...plan, onRejected: 'warn' });
    assert.deepEqual([warned.result, warned.outputs['outcome']], ['SucceededWithIssues', 'rejected']);
    // Whose: a connection without a role on the other side, and a registry that is not there for it.
    await refuses(
      { ...far, ...target, ...one, targetAzureSubscription: 'arm-dev' },
      /Could not read the workspace prod .* with connection .*arm-dev/,
    );
    await refuses({ ...far, ...one, targetRegistry: 'nowhere' }, /registry nowhere with connection .*arm-far/);
    const reader = { ...far, ...target, ...one, targetAzureSubscription: 'arm-prod-read' };
    await refuses(reader, /Rights are missing: the target's connection .*arm-prod-read\) may not write models on workspace prod/);
    await nothingIn('prod');
  });

  it('takes models as they come: odd names, empty files, one file, many; says what is wrong with none and with metrics that are none', async () => {
    const place = join(folder, 'odd');
    mkdirSync(join(place, 'ä ö', '%41'), { recursive: true });
    const names = [
      'zero',
      'ü ñ.txt',
      '%20.txt',
      'a#b?c.txt',
      '+plus&x.txt',
      "it's",
      '日本',
      'ends.',
      '.hidden',
      'e\u0301',
      '\u00e9',
      'ä ö/%41/f',
    ];
    for (const name of names) writeFileSync(join(place, name), name === 'zero' ? '' : name);
    for (let index = 0; index < 300; index++) writeFileSync(join(place, `n${index}`), String(index));
    let run = 30;
    const register = (inputs: Record<string, string>) =>
      task('RegisterModel', up.file, 'dev', { modelName: 'odd', ...inputs }, { run: run++ });
    const odd = await register({ modelPath: place });
    assert.equal(odd.outputs['outcome'], 'registered', odd.out);
    assert.match(odd.out, /312 files/);
    const single = await register({ modelPath: join(place, 'ü ñ.txt') });
    assert.deepEqual([single.outputs['outcome'], single.outputs['modelVersion']], ['registered', '2'], single.out);
    for (const [version, digest] of [
      ['1', odd.outputs['modelDigest']],
      ['2', single.outputs['modelDigest']],
    ] as const) {
      const promoted = await promote({ modelName: 'odd', modelVersion: version, targetWorkspaceName: 'far' });
      assert.deepEqual([promoted.outputs['outcome'], promoted.outputs['modelDigest']], ['promoted', digest]);
    }
    mkdirSync(join(folder, 'empty'));
    writeFileSync(join(folder, 'big.json'), `{"a": 1${' '.repeat(5 * 1024 * 1024)}}`);
    writeFileSync(join(folder, 'no.json'), 'accuracy: 1\n');
    for (const [inputs, text] of [
      [{ modelPath: join(folder, 'empty') }, /empty has no files\.[^]*Give the folder/],
      [{ modelPath: join(folder, 'gone') }, /There is nothing at .*gone\./],
      [
        { modelPath: place, metricsFile: join(folder, 'big.json') },
        /big\.json has 52428\d\d bytes; a file of metrics has at most/,
      ],
      [{ modelPath: place, metricsFile: join(folder, 'no.json') }, /no\.json is not JSON: [^\n]+/],
      [{ modelPath: place, modelName: 'ü/x' }, /"ü\/x" is no name of a model/],
    ] as [Record<string, string>, RegExp][]) {
      const failed = await register(inputs);
      assert.equal(failed.result, 'Failed', failed.out);
      assert.match(failed.issues.map(({ message }) => message).join('\n'), text);
    }
    const { json } = await model('dev', 'odd/versions', await tokenOf(up.connection, 'arm-dev'));
    assert.equal((json as { value: unknown[] }).value.length, 2);
  });

  it("never sends one side's token to the other: a copy with two connections that have no role on each other's side", async () => {
    const clientOf = (name: string) => up.connection.serviceConnections.find((entry) => entry.name === name)!.clientId;
    const [dev, prod] = [clientOf('arm-dev'), clientOf('arm-prod')];
    const token = await tokenOf(up.connection, 'arm-prod');
    const roles = await send(up.connection, 'GET', `${up.connection.resourceManager}/_amlops/roles`, { token });
    const scopes = (roles.json as { value: { clientId: string; scope: string }[] }).value
      .filter(({ clientId }) => clientId === prod)
      .map(({ scope }) => scope);
    assert.ok(scopes.length > 0 && scopes.every((scope) => !scope.includes('/resourceGroups/rg-dev')), scopes.join());
    assert.equal((await model('dev', 'same', token)).status, 403);
    let done: Awaited<ReturnType<typeof promote>> | undefined;
    const sent = await watched(async () => {
      done = await promote({
        modelName: 'same',
        modelVersion: '1',
        targetWorkspaceName: 'prod',
        gate: 'accuracy > champion.accuracy',
      });
    });
    assert.equal(done?.outputs['outcome'], 'promoted');
    const sides = { dev: 0, prod: 0, blobs: 0 };
    for (const { method, host, path, who } of sent) {
      const where = `${method} ${host}${path}`;
      const blob = /^(st(?:dev|prod)[^.]*)\.blob\./.exec(host)?.[1];
      if (blob) sides.blobs++;
      const ofDev = /\/resourceGroups\/rg-dev\b/i.test(path) || blob?.startsWith('stdev');
      const ofProd = /\/resourceGroups\/rg-prod\b/i.test(path) || blob?.startsWith('stprod');
      assert.ok(!(ofDev && ofProd), where);
      if (who === undefined) {
        assert.match(path, /\/oauth2\/v2\.0\/token|\/discovery\b|openid-configuration/, `${where}: nobody asks without a token`);
        continue;
      }
      assert.ok(ofDev || ofProd, `${where}: of no side`);
      assert.equal(who, ofDev ? dev : prod, where);
      sides[ofDev ? 'dev' : 'prod']++;
    }
    assert.ok(sides.dev > 3 && sides.prod > 3 && sides.blobs > 3, JSON.stringify(sides));
  });
});
