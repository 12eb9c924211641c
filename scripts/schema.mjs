// node scripts/schema.mjs [FOLDER]: makes local/workspace/schema/arm.json, the members that ARM bodies may have, from the published ARM
// schemas (FOLDER, default ../shared/reference/aml-api: arm-schema-<api-version>.json). Only facts are taken: names, types, what is required.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './lib/setup.mjs';

const folder = process.argv[2] ?? join(root, '..', 'shared', 'reference', 'aml-api');
const versions = ['2024-10-01', '2026-05-01'];
const roots = [
  ...['Code', 'Component', 'Data', 'Environment', 'Model'].flatMap((name) => [
    `${name}ContainerProperties`,
    `${name}VersionProperties`,
  ]),
  'DataVersionBaseProperties',
  'DatastoreProperties',
  'ScheduleProperties',
  'WorkspaceProperties',
  'RegistryProperties',
].filter((name) => name !== 'DataVersionProperties');
// A job in a schedule, an invocation and a monitor are checked by others, or not at all.
const opaque = new Set(['JobBaseProperties', 'EndpointScheduleActionEndpointInvocationDefinition', 'MonitorDefinition']);

/** What the ARM schema leaves out: read-only members that clients send back, and members of previews. */
const more = {
  CodeVersionProperties: 'provisioningState autoDeleteSetting',
  ComponentVersionProperties: 'provisioningState stage autoDeleteSetting intellectualProperty',
  ComponentContainerProperties: 'latestVersion nextVersion provisioningState',
  CodeContainerProperties: 'latestVersion nextVersion provisioningState',
  DataContainerProperties: 'latestVersion nextVersion',
  EnvironmentContainerProperties: 'latestVersion nextVersion provisioningState',
  ModelContainerProperties: 'latestVersion nextVersion provisioningState',
  DataVersionBaseProperties: 'stage autoDeleteSetting intellectualProperty referencedUris',
  EnvironmentVersionProperties: 'provisioningState stage environmentType autoDeleteSetting intellectualProperty',
  ModelVersionProperties:
    'provisioningState stage autoDeleteSetting intellectualProperty defaultDeploymentTemplate allowedDeploymentTemplates systemMetadata system_metadata originAssetId',
  DatastoreProperties: 'isDefault intellectualProperty subscriptionId resourceGroup',
  ScheduleProperties: 'provisioningState isEnabled',
  WorkspaceProperties:
    'workspaceId tenantId provisioningState creationTime notebookInfo privateLinkCount mlFlowTrackingUri serviceProvisionedResourceGroup linkedModelInventoryArmId sdkTelemetryAppInsightsKey sasGetterUri storageHnsEnabled privateEndpointConnections ipAllowlist networkAcls allowRoleAssignmentOnRG softDeleteEnabled allowRecoverSoftDeletedWorkspace softDeletedAt scheduledPurgeDate EnableSoftwareBillOfMaterials existingWorkspaces agentsEndpointUri keyVaultIdentity',
  RegistryProperties: 'registryId managedResourceGroupTags registryPrivateEndpointConnections',
  TriggerBase: '',
};

const all = versions.map((version) => JSON.parse(readFileSync(join(folder, `arm-schema-${version}.json`), 'utf8')).definitions);
const result = {};
const isExpression = (schema) => schema.$ref?.includes('definitions/expression');

/** Type of a member as one short text: s b n any, e:a|b, [type, {type, @Definition. */
function typeOf(schema, reach) {
  if (schema.oneOf) {
    const inner = schema.oneOf.filter((entry) => !isExpression(entry));
    return inner.length === 1 ? typeOf(inner[0], reach) : '*';
  }
  if (schema.$ref) {
    const name = schema.$ref.split('/').at(-1);
    if (opaque.has(name)) return '*';
    reach.push(name);
    return `@${name}`;
  }
  if (schema.enum) return `e:${schema.enum.join('|')}`;
  if (schema.type === 'string') return 's';
  if (schema.type === 'boolean') return 'b';
  if (schema.type === 'integer' || schema.type === 'number') return 'n';
  if (schema.type === 'array') return `[${typeOf(schema.items ?? {}, reach)}`;
  if (schema.type === 'object' && schema.additionalProperties && typeof schema.additionalProperties === 'object')
    return `{${Object.keys(schema.additionalProperties).length ? typeOf(schema.additionalProperties, reach) : '*'}`;
  return '*';
}

function add(name, index, reach) {
  const schema = all[index][name];
  if (!schema) return;
  const entry = (result[name] ??= { members: {} });
  const [base, choice] = schema.allOf ?? [schema];
  for (const [member, value] of Object.entries(base.properties ?? {})) {
    const type = typeOf(value, reach);
    entry.members[member] ??= index === 0 ? type : `>${versions[index]} ${type}`;
  }
  if (base.required?.length) entry.required = base.required;
  for (const option of choice?.oneOf ?? []) {
    const [target, rule] = option.allOf ?? [];
    const kind = target?.$ref?.split('/').at(-1);
    const [discriminator, constant] = Object.entries(rule?.properties ?? {})[0] ?? [];
    if (!kind || !discriminator) continue;
    entry.by = discriminator;
    (entry.kinds ??= {})[constant.const] = kind;
    if (!opaque.has(kind)) reach.push(kind);
  }
}

versions.forEach((_version, index) => {
  const seen = new Set();
  const reach = [...roots];
  while (reach.length) {
    const name = reach.pop();
    if (seen.has(name)) continue;
    seen.add(name);
    add(name, index, reach);
  }
});
for (const [name, members] of Object.entries(more))
  for (const member of members.split(' ').filter(Boolean)) if (result[name]) result[name].members[member] ??= '*';
// A definition without members says nothing of what may stand there.
for (const [name, entry] of Object.entries(result)) if (!Object.keys(entry.members).length && !entry.kinds) delete result[name];
const lines = Object.entries(result)
  .sort(([a], [b]) => (a < b ? -1 : 1))
  .map(([name, entry]) => `  ${JSON.stringify(name)}: ${JSON.stringify(entry)}`);
writeFileSync(join(root, 'local', 'workspace', 'schema', 'arm.json'), `{\n${lines.join(',\n')}\n}\n`);
console.error(`${lines.length} definitions of ${versions.join(', ')}.`);
