/** How stored assets are answered: which members an api-version knows, list filters, paging. */
import type { Scope } from '../context.js';
import { textOf } from '../validate.js';
import type { Catalog, ContainerRecord } from './catalog.js';
import type { AssetKind, FoundAsset } from './types.js';

const typeOf = (scope: Scope, kind: AssetKind) =>
  `Microsoft.MachineLearningServices/${scope.kind === 'workspace' ? 'workspaces' : 'registries'}/${kind}`;

/** First api-version that answers a member; previews came earlier. An unknown or missing version counts as the newest. */
const since: Record<string, { stable: string; preview: string }> = {
  provisioningState: { stable: '2023-04-01', preview: '2023-02-01-preview' },
  stage: { stable: '2023-04-01', preview: '2023-02-01-preview' },
  autoDeleteSetting: { stable: '9999', preview: '2023-06-01-preview' },
  intellectualProperty: { stable: '9999', preview: '2023-02-01-preview' },
  datasets: { stable: '2026-05-01', preview: '2026-01-01-preview' },
};

function knows(member: string, apiVersion: string): boolean {
  const rule = since[member];
  if (!rule || apiVersion === '') return true;
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

export function trim(sent: Record<string, unknown>, apiVersion: string): Record<string, unknown> {
  const properties = withSchema(sent, apiVersion);
  const known = Object.fromEntries(Object.entries(properties).filter(([member]) => knows(member, apiVersion)));
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
export function versionBody(asset: FoundAsset, apiVersion: string): Record<string, unknown> {
  return {
    id: asset.id,
    name: asset.version,
    type: `${typeOf(asset.scope, asset.kind)}/versions`,
    properties: trim(asset.properties, apiVersion),
    systemData: asset.systemData,
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
        description: record.description,
        tags: record.tags,
        properties: record.properties,
        isArchived: record.isArchived,
        ...(kind === 'data' ? { dataType: record.dataType ?? 'uri_folder' } : {}),
        ...catalog.numbering(scope, kind, record.name),
        provisioningState: 'Succeeded',
      },
      apiVersion,
    ),
    systemData: record.systemData,
  };
}

/** `listViewType`: ActiveOnly (default), ArchivedOnly, All. */
export function viewed(query: Record<string, string>): (archived: boolean) => boolean {
  const view = (query['listViewType'] ?? 'ActiveOnly').toLowerCase();
  return (archived) => view === 'all' || archived === (view === 'archivedonly');
}

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
  const top = Number(query['$top'] ?? query['count']);
  if (Number.isInteger(top) && top > 0) return { page: items.slice(at, at + top) };
  const shown = items.slice(at, at + size);
  if (at + size >= items.length) return { page: shown };
  const rest = new URLSearchParams(Object.entries(query).filter(([name]) => name !== '$skipToken' && name !== '$skip'));
  rest.set('$skipToken', Buffer.from(`skip ${at + size}`).toString('base64url'));
  return { page: shown, nextLink: `${url}?${rest.toString()}` };
}

/** `$orderBy=createdtime desc|asc`; newest first without. */
export function ordered(assets: FoundAsset[], query: Record<string, string>): FoundAsset[] {
  const [, way] = /^\s*\w+\s+(asc|desc)\s*$/i.exec(query['$orderBy'] ?? query['orderBy'] ?? '') ?? [];
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
