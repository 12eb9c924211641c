/** The https server: fastify over our certificate, any casing of path segments, bodies parsed as the service does. */
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import fastify, { type FastifyInstance, type FastifyReply } from 'fastify';
import { operationName } from './arm/operation-name.js';
import { notBuilt, ServiceError } from './errors.js';
import type { Router } from './router.js';
import type { Certificates } from './tls.js';

/** The resource manager's own limit. */
const bodyLimit = 4 * 1024 * 1024;

/** Deepest nesting of a body; what is below would exhaust the stack of whoever walks through it. */
const maxDepth = 128;
function tooDeep(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return levels === 0 || Object.values(value).some((entry) => tooDeep(entry, levels - 1));
}

/** Makes the server; routes are added by the surfaces. */
export function makeServer(files: Certificates): FastifyInstance {
  const app = fastify({
    https: { key: readFileSync(files.keyFile), cert: readFileSync(files.certFile) },
    bodyLimit,
    logger: false,
    genReqId: () => randomUUID(),
    exposeHeadRoutes: false,
    forceCloseConnections: true,
    keepAliveTimeout: 72_000,
    // An address that is none: fastify's own words would be no answer of this service.
    frameworkErrors: (error, _request, reply) => {
      void (reply as FastifyReply)
        .code(400)
        .header('x-ms-failure-cause', 'gateway')
        .send({ error: { code: 'InvalidRequestUri', message: `The request URI is not valid: ${error.message}.` } });
    },
    routerOptions: { caseSensitive: false, maxParamLength: 2000, ignoreTrailingSlash: true },
  });
  app.removeAllContentTypeParsers();
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    const bytes = body as Buffer;
    const type = String(request.headers['content-type'] ?? '').toLowerCase();
    if (!bytes.length) return done(null, undefined);
    if (type && !type.includes('json')) return done(null, bytes);
    try {
      const value = JSON.parse(bytes.toString('utf8')) as unknown;
      if (tooDeep(value, maxDepth)) throw new Error(`The reader's MaxDepth of ${maxDepth} has been exceeded.`);
      done(null, value);
    } catch (error) {
      done(Object.assign(new Error((error as Error).message), { code: 'InvalidRequestContent', statusCode: 400 }), undefined);
    }
  });
  return app;
}

/** What no surface serves: 501 naming the operation for known parts of the service, 404 for the rest. After all surfaces. */
export function registerRest(
  app: FastifyInstance,
  router: Router,
  authenticate: (header: string | undefined) => Promise<unknown>,
): void {
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    authenticate(request.headers.authorization)
      .then(() => {
        if (/\/providers\/Microsoft\.MachineLearningServices\//i.test(path) || /^\/[a-z0-9-]+\/v\d[\d.]*\//i.test(path))
          throw notBuilt(operationName(request.method, path));
        throw new ServiceError(404, 'InvalidResourceType', `The resource '${path}' could not be found.`, { envelope: 'gateway' });
      })
      .catch((error: unknown) => router.fail(error, request, reply));
    return reply;
  });
}
