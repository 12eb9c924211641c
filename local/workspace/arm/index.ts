/** The resource-manager surface but for jobs and assets. */
import type { Surface } from '../context.js';
import type { Rights } from '../identity/rights.js';
import type { Datastores } from '../storage/datastores.js';
import { registerComputes } from './computes.js';
import { registerDatastores } from './datastores.js';
import { registerNotBuilt } from './not-built.js';
import { registerSchedules } from './schedules.js';
import { registerWorkspaces } from './workspaces.js';

export function armSurface(datastores: Datastores, rights: Rights): Surface {
  return {
    name: 'arm',
    register(router, ctx) {
      registerWorkspaces(router, ctx, (call, scope) => {
        const principal = ctx.world.principal(call.principal.clientId);
        return principal ? rights.roles(principal, scope) : [];
      });
      registerDatastores(router, ctx, datastores);
      registerComputes(router, ctx);
      registerSchedules(router, ctx);
      registerNotBuilt(router);
    },
  };
}
