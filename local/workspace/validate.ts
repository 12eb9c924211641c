/** Checks of names and bodies, worded as the service words them (azure-ml-observed §0). */
import { badRequest, invalidBody, ServiceError } from './errors.js';
import { schemaProblems } from './schema/check.js';

/** A plain object, or `undefined`. */
export function objectOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** Names of workspaces and registries. */
export const placeNames = /^[a-zA-Z0-9][a-zA-Z0-9_-]{2,32}$/;
const names = /^[a-zA-Z0-9][a-zA-Z0-9\-_.]{0,254}$/;

/** A name in a PUT. Throws 400; the default pattern is that of assets and jobs. */
export function assetName(name: string | undefined, what: string, pattern = names): string {
  if (name !== undefined && pattern.test(name) && !name.includes('..')) return name;
  throw badRequest(`${what} name '${(name ?? '').slice(0, 300)}' is invalid. It must match ${pattern.source}.`, [
    { code: 'InvalidName', message: `The name does not match the pattern ${pattern.source}.`, target: 'name' },
  ]);
}

/** `properties` of a resource body, checked against the ARM schema of its kind. Throws 400 with one detail a problem. */
export function propertiesOf(body: unknown, what: string, apiVersion: string): Record<string, unknown> {
  const properties = objectOf(objectOf(body)?.['properties']);
  // The registries' own api-version has no published schema.
  const unknown = apiVersion.includes('dataplane');
  const details = properties
    ? unknown
      ? []
      : schemaProblems(definitions[what] ?? '', properties, apiVersion, JSON.stringify(body))
    : [{ code: 'RequestInvalid', message: `Required property 'properties' not found in JSON. Path '', line 1, position 1.` }];
  if (properties && !details.length) return properties;
  throw invalidBody(details);
}

const tracked = new Set('id name type location tags identity kind sku properties systemData etag'.split(' '));

/**
 * The body of a tracked resource (workspace, registry) with its region, checked as the resource manager and then the service check it.
 * `region` of the resource that is there already is taken when none is sent. Throws 400, and 409 for another region.
 */
export function trackedResource(
  body: unknown,
  what: 'Workspace' | 'Registry',
  apiVersion: string,
  before?: { name: string; location: string; resourceGroup: string },
): { sent: Record<string, unknown>; properties: Record<string, unknown>; location: string; tags?: Record<string, string> } {
  const gateway = (status: number, code: string, message: string) =>
    new ServiceError(status, code, message, { envelope: 'gateway' });
  const sent = objectOf(body);
  if (!sent)
    throw gateway(
      400,
      'InvalidRequestContent',
      'The request content was invalid and could not be deserialized: an object is needed.',
    );
  const unknown = Object.keys(sent).find((member) => !tracked.has(member));
  if (unknown !== undefined)
    throw gateway(
      400,
      'InvalidRequestContent',
      `The request content was invalid and could not be deserialized: 'Could not find member '${unknown}' on object of type 'ResourceDefinition'. Path '${unknown}', line 1, position ${JSON.stringify(body).indexOf(JSON.stringify(unknown)) + unknown.length + 3}.'.`,
    );
  const asked = sent['location'] ?? before?.location;
  if (typeof asked !== 'string' || !asked)
    throw gateway(400, 'LocationRequired', 'The location property is required for this definition.');
  const location = asked.toLowerCase().replaceAll(' ', '');
  if (!/^[a-z][a-z0-9]{2,40}$/.test(location))
    throw gateway(400, 'LocationNotAvailableForResourceType', `The provided location '${asked.slice(0, 100)}' is not a region.`);
  if (before && before.location !== location)
    throw gateway(
      409,
      'InvalidResourceLocation',
      `The resource '${before.name}' already exists in location '${before.location}' in resource group '${before.resourceGroup}'. A resource with the same name cannot be created in location '${location}'. Please select a new resource name.`,
    );
  const properties = sent['properties'] == null ? {} : propertiesOf(body, what, apiVersion);
  return { sent, properties, location, ...(sent['tags'] == null ? {} : { tags: textMap(sent['tags'], 'tags') }) };
}

/** An object whose values are texts. Throws 400. */
export function textMap(sent: unknown, what: string): Record<string, string> {
  const map = objectOf(sent);
  if (!map || Object.values(map).some((value) => typeof value !== 'string'))
    throw badRequest(`${what} must be an object of texts.`);
  return map as Record<string, string>;
}

/** Definition of the schema for what a handler calls its body. */
const definitions: Record<string, string> = {
  ...Object.fromEntries(
    ['Code', 'Component', 'Data', 'Environment', 'Model'].flatMap((kind) => [
      [`${kind}Container`, `${kind}ContainerProperties`],
      [`${kind}Version`, kind === 'Data' ? 'DataVersionBaseProperties' : `${kind}VersionProperties`],
    ]),
  ),
  Datastore: 'DatastoreProperties',
  Schedule: 'ScheduleProperties',
  Workspace: 'WorkspaceProperties',
  Registry: 'RegistryProperties',
};

/** Any JSON value as text for a message or a comparison: text as it is, the rest as JSON. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value);
}
