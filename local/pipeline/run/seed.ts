/** What a run puts into the local project before it starts: variable groups, environments, checks. */
import { addEnvironment, type Project } from '../devops/project.js';
import type { Catalogue } from '../expand/types.js';
import type { RunnerState, RunOptions } from './types.js';

export async function setGroups(project: Project, catalogue: Catalogue | undefined): Promise<void> {
  if (!catalogue?.variableGroups?.length) return;
  await project.change((document) => {
    for (const { name, variables } of catalogue.variableGroups ?? []) {
      const known = document.variableGroups.find((group) => group.name.toLowerCase() === name.toLowerCase());
      const entries = Object.entries(variables ?? {}).map(([key, value]) => [key, groupValue(value)] as const);
      const group = { id: known?.id ?? document.next++, name, type: 'Vsts' as const, variables: Object.fromEntries(entries) };
      document.variableGroups = [...document.variableGroups.filter((other) => other !== known), group];
    }
  });
}

/** `text`, or `{value, isSecret}`; the value of a secret comes by --secret. */
function groupValue(value: unknown): { value: string | null; isSecret?: boolean } {
  if (typeof value !== 'object' || value === null)
    return { value: ['string', 'number', 'boolean'].includes(typeof value) ? `${value as string}` : '' };
  const { value: inner, isSecret } = value as { value?: unknown; isSecret?: unknown };
  return isSecret === true ? { value: null, isSecret: true } : groupValue(inner ?? '');
}

export async function applyEnvironments(
  project: Project,
  { environments, observer }: RunOptions,
  connected: boolean,
): Promise<void> {
  if (!environments) return;
  for (const { name } of environments.serviceConnections)
    if (connected && !project.endpoint(name))
      observer.warning(
        `Service connection '${name}' of the environments file is not in connection.json; its checks are not asked here.`,
      );
  await project.applyFile(environments);
}

/** Without a file of environments they come into being when a deployment job names them, as for a known user in the service. */
export async function makeEnvironments(
  project: Project,
  { document }: RunnerState,
  { observer, environments }: RunOptions,
): Promise<void> {
  if (environments) return;
  const names = document.stages.flatMap(({ jobs }) =>
    (jobs ?? []).flatMap(({ environment }) => (environment?.name ? [environment.name] : [])),
  );
  for (const name of new Set(names)) {
    if (project.environment(name)) continue;
    await project.change((known) => addEnvironment(known, name));
    observer.message(`Environment ${name} did not exist and was made, without checks.`);
  }
}
