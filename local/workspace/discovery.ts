/** Discovery documents of workspaces and registries (reference azure-ml-rest §2.2, §3.2; azure-ml-observed §3, §9). */
import type { Surface } from './context.js';
import { ServiceError } from './errors.js';

export const discoverySurface: Surface = {
  name: 'discovery',
  register(router, ctx) {
    const document = () => {
      const base = ctx.urls.base;
      return {
        body: {
          api: base,
          catalog: 'https://catalog.cortanaanalytics.com',
          experimentation: base,
          gallery: 'https://gallery.cortanaintelligence.com/project',
          history: base,
          hyperdrive: base,
          labeling: base,
          modelmanagement: base,
          pipelines: base,
          studio: base,
        },
      };
    };
    router.anonymous('GET', '/discovery', document);
    router.anonymous('GET', '/discovery/workspaces/:workspace', document);

    router.public('GET', '/registrymanagement/v1.0/registries/:registry/discovery', 'read', (call) => {
      const name = call.params['registry'] ?? '';
      const registry = ctx.world.registry(name);
      // An unknown registry and one that is closed to the caller look the same.
      if (!registry)
        throw new ServiceError(403, 'UserError', `User/tenant/subscription is not allowed to access registry ${name}`, {
          envelope: 'data',
          component: 'feedmanagement',
          inner: ['Auth', 'Authorization', 'UnAuthorizedRegistryAccess'],
          format: {
            messageFormat: 'User/tenant/subscription is not allowed to access registry {feedName}',
            messageParameters: { feedName: name },
          },
        });
      const regions = registry.regions[0] === '*' ? [registry.location] : registry.regions;
      return {
        body: {
          registryId: registry.guid,
          registryName: registry.name,
          tenantId: ctx.world.tenantId,
          primaryRegion: registry.location,
          regions,
          subscriptionId: registry.subscriptionId,
          resourceGroup: registry.resourceGroup,
          workspaceName: null,
          primaryRegionResourceProviderUri: `${ctx.urls.base}/`,
          registryFqdns: Object.fromEntries(regions.map((region) => [region, { uri: ctx.urls.base }])),
          intellectualPropertyPublisher: null,
          isTradeRestricted: false,
        },
      };
    });
  },
};
