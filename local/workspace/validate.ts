/** Checks of names and bodies, worded as the service words them (azure-ml-observed §0). */
import { badRequest, ServiceError } from './errors.js';

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

/** `properties` of a resource body. Throws 400 when there is no object. */
export function propertiesOf(body: unknown, what: string, _apiVersion: string): Record<string, unknown> {
  const properties = objectOf(objectOf(body)?.['properties']);
  if (properties) return properties;
  throw new ServiceError(400, 'UserError', 'Request is invalid and/or missing fields.', {
    details: [{ code: 'RequestInvalid', message: `The ${what} body must be an object with a member 'properties'.` }],
    inner: ['BadArgument'],
  });
}

/** Any JSON value as text for a message or a comparison: text as it is, the rest as JSON. */
export function textOf(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined || value === null ? '' : JSON.stringify(value);
}
