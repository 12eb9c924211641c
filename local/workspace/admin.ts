/** The local admin route `/_amlops`: faults and latency at run time, roles, certificates. For the machine's own user: any valid token. */
import type { Ctx } from './context.js';
import { badRequest, notFound } from './errors.js';
import type { Injected } from './faults.js';
import type { Rights, Role } from './identity/rights.js';
import type { Router } from './router.js';
import { objectOf } from './validate.js';
import { Failure } from '../../src/azure/errors.js';
import type { StoredWorld } from './world.js';

const roles: Role[] = ['Contributor', 'Reader', 'Storage Blob Data Contributor', 'Storage Blob Data Reader'];

/** Runs a setter that words its errors as Failure. */
function set(change: () => void): void {
  try {
    change();
  } catch (error) {
    if (error instanceof Failure) throw badRequest(`${error.message} ${error.details.advice ?? ''}`.trim());
    throw error;
  }
}

interface AdminParts {
  world: StoredWorld;
  rights: Rights;
  /** The blob service, which injects its own faults. */
  blobs: { faults(set?: string): Promise<Injected[]> };
}

export function registerAdmin(router: Router, ctx: Ctx, { world, rights, blobs }: AdminParts): void {
  const state = async (set?: string) => {
    const injected = [...ctx.faults.injected, ...(await blobs.faults(set))];
    return { body: { faults: ctx.faults.text, injected, latency: ctx.latency.toJSON() } };
  };
  // Faults never reach this route: it must be possible to switch them off.
  router.public('GET', '/_amlops', 'read', () => state());
  router.public('PUT', '/_amlops', 'write', async ({ body }) => {
    const sent = objectOf(body);
    if (!sent) throw badRequest('The body must be {"faults": SPEC, "latency": SPEC}; either can be left out.');
    const text = (member: string): string | undefined => {
      const value = sent[member];
      if (value === undefined || typeof value === 'string') return value;
      throw badRequest(`'${member}' must be text.`);
    };
    const [faults, latency] = [text('faults'), text('latency')];
    if (latency !== undefined) set(() => ctx.latency.set(latency));
    if (faults !== undefined) set(() => ctx.faults.set(faults));
    return await state(faults);
  });
  router.public('GET', '/_amlops/roles', 'read', () => ({ body: { value: rights.assignments() } }));
  router.public(['PUT', 'DELETE'], '/_amlops/roles', 'write', async ({ method, body }) => {
    const { clientId, role, scope } = objectOf(body) ?? {};
    const known = roles.find((entry) => entry === role);
    if (typeof clientId !== 'string' || typeof scope !== 'string' || !scope.startsWith('/subscriptions/') || !known)
      throw badRequest(`The body must be {"clientId", "role", "scope"}; roles: ${roles.join(', ')}.`);
    if (!world.principal(clientId)) throw notFound(`There is no principal ${clientId}.`);
    const assignment = { clientId, role: known, scope };
    await (method === 'PUT' ? rights.assign(assignment) : rights.revoke(assignment));
    return { status: 204 };
  });
  router.public('PUT', '/_amlops/principals/:clientId/certificate', 'write', async ({ params, body }) => {
    const principal = world.principal(params['clientId'] ?? '');
    if (!principal) throw notFound(`There is no principal ${params['clientId']}.`);
    const pem = Buffer.isBuffer(body) ? body.toString('utf8') : '';
    const found = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(pem)?.[0];
    if (found === undefined)
      throw badRequest('The body must be a certificate in PEM form (content type application/x-pem-file).');
    await world.update({ ...principal, certificates: [...(principal.certificates ?? []), found] });
    return { status: 204 };
  });
}
