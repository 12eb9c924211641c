/** Which run this is, from the variables that the agent hands to every task. */
import type { RunIdentity } from './types.js';

/** The agent's own connection to Azure DevOps (endpoint SystemVssConnection), which no step can change. */
interface JobConnection {
  url: string;
  accessToken?: string;
}

/**
 * Reads `system.*` and `build.*` variables (reference task-contract B.5).
 * @param variable looks a variable up by its dotted name, any casing; undefined when it is not set
 * @param connection where the caller has it; default: the token is `System.AccessToken`, and it goes to `System.CollectionUri`
 * @returns what is known; an unknown text is `''`, an unknown attempt is 1 (outside a pipeline nothing is invented)
 */
export function runIdentity(variable: (name: string) => string | undefined, connection?: JobConnection): RunIdentity {
  const text = (...names: string[]): string => {
    for (const name of names) {
      const value = variable(name)?.trim();
      if (value) return value;
    }
    return '';
  };
  const attempt = (name: string): number => {
    const value = Number(text(name));
    return Number.isInteger(value) && value > 0 ? value : 1;
  };
  const collectionUri = withSlash(
    text('System.CollectionUri', 'System.TeamFoundationCollectionUri', 'System.TeamFoundationServerUri'),
  );
  const project = text('System.TeamProject');
  const runId = text('Build.BuildId');
  const token = connection?.accessToken?.trim() || text('System.AccessToken');
  return {
    collectionUri,
    serviceUri: connection?.url || collectionUri,
    organization: organizationOf(collectionUri),
    project,
    projectId: text('System.TeamProjectId'),
    pipeline: text('Build.DefinitionName', 'System.DefinitionName'),
    definitionId: text('System.DefinitionId'),
    runId,
    runNumber: text('Build.BuildNumber'),
    runUrl:
      collectionUri && project && runId ? `${collectionUri}${encodeURIComponent(project)}/_build/results?buildId=${runId}` : '',
    stage: text('System.StageName'),
    stageAttempt: attempt('System.StageAttempt'),
    job: jobOf(text('System.PhaseName'), text('System.JobName')),
    jobAttempt: attempt('System.JobAttempt'),
    planId: text('System.PlanId'),
    repository: text('Build.Repository.Name', 'Build.Repository.Uri'),
    branch: text('Build.SourceBranch'),
    commit: text('Build.SourceVersion'),
    requestedBy: text('Build.RequestedFor', 'Build.QueuedBy'),
    ...(token ? { accessToken: token } : {}),
  };
}

/** The phase is the job as written in YAML; a leg of a matrix or a slice has a name of its own below it. */
function jobOf(phase: string, job: string): string {
  if (!phase || !job || phase === job || job === '__default') return phase || job;
  return `${phase}.${job}`;
}

function withSlash(uri: string): string {
  return uri && !uri.endsWith('/') ? `${uri}/` : uri;
}

/** `https://dev.azure.com/org/` and `https://org.visualstudio.com/` both name `org`; of a server it is the collection. */
function organizationOf(collectionUri: string): string {
  if (!URL.canParse(collectionUri)) return '';
  const { hostname, pathname } = new URL(collectionUri);
  if (hostname.endsWith('.visualstudio.com')) return hostname.slice(0, hostname.indexOf('.'));
  const last = pathname.split('/').filter(Boolean).at(-1);
  return last ? decodeURIComponent(last) : hostname;
}
