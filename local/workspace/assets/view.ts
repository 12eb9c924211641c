/** How stored assets are answered: which members an api-version knows, list filters, paging. */
import { createHash } from 'node:crypto';
import type { Scope } from '../context.js';
import { badRequest } from '../errors.js';
import { textOf } from '../validate.js';
import type { Catalog, ContainerRecord } from './catalog.js';
import type { AssetKind, FoundAsset, SystemData } from './types.js';

const typeOf = (scope: Scope, kind: AssetKind) =>
  `Microsoft.MachineLearningServices/${scope.kind === 'workspace' ? 'workspaces' : 'registries'}/${kind}`;

interface Since {
  stable: string;
  preview: string;
}
const never = '9999';
/** First api-version that answers a member; previews came earlier. An unknown or missing version counts as the newest. */
const since: Record<string, Since> = {
  provisioningState: { stable: '2023-04-01', preview: '2023-02-01-preview' },
  stage: { stable: '2023-04-01', preview: '2023-02-01-preview' },
  autoDeleteSetting: { stable: never, preview: '2023-04-01-preview' },
  autoRebuild: { stable: '2022-10-01', preview: '2022-06-01-preview' },
  intellectualProperty: { stable: never, preview: '2023-02-01-preview' },
  datasets: { stable: '2026-05-01', preview: '2026-01-01-preview' },
};
/** Where the stable versions of one kind differ (arm schemas). */
const sinceOf: Partial<Record<AssetKind, Record<string, Since>>> = {
  components: { stage: { stable: never, preview: '2023-02-01-preview' } },
  data: {
    autoDeleteSetting: { stable: never, preview: '2023-04-01-preview' },
    intellectualProperty: { stable: never, preview: '2023-02-01-preview' },
    stage: { stable: never, preview: '2023-02-01-preview' },
    provisioningState: { stable: never, preview: never },
  },
};

function knows(member: string, apiVersion: string, kind?: AssetKind): boolean {
  const own = kind && sinceOf[kind]?.[member];
  const rule = own ?? since[member];
  if (!rule) return true;
  if (apiVersion === '') return own?.stable !== never;
  return apiVersion.includes('preview') ? apiVersion >= rule.preview : apiVersion >= rule.stable;
}

const schemas: Record<string, string> = {
  command: 'https://componentsdk.azureedge.net/jsonschema/CommandComponent.json',
  parallel: 'https://componentsdk.azureedge.net/jsonschema/ParallelComponent.json',
};

/** Until 2022-10-01 a component's specification was answered with the `$schema` of its type; today's clients refuse that address. */
function withSchema(properties: Record<string, unknown>, apiVersion: string): Record<string, unknown> {
  const spec = properties['componentSpec'] as Record<string, unknown> | undefined;
  if (!spec || apiVersion === '' || apiVersion >= '2023' || spec['$schema'] !== undefined) return properties;
  const $schema = schemas[textOf(spec['type'])];
  return $schema === undefined ? properties : { ...properties, componentSpec: { ...spec, $schema } };
}

export function trim(sent: Record<string, unknown>, apiVersion: string, kind?: AssetKind): Record<string, unknown> {
  const properties = withSchema(sent, apiVersion);
  const known = Object.fromEntries(Object.entries(properties).filter(([member]) => knows(member, apiVersion, kind)));
  const spec = known['componentSpec'] as Record<string, unknown> | undefined;
  // The `$schema` that the service adds is recorded up to 2022-10-01; today's client refuses it as a private feature.
  if (
    typeof spec?.['$schema'] === 'string' &&
    spec['$schema'].startsWith('https://componentsdk.') &&
    !apiVersion.startsWith('2022')
  ) {
    const { $schema: _schema, ...rest } = spec;
    known['componentSpec'] = rest;
  }
  return known;
}

/** One version as resource. Registry environments answer their version as `name`, registry models theirs (azure-ml-observed §9). */
export function versionBody(catalog: Catalog, asset: FoundAsset, apiVersion: string): Record<string, unknown> {
  const properties = trim(asset.properties, apiVersion, asset.kind);
  if (asset.kind === 'environments') {
    // A build context without packages of its own is answered with an empty text.
    if (properties['build'] !== undefined) properties['condaFile'] ??= '';
    const labelled = apiVersion >= '2023' && properties['isAnonymous'] !== true;
    if (labelled && catalog.latest(asset.scope, asset.kind, asset.name)?.version === asset.version)
      properties['properties'] = { ...(properties['properties'] as object), 'azureml.labels': 'latest' };
  }
  if (asset.kind === 'components') withGraphs(asset, properties, apiVersion);
  return {
    id: asset.id,
    name: asset.version,
    type: `${typeOf(asset.scope, asset.kind)}/versions`,
    properties,
    systemData: asset.kind === 'data' ? dated(asset.systemData) : asset.systemData,
  };
}

/** Up to 2022-10-01 a pipeline component was answered with the ids of its graphs: opaque, and the same at every reading. */
function withGraphs(asset: FoundAsset, properties: Record<string, unknown>, apiVersion: string): void {
  const spec = properties['componentSpec'] as Record<string, unknown> | undefined;
  if (spec?.['type'] !== 'pipeline' || !apiVersion.startsWith('2022')) return;
  const id = (what: string): string =>
    createHash('sha256')
      .update(`${asset.id} ${what}`)
      .digest('hex')
      .replace(/^(.{8})(.{4})(.{4})(.{4})(.{12}).*$/, '$1-$2-$3-$4-$5');
  properties['properties'] = {
    ...(properties['properties'] as object),
    'azureml.DatasetAccessModeGraphId': id('dataset'),
    'azureml.AssetAccessModeGraphId': id('asset'),
  };
}

