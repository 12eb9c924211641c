/** Which addresses get a token of a connection: those that it leads to, by whole names and ports, and no look-alike. */
import assert from 'node:assert/strict';
import { Failure } from '../../src/azure/errors.js';
import { Hosts } from '../../src/azure/hosts.js';

const hosts = (resourceManager: string): Hosts =>
  new Hosts({
    name: 'arm',
    resourceManager,
    authority: 'https://login.microsoftonline.com',
    tenantId: 't',
    clientId: 'c',
    credential: { kind: 'secret', clientSecret: 's' },
  });
const goes = (check: (url: URL) => void, url: string): boolean => {
  try {
    check(new URL(url));
    return true;
  } catch (error) {
    assert.ok(error instanceof Failure && error.code === 'UntrustedHost', String(error));
    return false;
  }
};

describe('hosts that may see a token', () => {
  const cloud = hosts('https://management.azure.com');
  const local = hosts('https://localhost:4443');
  local.trust('LOCALHOST:5555');

  it('are the resource manager, what discovery told, and the service in its own cloud', () => {
    const check = (of: Hosts) => (url: URL) => of.check(url);
    const expected: [Hosts, string, boolean][] = [
      [cloud, 'https://management.azure.com/x', true],
      [cloud, 'http://management.azure.com/x', false],
      [cloud, 'https://management.azure.com:444/x', false],
      [cloud, 'https://westeurope.api.azureml.ms/x', true],
      [cloud, 'https://azureml.ms/x', true],
      [cloud, 'https://westeurope.api.azureml.ms:8443/x', false],
      [cloud, 'https://evilazureml.ms/x', false],
      [cloud, 'https://azureml.ms.evil.example/x', false],
      [cloud, 'https://mine.westeurope.inference.ml.azure.com/x', false],
      [cloud, 'https://mine-8888.westeurope.instances.azureml.ms/x', false],
      [local, 'https://localhost:4443/x', true],
      [local, 'https://localhost:4444/x', false],
      [local, 'https://localhost:5555/x', true],
      [local, 'https://westeurope.api.azureml.ms/x', false],
    ];
    for (const [of, url, may] of expected) assert.equal(goes(check(of), url), may, url);
  });

  it('of storage are those of the clouds, or of the own domain', () => {
    const check = (of: Hosts) => (url: URL) => of.checkStorage(url);
    const china = hosts('https://management.chinacloudapi.cn');
    const stack = hosts('https://management.local.azurestack.external');
    const expected: [Hosts, string, boolean][] = [
      [cloud, 'https://acct.blob.core.windows.net/c', true],
      [cloud, 'http://acct.blob.core.windows.net/c', false],
      [cloud, 'https://acct.blob.evilcore.windows.net.example/c', false],
      [cloud, 'https://evilcore.windows.net/c', false],
      [cloud, 'https://acct.blob.core.localhost/c', false],
      [cloud, 'https://mine.westeurope.cloudapp.azure.com/c', false],
      [china, 'https://mine.chinanorth.cloudapp.chinacloudapi.cn/c', false],
      [china, 'https://acct.blob.core.chinacloudapi.cn/c', true],
      [local, 'https://acct.blob.core.localhost:10000/c', true],
      [local, 'https://notlocalhost/c', false],
      [stack, 'https://acct.blob.local.azurestack.external/c', true],
      [stack, 'https://acct.blob.other.azurestack.external/c', false],
    ];
    for (const [of, url, may] of expected) assert.equal(goes(check(of), url), may, url);
  });
});
