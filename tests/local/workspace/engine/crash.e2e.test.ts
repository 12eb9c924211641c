/** `kill -9` of `amlops up` while a job runs: its processes end, and after the next start the job says what happened. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { armId, send, startUp, tokenOf, type Running } from '../../../support/workspace.js';

function processes(text: string): string[] {
  return readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'latin1').includes(text);
    } catch {
      return false; // gone meanwhile
    }
  });
}

describe('a killed workspace', function () {
  this.timeout(180_000);
  let up: Running | undefined;
  after(() => up?.stop());

  it('leaves no process behind and no job running for ever', async function () {
    if (process.platform !== 'linux') this.skip();
    up = await startUp({ args: ['--workspaces', 'dev'] });
    const ask = async (method: string, path: string, properties?: object) => {
      const { connection } = up as Running;
      const url = `${connection.resourceManager}${armId(connection)}${path}?api-version=2025-09-01`;
      return send(connection, method, url, { token: await tokenOf(connection), ...(properties && { body: { properties } }) });
    };
    const environmentId = String((await ask('PUT', '/environments/plain/versions/1', { image: 'python' })).json.id);
    const seconds = `8${process.pid}`;
    const command = `sleep ${seconds} & sleep ${seconds}`;
    assert.equal((await ask('PUT', '/jobs/long', { jobType: 'Command', command, environmentId })).status, 201);
    while (processes(`sleep\0${seconds}`).length < 2) await sleep(100);
    await up.kill();
    while (processes(`sleep\0${seconds}`).length > 0) await sleep(100);
    up = await startUp({ args: ['--workspaces', 'dev'], state: up.state });
    const { properties } = (await ask('GET', '/jobs/long')).json as { properties: { status: string } };
    assert.equal(properties.status, 'Failed');

    // The same while an environment is built: an installer that went on alone would write into the folder of the next build.
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const index = `http://127.0.0.1:${(silent.address() as AddressInfo).port}/simple`;
    const asked = new Promise((resolve) => silent.once('connection', resolve));
    const condaFile = JSON.stringify({ dependencies: [{ pip: [`--index-url ${index}`, 'nothing-comes'] }] });
    const slow = String((await ask('PUT', '/environments/slow/versions/1', { image: 'python', condaFile })).json.id);
    assert.equal((await ask('PUT', '/jobs/builds', { jobType: 'Command', command, environmentId: slow })).status, 201);
    await asked;
    assert.ok(processes('slow-').length > 0);
    await up.kill();
    while (processes('slow-').length > 0) await sleep(100);
    silent.close();
    up = await startUp({ args: ['--workspaces', 'dev'], state: up.state });
    const built = (await ask('GET', '/jobs/builds')).json as { properties: { status: string } };
    assert.equal(built.properties.status, 'Failed');
  });
});
