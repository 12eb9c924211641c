/** Where a model comes from, as far as its job tells: data assets, code, environment (design §6). Nothing here is needed for correctness. */
import type { Workspace } from './workspace.js';

export interface JobLineage {
  /** URI or asset id by input name. */
  inputs: Record<string, string>;
  /** Hash of the code snapshot; of several steps `step=hash …`. */
  codeHash?: string;
  environment?: string;
  displayName?: string;
  tags: Record<string, string>;
  properties: Record<string, string>;
}

interface JobBody {
  properties?: {
    displayName?: string | null;
    inputs?: Record<string, { jobInputType?: string; uri?: string | null; value?: unknown } | null> | null;
    codeId?: string | null;
    environmentId?: string | null;
    componentId?: string | null;
    jobs?: Record<string, { componentId?: string | null } | null> | null;
    tags?: Record<string, string | null> | null;
    properties?: Record<string, string | null> | null;
  } | null;
}

/** Nodes that are looked at: a fan-out of hundreds runs the same few components. */
const mostNodes = 20;

/** Reads the job and what its nodes are made of. What cannot be read is said and left out. */
export async function jobLineage(
  workspace: Workspace,
  job: string,
  options: { signal?: AbortSignal; say: (line: string) => void },
): Promise<JobLineage> {
  const get = async <T>(id: string, what: string): Promise<T | undefined> => {
    const { status, body } = await workspace.azure.request<T>({
      method: 'GET',
      url: id,
      accept: [400, 403, 404],
      operation: `read ${what}`,
      ...(options.signal ? { signal: options.signal } : {}),
    });
    if (status < 300) return body;
    options.say(`Lineage: ${what} could not be read (HTTP ${status}); it is left out.`);
    return undefined;
  };
  const body = await get<JobBody>(`${workspace.id}/jobs/${encodeURIComponent(job)}`, `job ${job}`);
  const own = body?.properties ?? {};
  const inputs: Record<string, string> = {};
  for (const [name, input] of Object.entries(own.inputs ?? {})) {
    const uri = input?.uri;
    if (uri) inputs[name] = uri;
  }
  const parts: { name: string; codeId?: string; environmentId?: string }[] = [];
  if (own.codeId || own.environmentId) parts.push(part('', own.codeId, own.environmentId));
  const components = new Map<string, string>();
  for (const [name, node] of Object.entries(own.jobs ?? {})) if (node?.componentId) components.set(node.componentId, name);
  for (const [id, name] of [...components].slice(0, mostNodes)) {
    if (!id.startsWith('/subscriptions/')) continue; // a registry's component is named by its id
    const component = await get<{ properties?: { componentSpec?: { code?: string; environment?: string } } }>(
      id,
      `component of step ${name}`,
    );
    const spec = component?.properties?.componentSpec;
    if (spec?.code || spec?.environment) parts.push(part(name, spec.code, spec.environment));
  }
  const hashes = new Map<string, string>();
  for (const { name, codeId } of parts) {
    if (!codeId) continue;
    const code = await get<{ properties?: { properties?: Record<string, string | null>; codeUri?: string } }>(
      codeId,
      `code of job ${job}`,
    );
    const hash =
      code?.properties?.properties?.['hash_sha256'] ??
      code?.properties?.properties?.['hash'] ??
      /\/codes\/([^/]+)\//.exec(codeId)?.[1];
    if (hash) hashes.set(name, hash);
  }
  const distinct = [...new Set(hashes.values())];
  const codeHash = distinct.length === 1 ? distinct[0] : [...hashes].map(([name, hash]) => `${name}=${hash}`).join(' ');
  const environment = [...new Set(parts.flatMap(({ environmentId }) => (environmentId ? [short(environmentId)] : [])))].join(' ');
  const texts = (map: Record<string, string | null> | null | undefined) =>
    Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, value ?? '']));
  return {
    inputs,
    ...(codeHash ? { codeHash } : {}),
    ...(environment ? { environment } : {}),
    ...(own.displayName ? { displayName: own.displayName } : {}),
    tags: texts(own.tags),
    properties: texts(own.properties),
  };
}

function part(name: string, codeId?: string | null, environmentId?: string | null) {
  const bare = (id: string) => id.replace(/^azureml:(?=\/)/, '');
  return { name, ...(codeId ? { codeId: bare(codeId) } : {}), ...(environmentId ? { environmentId: bare(environmentId) } : {}) };
}

/** `name:version` of an asset id; other texts as they are. */
function short(id: string): string {
  const match = /\/environments\/([^/]+)\/versions\/([^/]+)$/i.exec(id);
  return match ? `${match[1]}:${match[2]}` : id;
}
