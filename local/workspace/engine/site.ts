/** What every job process gets: names below `localhost` resolve, our CA is trusted, the variables that Azure ML sets. */
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { venvEnvironment, type Venv } from '../../python.js';
import type { Ctx } from '../context.js';
import type { Task } from './types.js';

/** Names under localhost are the loopback address (RFC 6761), which many resolvers do not know. Patched only when `socket` is imported. */
const sitecustomize = `import sys


def _patch(module):
    real = module.getaddrinfo

    def getaddrinfo(host, port, *args, **kwargs):
        name = host.decode() if isinstance(host, bytes) else host
        if isinstance(name, str) and name.rstrip(".").endswith(".localhost"):
            host = "127.0.0.1"
        return real(host, port, *args, **kwargs)

    module.getaddrinfo = getaddrinfo


class _Finder:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name != "socket":
            return None
        sys.meta_path.remove(cls)
        from importlib.util import find_spec

        spec = find_spec("socket")
        run = spec.loader.exec_module

        def exec_module(module):
            run(module)
            _patch(module)

        spec.loader.exec_module = exec_module
        return spec


if "socket" in sys.modules:
    _patch(sys.modules["socket"])
else:
    sys.meta_path.insert(0, _Finder)
`;

export interface Site {
  /** The engine's folder. */
  folder: string;
  /** Folder with sitecustomize.py. */
  python: string;
  /** PEM bundle: ours and the system's. */
  caBundle: string;
}

/** Certificates that this machine trusts, as PEM text. */
function systemCertificates(env: NodeJS.ProcessEnv): string {
  for (const name of ['SSL_CERT_FILE', 'REQUESTS_CA_BUNDLE', 'NODE_EXTRA_CA_CERTS']) {
    const path = env[name];
    if (path && existsSync(path)) return readFileSync(path, 'utf8');
  }
  return rootCertificates.join('\n');
}

/** Writes the files that jobs are started with. */
export async function prepareSite(ctx: Ctx, folder: string): Promise<Site> {
  const site = { folder, python: join(folder, 'python'), caBundle: join(folder, 'ca-bundle.pem') };
  await mkdir(site.python, { recursive: true });
  await writeFile(join(site.python, 'sitecustomize.py'), sitecustomize);
  await writeFile(site.caBundle, `${await readFile(ctx.world.caFile, 'utf8')}\n${systemCertificates(process.env)}`);
  return site;
}

/** Variables of the host that a job may see: what a process needs to run, nothing that the user's shell holds besides. */
const inherited =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LANGUAGE|LC_\w+|TZ|SystemRoot|ComSpec|PATHEXT|APPDATA|LOCALAPPDATA|USERPROFILE|PIP_\w+|UV_\w+|NUMBER_OF_PROCESSORS|OMP_NUM_THREADS)$/i;

interface JobEnvironment {
  task: Task;
  site: Site;
  venv: Venv;
  token: string;
  /** Its temporary folder. */
  temp: string;
  /** Later ones win: variables of the image, then of the job. */
  variables: Record<string, string>;
}

/** Environment of a job's process (azure-ml-rest.md §6.3). */
export function jobEnvironment({ task, site, venv, token, temp, variables }: JobEnvironment): NodeJS.ProcessEnv {
  const { run, tree } = task;
  const { ctx, ws } = tree;
  const host = Object.fromEntries(Object.entries(process.env).filter(([name]) => inherited.test(name)));
  const scope = ws.armId;
  const own: Record<string, string> = {
    MLFLOW_TRACKING_URI: `${ctx.urls.base}${ctx.urls.mlflow(ws, 'v2.0')}`,
    MLFLOW_TRACKING_TOKEN: token,
    MLFLOW_RUN_ID: run.runId,
    MLFLOW_EXPERIMENT_ID: run.experimentId,
    MLFLOW_EXPERIMENT_NAME: run.experimentName,
    AZUREML_RUN_ID: run.runId,
    AZUREML_ROOT_RUN_ID: run.rootRunId,
    AZUREML_RUN_TOKEN: token,
    AZUREML_EXPERIMENT_ID: run.experimentId,
    AZUREML_DATA_CONTAINER_ID: run.dataContainerId,
    AZUREML_ARM_SUBSCRIPTION: ws.subscriptionId,
    AZUREML_ARM_RESOURCEGROUP: ws.resourceGroup,
    AZUREML_ARM_WORKSPACE_NAME: ws.name,
    AZUREML_ARM_PROJECT_NAME: run.experimentName,
    AZUREML_WORKSPACE_ID: ws.guid,
    AZUREML_WORKSPACE_SCOPE: scope,
    AZUREML_SERVICE_ENDPOINT: ctx.urls.base,
    AZUREML_DISCOVERY_SERVICE_ENDPOINT: `${ctx.urls.base}/discovery`,
    AZUREML_FRAMEWORK: 'Python',
    // azureml-mlflow and azure-ai-ml ask them which cloud they are in; without them they try the public one.
    AZUREML_CURRENT_CLOUD: 'Local',
    ARM_CLOUD_METADATA_URL: `${ctx.urls.base}/metadata/endpoints?api-version=2019-05-01`,
    REQUESTS_CA_BUNDLE: site.caBundle,
    SSL_CERT_FILE: site.caBundle,
    CURL_CA_BUNDLE: site.caBundle,
    TMPDIR: temp,
    GIT_PYTHON_REFRESH: 'quiet',
    PYTHONUNBUFFERED: '1',
    MLFLOW_DISABLE_TELEMETRY: 'true',
  };
  if (process.platform === 'win32') Object.assign(own, { TEMP: temp, TMP: temp });
  if (run.parentRunId !== undefined) own['AZUREML_PARENT_RUN_ID'] = run.parentRunId;
  const env = { ...venvEnvironment(venv, host), ...own, ...variables };
  env['PYTHONPATH'] = [site.python, variables['PYTHONPATH']].filter(Boolean).join(delimiter);
  return env;
}
