/** What a PUT makes of an asset version, the first and the second (azure-ml-observed §0, azure-ml-rest §3.1). */
import type { Scope } from '../context.js';
import { badRequest, conflict } from '../errors.js';
import { objectOf } from '../validate.js';
import type { AssetKind, AssetVersion } from './types.js';

/** Member that says where the bytes are: it never changes in a version. */
const fixed: Partial<Record<AssetKind, string>> = { codes: 'codeUri', data: 'dataUri', models: 'modelUri' };

/** What a PUT makes of a version that is there. Throws 400 and 409 for what cannot change. */
export function merge(kind: AssetKind, before: AssetVersion, sent: Record<string, unknown>): Record<string, unknown> {
  const old = before.properties;
  const member = fixed[kind];
  const plain = (value: unknown) => String(value).toLowerCase().replace(/\/$/, '');
  if (member !== undefined && plain(old[member]) !== plain(sent[member]))
    throw badRequest('Asset paths cannot be updated.', [], ['BadArgument', 'AssetPathImmutable']);
  const same = (name: string) => JSON.stringify(old[name] ?? null) === JSON.stringify(sent[name] ?? null);
  if (kind === 'models' && old['modelType'] !== sent['modelType'])
    throw badRequest('The type of a model version cannot be changed.');
  if (kind === 'data' && old['dataType'] !== sent['dataType']) throw badRequest('The type of a data version cannot be changed.');
  if (kind === 'environments' && !['image', 'build', 'condaFile', 'inferenceConfig'].every(same))
    throw conflict(
      `Environment ${before.name}:${before.version} already exists with another definition; an environment version cannot be changed.`,
    );
  if (kind === 'components' && !sameComponent(old['componentSpec'], sent['componentSpec']))
    throw conflict(
      `Component ${before.name}:${before.version} already exists with another definition; a component version cannot be changed.`,
    );
  const held = objectOf(old['properties']) ?? {};
  const given = objectOf(sent['properties']) ?? {};
  // Of a component they may: the client's hash of it changes with its description.
  const touched = kind === 'components' ? undefined : Object.keys(given).find((key) => key in held && held[key] !== given[key]);
  if (touched !== undefined)
    throw badRequest(
      `Property '${touched}' cannot be changed: properties of a version can be added only.`,
      [],
      ['BadArgument', 'PropertiesImmutable'],
    );
  return {
    ...old,
    description: sent['description'] ?? old['description'],
    tags: { ...objectOf(old['tags']), ...objectOf(sent['tags']) },
    properties: { ...held, ...given },
    isArchived: sent['isArchived'],
    ...(sent['stage'] != null && kind !== 'data' ? { stage: sent['stage'] } : {}),
    // What only describes a component (display name, description) may change; the rest was found equal.
    ...(kind === 'components' ? { componentSpec: sent['componentSpec'] } : {}),
    ...(kind === 'models' && Object.keys(objectOf(sent['flavors']) ?? {}).length ? { flavors: sent['flavors'] } : {}),
  };
}

/** Whether two specifications are one component: what only describes does not count. */
function sameComponent(a: unknown, b: unknown): boolean {
  const core = (spec: unknown) => {
    const { description: _d, display_name: _n, tags: _t, $schema: _s, version: _v, ...rest } = objectOf(spec) ?? {};
    return JSON.stringify(sorted(rest));
  };
  return core(a) === core(b);
}

/** Members in one order at every level: clients send them in another than they got them. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  const object = objectOf(value);
  if (!object) return value;
  return Object.fromEntries(
    Object.keys(object)
      .sort()
      .map((key) => [key, sorted(object[key])]),
  );
}

/** A new version is in development; a component that a job brought along is only logged. Registries leave it open but for models. */
export function staged(scope: Scope, kind: AssetKind, properties: Record<string, unknown>): Record<string, unknown> {
  const has = kind === 'models' || (scope.kind === 'workspace' && (kind === 'components' || kind === 'environments'));
  const first = kind === 'components' && properties['isAnonymous'] === true ? 'Logged' : 'Development';
  return has ? { ...properties, stage: properties['stage'] ?? first } : properties;
}

/** An equal component that was there is answered under its own id, its specification with the version that was sent, as recorded. */
export function asSent(found: AssetVersion, source: Record<string, unknown> | undefined): AssetVersion {
  const version = source?.['version'];
  if (version === undefined) return found;
  const spec = objectOf(found.properties['componentSpec']);
  return { ...found, properties: { ...found.properties, componentSpec: { ...spec, version } } };
}
