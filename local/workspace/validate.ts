/** Checks of names and bodies, worded as the service words them (azure-ml-observed §0). */
import { badRequest, invalidBody } from './errors.js';
import { schemaProblems } from './schema/check.js';

/** A plain object, or `undefined`. */
export function objectOf(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

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
};

/** Any JSON value as text for a message or a comparison: text as it is, the rest as JSON. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value);
}
