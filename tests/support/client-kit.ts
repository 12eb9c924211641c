/** The unmodified Python clients that judge the embedded workspace: one virtual environment for every test that drives them. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
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
