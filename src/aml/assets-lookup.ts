/** Looks up what a job names but does not define, all at once and before anything is written. */
import { Failure } from '../azure/errors.js';
import type { CompileWarning, Reference } from './compile/types.js';
import type { Lookups } from './compile/offline.js';
import { inputOf, shown } from './compile/problems.js';
import type { Workspace } from './workspace.js';

const COLLECTIONS: Record<Reference['kind'], string> = {
  compute: 'computes',
  datastore: 'datastores',
  code: 'codes',
  environment: 'environments',
  component: 'components',
  data: 'data',
  model: 'models',
};
const SHORT: Record<Reference['kind'], string> = {
  compute: 'compute',
  datastore: 'datastore',
  code: 'code',
  environment: 'environment',
  component: 'component',
  data: 'data asset',
  model: 'model',
};
const MISSING = new Set([404]);

/** Lookups over a connection, for writing and for `validate`. Each thing is asked for once. */
export function onlineLookups(workspace: Workspace): Lookups {
  const labels = new Map<string, Promise<string | undefined>>();
  const latest = (kind: Reference['kind'], name: string, signal?: AbortSignal): Promise<string | undefined> => {
    const key = `${kind} ${name}`;
    const known = labels.get(key);
    if (known) return known;
    const asked = latestVersion(workspace, kind, name, signal);
    labels.set(key, asked);
    asked.catch(() => labels.delete(key));
    return asked;
  };
  return {
    resolveLabel: async (kind, name, label, signal) => {
      const version = label === 'latest' ? await latest(kind, name, signal) : undefined;
      if (version === undefined) {
        throw new Failure(`There is no ${SHORT[kind]} ${name}@${label} in workspace ${workspace.workspace}.`, {
          code: 'ReferenceNotFound',
        });
      }
      return { version, certain: true };
    },
    check: async (references, signal) => {
      const distinct = new Map<string, Reference>();
      for (const reference of references) {
        const key = `${reference.kind} ${reference.name} ${reference.version ?? ''} ${reference.label ?? ''}`;
        if (!distinct.has(key)) distinct.set(key, reference);
      }
      const warnings: CompileWarning[] = [];
      const all = [...distinct.values()];
      const problems = await Promise.all(all.map((reference) => checkOne(workspace, reference, latest, warnings, signal)));
      const found = problems.flatMap((problem, index) => (problem === undefined ? [] : [{ problem, reference: all[index] }]));
      const first = found[0];
      if (first) throw await notFound(workspace, found, signal);
      return warnings;
    },
  };
}

async function checkOne(
  workspace: Workspace,
  reference: Reference,
  latest: (kind: Reference['kind'], name: string, signal?: AbortSignal) => Promise<string | undefined>,
  warnings: CompileWarning[],
  signal?: AbortSignal,
): Promise<string | undefined> {
  const { kind, name, version, label } = reference;
  // An address with such a segment leads to the collection or above it, which is there.
  if (name === '') return `the name of the ${SHORT[kind]} is empty`;
  if ([name, version].some((part) => part === '.' || part === '..'))
    return `there is no ${SHORT[kind]} ${name}${version === undefined ? '' : ` version ${version}`}`;
  try {
    if (label !== undefined) {
      if (label !== 'latest') return `the label in ${name}@${label} is not known; accepted: @latest`;
      return (await latest(kind, name, signal)) === undefined ? `there is no ${SHORT[kind]} ${name}` : undefined;
    }
    const tail = version === undefined ? '' : `/versions/${encodeURIComponent(version)}`;
    const { status } = await workspace.azure.request({
      method: 'GET',
      url: `${workspace.id}/${COLLECTIONS[kind]}/${encodeURIComponent(name)}${tail}`,
      accept: [404],
      operation: `look up ${SHORT[kind]} ${name}`,
      ...(signal ? { signal } : {}),
    });
    return MISSING.has(status)
      ? `there is no ${SHORT[kind]} ${name}${version === undefined ? '' : ` version ${version}`}`
      : undefined;
  } catch (error) {
    if (!(error instanceof Failure) || error.details.status !== 403) throw error;
    // Reading may be forbidden where submitting is not: the service has the last word.
    warnings.push({
      message: `${SHORT[kind]} ${name} could not be looked up: the connection may not read it.`,
      ...(reference.input === undefined ? placeOf(reference) : {}),
    });
    return undefined;
  }
}

/** Version behind `@latest`; undefined when there is no such asset. Source: azure-ml-rest §1.3 step 5 and corrections. */
async function latestVersion(
  workspace: Workspace,
  kind: Reference['kind'],
  name: string,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const url = `${workspace.id}/${COLLECTIONS[kind]}/${encodeURIComponent(name)}`;
  const extra = signal ? { signal } : {};
  const operation = `find the latest version of ${SHORT[kind]} ${name}`;
  if (kind === 'data' || kind === 'environment') {
    const { status, body } = await workspace.azure.request<{ properties?: { latestVersion?: string } } | undefined>({
      method: 'GET',
      url,
      accept: [404],
      operation,
      ...extra,
    });
    if (status === 404) return undefined;
    if (body?.properties?.latestVersion) return body.properties.latestVersion;
  }
  const { status, body } = await workspace.azure.request<{ value?: { name?: string; id?: string }[] } | undefined>({
    method: 'GET',
    url: `${url}/versions`,
    query: { $orderBy: 'createdtime desc', $top: '1' },
    accept: [404],
    operation,
    ...extra,
  });
  const first = status === 404 ? undefined : body?.value?.[0];
  return first?.name ?? first?.id?.split('/').pop();
}

const placeOf = ({ file, line, column }: Reference) => ({ file, line, column });

async function notFound(
  workspace: Workspace,
  found: { problem: string; reference: Reference | undefined }[],
  signal?: AbortSignal,
): Promise<Failure> {
  const lines = found.map(({ problem, reference }) =>
    reference
      ? `  ${reference.input ?? `${shown(reference.file)}:${reference.line}:${reference.column}`}: ${problem}`
      : `  ${problem}`,
  );
  const computes = found.some(({ reference }) => reference?.kind === 'compute')
    ? await computeNames(workspace, signal)
    : undefined;
  const first = found[0]?.reference;
  return new Failure(`In workspace ${workspace.workspace} something that the job names is missing:\n${lines.join('\n')}`, {
    code: 'ReferenceNotFound',
    advice: `${computes === undefined ? '' : `Computes of the workspace: ${computes}, and serverless. `}Correct the names or create what is missing. Nothing was submitted.`,
    ...(first?.input !== undefined ? { input: inputOf(first.input) } : first ? placeOf(first) : {}),
  });
}

async function computeNames(workspace: Workspace, signal?: AbortSignal): Promise<string> {
  const { body } = await workspace.azure.request<{ value?: { name?: string }[] } | undefined>({
    method: 'GET',
    url: `${workspace.id}/computes`,
    accept: [403, 404],
    operation: 'list the computes',
    ...(signal ? { signal } : {}),
  });
  const names = (body?.value ?? []).flatMap(({ name }) => name ?? []).slice(0, 20);
  return names.length > 0 ? names.join(', ') : 'none';
}