export function containerBody(
  catalog: Catalog,
  scope: Scope,
  kind: AssetKind,
  record: ContainerRecord,
  apiVersion: string,
): Record<string, unknown> {
  const id =
    scope.kind === 'workspace'
      ? `${scope.armId}/${kind}/${record.name}`
      : `azureml://registries/${scope.name}/${kind}/${record.name}`;
  return {
    id,
    name: record.name,
    type: typeOf(scope, kind),
    properties: trim(
      {
        // Containers of components and environments have an empty description, those of models none.
        description: record.description ?? (kind === 'components' || kind === 'environments' ? '' : null),
        tags: kind === 'data' ? orNull(record.tags) : record.tags,
        properties: kind === 'data' ? orNull(record.properties) : record.properties,
        isArchived: record.isArchived,
        ...(kind === 'data' ? { dataType: record.dataType ?? 'uri_folder' } : {}),
        ...catalog.numbering(scope, kind, record.name),
        provisioningState: 'Succeeded',
      },
      apiVersion,
      kind,
    ),
    systemData: kind === 'data' ? dated(record.systemData) : record.systemData,
  };
}

/** Of data the service tells when it was changed last, and not by whom. */
function dated(systemData: SystemData): SystemData {
  const { lastModifiedBy: _by, lastModifiedByType: _type, ...rest } = systemData;
  return rest;
}
/** A container of data that a version made has neither tags nor properties. */
const orNull = (map: Record<string, string>) => (Object.keys(map).length ? map : null);

/** `listViewType`: ActiveOnly (default), ArchivedOnly, All. */
export function viewed(query: Record<string, string>): (archived: boolean) => boolean {
  const view = (query['listViewType'] || 'ActiveOnly').toLowerCase();
  if (!['activeonly', 'archivedonly', 'all'].includes(view)) throw wrongValue('listViewType', query['listViewType'] ?? '');
  return (archived) => view === 'all' || archived === (view === 'archivedonly');
}

const wrongValue = (name: string, value: string) =>
  badRequest(`The value '${value.slice(0, 100)}' is not valid for ${name}.`, [
    { code: 'InvalidParameter', message: `The value '${value.slice(0, 100)}' is not valid for ${name}.`, target: name },
  ]);

const pageSize = 20;

/** One page: `$top` items at most, else 20 with an absolute `nextLink` that carries `$skipToken`. */
export function page<T>(
  items: T[],
  query: Record<string, string>,
  url: string,
  size = pageSize,
): { page: T[]; nextLink?: string } {
  let at = 0;
  const token = query['$skipToken'] ?? query['$skip'];
  if (token !== undefined) {
    const parsed = /^\d+$/.test(token) ? Number(token) : Number(Buffer.from(token, 'base64url').toString('utf8').split(' ')[1]);
    at = Number.isInteger(parsed) && parsed >= 0 ? parsed : 0;
  }
  for (const name of ['$top', 'count']) if (!/^\d*$/.test(query[name] ?? '')) throw wrongValue(name, query[name] ?? '');
  const top = Number(query['$top'] ?? query['count']);
  if (Number.isInteger(top) && top > 0) return { page: items.slice(at, at + top) };
  const shown = items.slice(at, at + size);
  if (at + size >= items.length) return { page: shown };
  const rest = new URLSearchParams(Object.entries(query).filter(([name]) => name !== '$skipToken' && name !== '$skip'));
  rest.set('$skipToken', Buffer.from(`skip ${at + size}`).toString('base64url'));
  return { page: shown, nextLink: `${url}?${plainDollar(rest.toString())}` };
}

/** `$skipToken` stays as it is in an address that clients read. */
export const plainDollar = (text: string): string => text.replaceAll('%24', '$');

/** `$orderBy=createdtime desc|asc`; newest first without. */
export function ordered(assets: FoundAsset[], query: Record<string, string>): FoundAsset[] {
  const [, way] = /^\s*\w+\s+(asc|desc)\s*$/i.exec(query['$orderBy'] ?? query['$orderby'] ?? query['orderBy'] ?? '') ?? [];
  return way?.toLowerCase() === 'asc' ? [...assets].reverse() : assets;
}

/** Filters of version lists: tags (`a,b=c`), properties, stage, version, description. */
export function filtered(assets: FoundAsset[], query: Record<string, string>): FoundAsset[] {
  const pairs = (text: string | undefined): [string, string | undefined][] =>
    (text ?? '')
      .split(',')
      .filter(Boolean)
      .map((entry) => {
        const at = entry.indexOf('=');
        return at < 0 ? [entry, undefined] : [entry.slice(0, at), entry.slice(at + 1)];
      });
  const has = (map: unknown, wanted: [string, string | undefined][]): boolean =>
    wanted.every(([key, value]) => {
      const held = (map as Record<string, unknown> | null)?.[key];
      return held !== undefined && (value === undefined || textOf(held) === value);
    });
  const shown = viewed(query);
  return assets.filter(
    (asset) =>
      shown(asset.properties['isArchived'] === true) &&
      has(asset.properties['tags'], pairs(query['tags'])) &&
      has(asset.properties['properties'], pairs(query['properties'])) &&
      (query['stage'] === undefined || asset.properties['stage'] === query['stage']) &&
      (query['version'] === undefined || asset.version === query['version']) &&
      (query['description'] === undefined || asset.properties['description'] === query['description']),
  );
}
