/** The resource-manager surface but for jobs and assets. */
import type { Surface } from '../context.js';
import type { Rights } from '../identity/rights.js';
import type { Blobs } from '../storage/blobs.js';
import type { Datastores } from '../storage/datastores.js';
import { registerComputes } from './computes.js';
import { registerDatastores } from './datastores.js';
import { registerDeployments } from './deployments.js';
import { registerLifecycle } from './lifecycle.js';
import { registerNotBuilt } from './not-built.js';
import { registerSchedules } from './schedules.js';
import { registerWorkspaces } from './workspaces.js';

export function armSurface(datastores: Datastores, rights: Rights, storage: Blobs): Surface {
  return {
    name: 'arm',
    register(router, ctx) {
      registerWorkspaces(router, ctx, (call, scope) => {
        const principal = ctx.world.principal(call.principal.clientId);
        return principal ? rights.roles(principal, scope) : [];
      });
      registerDeployments(router, ctx, rights, registerLifecycle(router, ctx, rights, storage));
      registerDatastores(router, ctx, datastores);
      registerComputes(router, ctx);
      registerSchedules(router, ctx);
      registerNotBuilt(router);
    },
  };
}
