/** MLflow tracking of the workspaces: `/mlflow/v1.0` and `/mlflow/v2.0` before the ARM path, MLflow's own REST below it (docs/mlflow.md). */
import { rm } from 'node:fs/promises';
import type { Answer, Ctx, Surface, WorkspaceCall } from '../context.js';
import type { Method, Router, RouteOptions } from '../router.js';
import { artifactHandlers, proxyDelete, proxyDownload, proxyList, proxyUpload, uploadFolder } from './artifacts.js';
import { registerArtifactService } from './artifact-service.js';
import { experimentHandlers } from './experiments.js';
import { loggedModelRoutes } from './logged-models.js';
import { registryHandlers } from './registry.js';
import { metricHandlers, runReadHandlers } from './run-reads.js';
import { runWriteHandlers } from './run-writes.js';
import { invalid, MlflowError, mlflowAnswer, type Fields, type Handler, type MlflowCall } from './wire.js';

/** Largest artifact that the proxy takes in one request. */
const largestUpload = 64 * 1024 ** 3;
const prefixes = ['/mlflow/v1.0', '/mlflow/v2.0'] as const;

/** Reading operations that MLflow sends as POST. */
const reads = /\/(search|get-latest-versions)$/;

function mlflowCall(ctx: Ctx, prefix: (typeof prefixes)[number], call: WorkspaceCall): MlflowCall {
  const sent = Buffer.isBuffer(call.body) ? undefined : call.body;
  if (sent !== undefined && sent !== null && sent !== '' && (typeof sent !== 'object' || Array.isArray(sent)))
    throw invalid('The body of a request is a JSON object.');
  const body = (sent || {}) as Fields;
  const type = call.headers['content-type'];
  return {
    ctx,
    ws: call.ws,
    principal: call.principal,
    fields: { ...call.query, ...call.repeated, ...body },
    params: { ...call.params, method: call.method },
    base: `${ctx.urls.base}${ctx.urls.mlflow(call.ws, prefix === '/mlflow/v1.0' ? 'v1.0' : 'v2.0')}`,
    time: ctx.clock.now(),
    ...(call.stream ? { stream: call.stream } : {}),
    ...(type === undefined ? {} : { contentType: type }),
  };
}

/** Registers one prefix. */
function registerUnder(router: Router, ctx: Ctx, prefix: (typeof prefixes)[number]): void {
  const options = (more: Partial<RouteOptions> = {}): RouteOptions & { prefix: string } => ({
    prefix,
    onError: mlflowAnswer,
    bodyLimit: 16 * 1024 * 1024,
    ...more,
  });
  const add = (method: Method, path: string, handler: Handler): void => {
    const access = method === 'GET' || reads.test(path) ? 'read' : 'write';
    router.workspace(
      method,
      `/api/2.0/mlflow${path}`,
      access,
      async (call): Promise<Answer> => ({ body: await handler(mlflowCall(ctx, prefix, call)) }),
      options(),
    );
  };
  const groups: [string, Record<string, [string, Handler]>][] = [
    ['/experiments/', experimentHandlers],
    ['/runs/', { ...runWriteHandlers, ...runReadHandlers }],
    ['/metrics/', metricHandlers],
    ['/artifacts/', artifactHandlers],
    ['/', registryHandlers],
  ];
  for (const [folder, handlers] of groups) {
    for (const [name, [methods, handler]] of Object.entries(handlers)) {
      for (const method of methods.split(' ')) add(method as Method, `${folder}${name}`, handler);
    }
  }
  for (const [method, path, handler] of loggedModelRoutes) add(method, `/logged-models${path}`, handler);

  const proxy = '/api/2.0/mlflow-artifacts/artifacts';
  const bytes =
    (handler: (call: MlflowCall) => Promise<Answer>) =>
    (call: WorkspaceCall): Promise<Answer> =>
      handler(mlflowCall(ctx, prefix, call));
  router.workspace('GET', proxy, 'read', bytes(proxyList), options());
  router.workspace('GET', `${proxy}/*`, 'read', bytes(proxyDownload), options());
  router.workspace('PUT', `${proxy}/*`, 'write', bytes(proxyUpload), options({ raw: true, bodyLimit: largestUpload }));
  router.workspace('DELETE', `${proxy}/*`, 'write', bytes(proxyDelete), options());

  // The client asks what the server can do besides; nothing of it is here.
  router.workspace(
    'GET',
    '/api/3.0/mlflow/server-info',
    'read',
    () => ({
      body: {
        store_type: 'AzureMachineLearning',
        workspaces_enabled: false,
        trace_archival_enabled: false,
        multipart_uploads_enabled: false,
        multipart_downloads_enabled: false,
      },
    }),
    options(),
  );
  router.workspace('GET', '/version', 'read', () => ({ raw: '3.17.2', contentType: 'text/plain' }), options());
  router.workspace(
    ['GET', 'POST', 'PUT', 'PATCH', 'DELETE'],
    '/api/*',
    'read',
    (call) => {
      throw new MlflowError(
        'NOT_IMPLEMENTED',
        `The embedded workspace does not implement ${call.method} /api/${call.params['*']}.`,
      );
    },
    options(),
  );
}

/** MLflow tracking, model registry and artifacts, as one surface. */
export const mlflowSurface: Surface = {
  name: 'mlflow',
  register(router: Router, ctx: Ctx): void {
    for (const prefix of prefixes) registerUnder(router, ctx, prefix);
    registerArtifactService(router, ctx);
  },
  async start(ctx: Ctx): Promise<void> {
    await rm(uploadFolder(ctx), { recursive: true, force: true });
  },
};
