/** How the service says that an asset is not there: each kind has words of its own (azure-ml-observed §0; recordings of the public SDK tests). */
import { notFound, ServiceError } from '../errors.js';
import type { AssetKind } from './types.js';

export const singular: Record<AssetKind, string> = {
  codes: 'Code',
  components: 'Component',
  data: 'Data',
  environments: 'Environment',
  models: 'Model',
};

const component = (text: string): ServiceError =>
  new ServiceError(404, 'UserError', `Not found component ${text}.`, { inner: ['NotFound', 'ComponentNotFound'] });

/** 404 of a container. */
export function missingContainer(kind: AssetKind, name: string): ServiceError {
  if (kind === 'components') return component(name);
  if (kind === 'environments') return notFound(`No environment exists for name: ${name}, version: , label: `);
  return notFound('The specified resource was not found.', {
    code: `${singular[kind]}NotFound`,
    message: `${singular[kind]} container with name: ${name} not found.`,
  });
}

/** 404 of a version, or of what a label points at. */
export function missingVersion(kind: AssetKind, name: string, version: string, label = ''): ServiceError {
  if (kind === 'components') return component(`${name} (version: ${version || label})`);
  if (kind === 'environments') return notFound(`No environment exists for name: ${name}, version: ${version}, label: ${label}`);
  return notFound('The specified resource was not found.', {
    code: `${singular[kind]}NotFound`,
    message: `${singular[kind]} version with name: ${name} and version: ${version || label} not found.`,
  });
}
