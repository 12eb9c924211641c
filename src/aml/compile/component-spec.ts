/** How parts of a component stand in its specification. */
import { compact, type Tree, type TreeObject } from './pending.js';
import { pyStr } from './python.js';

/** Resources in a component's specification: `properties` are not part of it. */
export function specResources(value: Tree): Tree {
  if (typeof value !== 'object' || value === null) return value;
  const { properties: _properties, ...rest } = value as TreeObject;
  return compact(rest);
}

export function specDistribution(value: Tree): Tree {
  if (typeof value !== 'object' || value === null) return value;
  const { type, ...rest } = value as TreeObject;
  const kind = pyStr(type as string).toLowerCase();
  return compact({ type: kind, ...(kind === 'tensorflow' ? { parameter_server_count: 0 } : {}), ...rest });
}
