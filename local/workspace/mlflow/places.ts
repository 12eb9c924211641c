/**
 * Where MLflow's artifact addresses lie in storage. An address below `…/api/2.0/mlflow-artifacts/artifacts/`:
 * `ExperimentRun/dcid.{run}/…`, `Experiment/{id}/…` and `LocalUpload/…` are the artifact store; `container/{name}/…` is any container of
 * the workspace's account (read only: where registered models may lie).
 */
import type { WorkspaceRecord } from '../context.js';
import type { BlobPlace } from '../storage/types.js';
import { invalid } from './wire.js';

const store = 'azureml';
const roots = ['ExperimentRun', 'Experiment', 'LocalUpload'];

/** A path of a client: no empty, `.` or `..` part, nothing that another system would read as a root. */
export function safePath(path: string): string {
  const trimmed = path.replace(/^\/+|\/+$/g, '');
  if (trimmed === '') return '';
  if (
    trimmed.includes('\\') ||
    trimmed.includes('\0') ||
    trimmed.split('/').some((part) => part === '' || part === '.' || part === '..')
  ) {
    throw invalid(`Invalid path: ${path.slice(0, 200)}`);
  }
  return trimmed;
}

/** Place of an address; `write`: only where artifacts of runs and models belong. */
export function placeOf(ws: WorkspaceRecord, path: string, write: boolean): BlobPlace {
  const safe = safePath(path);
  const [root = '', second = '', ...rest] = safe.split('/');
  if (roots.includes(root) && second !== '') return { account: ws.account, container: store, path: safe };
  if (root === 'container' && second !== '' && !write) return { account: ws.account, container: second, path: rest.join('/') };
  throw invalid(`There are no artifacts at '${path.slice(0, 200)}'.`);
}

/** Address of a place of the workspace's own account; undefined for another account. */
export function addressOf(ws: WorkspaceRecord, place: BlobPlace): string | undefined {
  if (place.account !== ws.account) return undefined;
  const path = place.path.replace(/\/+$/, '');
  return place.container === store && roots.includes(path.split('/', 1)[0] ?? '') ? path : `container/${place.container}/${path}`;
}
