/** The unmodified Python clients that judge the embedded workspace: one virtual environment for every test that drives them. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ensureVenv, type Venv } from '../../local/python.js';

/** The client kit of the checkout's neighbour; undefined when it is not there (then tests over it say that they are skipped). */
export const clientKit: string | undefined = [join(import.meta.dirname, '..', '..', '..', 'shared', 'clients')].find((folder) =>
  existsSync(join(folder, 'requirements.txt')),
);

/** Versions of the official clients that the project is tested with; the kit names the same ones. */
const pinned = ['azure-ai-ml==1.35.2', 'azure-core==1.41.0', 'azure-identity==1.27.0', 'azure-storage-blob==12.19.0'].concat([
  'azureml-mlflow==1.60.0',
  'marshmallow==3.26.2',
  'mlflow==3.17.2',
  'scikit-learn==1.9.1',
]);

/** Virtual environment with the official clients, built on first use (minutes), from the cache afterwards. */
export async function clientVenv(onProgress: (line: string) => void = () => undefined): Promise<Venv> {
  const requirements = clientKit
    ? readFileSync(join(clientKit, 'requirements.txt'), 'utf8')
        .split(/\r?\n/)
        .filter((line) => line.trim() !== '')
    : pinned;
  return await ensureVenv({ name: 'clients', requirements, onProgress });
}

/**
 * Runs one of our Python scripts with the official clients and `local_azure.py`; gives what it printed.
 * @throws Error with the end of what it said when it does not exit with 0
 */
export async function runClient(script: string, args: string[], cwd?: string): Promise<string> {
  const { python } = await clientVenv();
  // PYTHONDONTWRITEBYTECODE: Python keeps what it compiled, the clients are thousands of files.
  const env = { ...process.env, PYTHONPATH: import.meta.dirname, PYTHONDONTWRITEBYTECODE: '' };
  const options = { maxBuffer: 64 * 1024 * 1024, env, ...(cwd !== undefined && { cwd }) };
  const { stdout } = await promisify(execFile)(python, [script, ...args], options).catch((error: unknown) => {
    const { stdout: out = '', stderr = '' } = error as { stdout?: string; stderr?: string };
    throw new Error(`${script}: ${out.slice(-3000)}\n${stderr.slice(-3000)}`, { cause: error });
  });
  return stdout;
}

/** Runs a script of the client kit against a workspace and asserts that every check of it passes; skips the test, in words, without the kit. */
export async function passKit(test: Mocha.Context, script: string, up: { file: string; state: string }): Promise<void> {
  if (!clientKit) {
    console.log('      skipped: ../shared/clients is not there');
    test.skip();
  }
  const { python } = await clientVenv();
  const args = [join(clientKit, script), '--connection', up.file];
  const { stdout } = await promisify(execFile)(python, args, { cwd: up.state, maxBuffer: 16 * 1024 * 1024 }).catch(
    (error: unknown) => error as { stdout: string },
  );
  assert.deepEqual(
    stdout.split('\n').filter((line) => line.startsWith('FAIL')),
    [],
  );
  assert.match(stdout, /^\d+ passed, 0 failed$/m);
}
