/** Rules of the workspace that need no server: references, body schema, faults, latency, the guard of blob storage. */
import assert from 'node:assert/strict';
import { parseReference } from '../../../local/workspace/assets/references.js';
import type { World } from '../../../local/workspace/context.js';
import { Faults } from '../../../local/workspace/faults.js';
import type { TokenIssuer } from '../../../local/workspace/identity/issuer.js';
import { Rights } from '../../../local/workspace/identity/rights.js';
import { Latency } from '../../../local/workspace/latency.js';
import { schemaProblems } from '../../../local/workspace/schema/check.js';
import { judge, type GuardState } from '../../../local/workspace/storage/guard.js';
import type { Store } from '../../../local/workspace/store.js';

describe('rules of the embedded workspace', () => {
  it('gives a role on its scope and below, not beside', () => {
    const scope = '/subscriptions/S/resourceGroups/rg';
    const store = { entries: () => [{ key: '', value: { clientId: 'c', role: 'Reader', scope } }] } as unknown as Store;
    const rights = new Rights(store, {} as TokenIssuer, {} as World);
    const of = (resource: string, clientId = 'c') =>
      rights.roles({ name: 'p', clientId, objectId: 'o', tenantId: 't' }, resource);
    assert.deepEqual(of(scope.toLowerCase()), ['Reader']);
    assert.deepEqual(of(`${scope}/providers/p/workspaces/w`), ['Reader']);
    assert.deepEqual(of(`${scope}-prod/providers/p/workspaces/w`), []);
    assert.deepEqual(of('/subscriptions/S'), []);
    assert.deepEqual(of(scope, 'other'), []);
    const may = (access: 'read' | 'write' | 'secrets') => (): void =>
      rights.check({ name: 'p', clientId: 'c', objectId: 'o', tenantId: 't' }, scope, access, 'workspaces');
    assert.doesNotThrow(may('read'));
    assert.throws(may('write'), /does not have authorization/);
    assert.throws(may('secrets'), /does not have authorization/);
  });

  it('takes asset references apart', () => {
    const ws = '/subscriptions/s/resourcegroups/rg/providers/Microsoft.MachineLearningServices/workspaces/w';
    assert.deepEqual(parseReference('azureml:m:3', 'models'), { kind: 'models', name: 'm', version: '3' });
    assert.deepEqual(parseReference('azureml:m@latest', 'models'), { kind: 'models', name: 'm', label: 'latest' });
    assert.deepEqual(parseReference('azureml://registries/r/models/m/versions/3', 'models'), {
      kind: 'models',
      name: 'm',
      registry: 'r',
      version: '3',
    });
    assert.equal(parseReference(`azureml:${ws}/models/m/versions/3`, 'models')?.workspace?.name, 'w');
    assert.equal(parseReference(`${ws}/data/m/versions/3`, 'models'), undefined);
    assert.equal(parseReference('azureml://locations/eastus/workspaces/g/models/m/versions/3', 'models')?.workspaceGuid, 'g');
  });

  it('knows the members of a body by api-version', () => {
    const wrong = (properties: Record<string, unknown>, version: string) =>
      schemaProblems('ModelVersionProperties', properties, version, JSON.stringify({ properties })).map(({ message }) =>
        message.replace(/, line.*/, ''),
      );
    assert.deepEqual(wrong({ modelUri: 'x', ModelType: 'custom_model', tags: { a: null } }, '2024-10-01'), []);
    assert.deepEqual(wrong({ datasets: [] }, '2024-10-01'), [
      "Could not find member 'datasets' on object of type 'ModelVersion'. Path 'properties.datasets'",
    ]);
    assert.deepEqual(wrong({ datasets: [] }, '2026-05-01'), []);
    assert.equal(wrong({ isArchived: 'perhaps', tags: [], modelUri: {} }, '2024-10-01').length, 3);
  });

  it('draws the same faults from the same seed, whatever comes between, and lets a client that retries through', () => {
    const draw = (others: boolean) => {
      const faults = new Faults('seed=5,rate=0.5,burst=2');
      return Array.from({ length: 40 }, (_v, n) => {
        if (others) faults.next('GET', `/other/${n}`);
        return faults.next('GET', '/a');
      });
    };
    const drawn = draw(false);
    assert.deepEqual(drawn, draw(true));
    const row = Math.max(
      ...drawn
        .map((kind) => (kind === undefined ? ' ' : 'x'))
        .join('')
        .split(/ +/)
        .map((part) => part.length),
    );
    assert.ok(row >= 1 && row <= 2, String(row));
    const late = new Faults('metrics-late=2');
    assert.deepEqual(
      [1, 2, 3].map(() => late.metricsLate('run')),
      [true, true, false],
    );
    assert.throws(() => new Faults('rate=x'), { code: 'FaultsInvalid' });
    assert.throws(() => new Faults('storage-kinds=503+teapot'), { code: 'FaultsInvalid' });
  });

  it('draws the same faults for the same paths of another state folder', () => {
    const draw = (subscription: string) => {
      const faults = new Faults('seed=5,rate=0.5');
      return Array.from({ length: 40 }, (_v, n) => faults.next('GET', `/subscriptions/${subscription}/a/${n}`));
    };
    assert.deepEqual(draw('6f1c1f2e-0000-4000-8000-00000000000A'), draw('00000000-1111-4222-8333-44444444444b'));
  });

  it('reads latencies', () => {
    const latency = new Latency('2,queued=5');
    assert.deepEqual([latency.seconds('Running'), latency.seconds('Queued'), latency.seconds('request')], [2, 5, 0]);
    assert.throws(() => new Latency('soon'), { code: 'LatencyInvalid' });
  });

  it('guards accounts that refuse keys', () => {
    const state: GuardState = {
      identityOnly: ['locked'],
      roles: [{ objectId: 'o', account: 'locked', write: false }],
      jwk: {},
      issuer: 'https://sts.windows.net/t/',
    };
    const ask = (host: string, method: string, url: string, authorization?: string) =>
      judge(
        state,
        method,
        { host: `${host}.blob.core.localhost:1`, ...(authorization ? { authorization } : {}) },
        url,
        0,
        () => true,
      )?.code;
    const token = (oid: string) =>
      `Bearer h.${Buffer.from(JSON.stringify({ iss: state.issuer, oid, exp: 10, aud: 'https://storage.azure.com' })).toString('base64url')}.s`;
    assert.equal(ask('open', 'PUT', '/c/b', 'SharedKey a:b'), undefined);
    assert.equal(ask('locked', 'GET', '/c/b', 'SharedKey a:b'), 'KeyBasedAuthenticationNotPermitted');
    assert.equal(ask('locked', 'GET', '/c/b?sv=1&sig=x'), 'KeyBasedAuthenticationNotPermitted');
    assert.equal(ask('locked', 'GET', '/c/b', token('o')), undefined);
    assert.equal(ask('locked', 'PUT', '/c/b', token('o')), 'AuthorizationPermissionMismatch');
    assert.equal(ask('locked', 'GET', '/c/b', token('other')), 'AuthorizationPermissionMismatch');
    assert.equal(ask('locked', 'GET', '/c/b?skoid=o&sig=x'), undefined);
  });
});
