/** How the client of Azure DevOps is told which hosts to ask without the agent's proxy. */
import assert from 'node:assert/strict';
import { access } from '../../src/devops/rest.js';

describe('the way to Azure DevOps', () => {
  const token = { kind: 'bearer' as const, token: 't' };
  const direct = (collection: string, ...bypass: RegExp[]): string[] => {
    const { options } = access(collection, token, { proxy: { url: 'http://proxy.corp:8080', bypass } });
    // As the package holds them against an address.
    const patterns = (options.proxy?.proxyBypassHosts ?? []).map((pattern) => new RegExp(pattern, 'i'));
    const asked = ['https://dev.azure.com/o/_apis', 'https://vssps.dev.azure.com/o/_apis', 'https://tfs.corp/c/_apis'];
    return [...asked, 'https://localhost:1/c/_apis', 'https://evil.net/?https://tfs.corp/'].filter((address) =>
      patterns.some((pattern) => pattern.test(address)),
    );
  };

  it('takes the bypass list as the agent does: for host and port, not for the path', () => {
    assert.deepEqual(direct('https://tfs.corp/c/', /\.corp$/i), ['https://tfs.corp/c/_apis']);
    assert.deepEqual(direct('https://dev.azure.com/o', /_apis/i, /other/i), []);
    assert.deepEqual(direct('https://dev.azure.com/o', /^https:\/\/vssps\./i), ['https://vssps.dev.azure.com/o/_apis']);
    assert.deepEqual(direct('https://localhost:1/c/'), ['https://localhost:1/c/_apis']);
  });
});
