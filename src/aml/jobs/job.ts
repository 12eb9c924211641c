/** One job as ARM and run history tell of it (reference azure-ml-rest §2.1, azure-ml-observed §1 and §2). */
import { Failure } from '../../azure/errors.js';
import type { Workspace } from '../workspace.js';

/** What a status word means for somebody who waits. `stalled`: NotResponding or Unknown, which may pass. */
export type Phase = 'active' | 'completed' | 'failed' | 'canceled' | 'paused' | 'stalled';

export interface JobState {
  name: string;
  /** Azure's own word. */
  status: string;
  phase: Phase;
  /** `Pipeline`, `Command`, `Sweep`, `AutoML`, `Spark`. */
  type: string;
  displayName: string;
  experimentName: string;
  studioUrl?: string;
  armId: string;
  properties: Readonly<Record<string, string>>;
  tags: Readonly<Record<string, string>>;
  /** Named outputs with their location where ARM gives one. */
  outputs: Readonly<Record<string, { type: string; uri?: string }>>;
  /** A pipeline's nodes under the names that their runs will have, in the file's order. */
  nodes: readonly string[];
}

/** Every word but the known ends is "still going on": the service adds words. */
export function phaseOf(status: string): Phase {
  switch (status.toLowerCase()) {
    case 'completed':
    case 'finished':
      return 'completed';
    case 'failed':
      return 'failed';
    case 'canceled':
    case 'cancelled':
      return 'canceled';
    case 'paused':
      return 'paused';
    case 'notresponding':
    case 'unknown':
    case '':
      return 'stalled';
    default:
      return 'active';
  }
}

interface JobBody {
  id?: string;
  name?: string;
  properties?: {
    status?: string | null;
    jobType?: string;
    displayName?: string | null;
    experimentName?: string | null;
    properties?: Record<string, string | null> | null;
    tags?: Record<string, string | null> | null;
    services?: Record<string, { endpoint?: string | null } | null> | null;
    outputs?: Record<string, { jobOutputType?: string; uri?: string | null } | null> | null;
    jobs?: Record<string, { display_name?: string | null } | null> | null;
  } | null;
}

function texts(map: Record<string, string | null> | null | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(map ?? {}).map(([key, value]) => [key, value ?? '']));
}

/** Steps may be called the same (a display name twice, a loop's iterations): from the second on they are told apart, `train (2)`. */
export class Names {
  readonly #taken = new Set<string>();
  readonly #by = new Map<string, string>();

  /** The name of what `key` stands for, the same each time. */
  of(called: string, key: string): string {
    const known = this.#by.get(key);
    if (known !== undefined) return known;
    let name = called;
    for (let n = 2; this.#taken.has(name); n++) name = `${called} (${n})`;
    this.#taken.add(name);
    this.#by.set(key, name);
    return name;
  }
}

export function jobState(body: unknown, workspace: Workspace, name: string): JobState {
  const job = (body ?? {}) as JobBody;
  const properties = job.properties ?? {};
  const names = new Names();
  const studio = properties.services?.['Studio']?.endpoint ?? undefined;
  const outputs: Record<string, { type: string; uri?: string }> = {};
  for (const [key, output] of Object.entries(properties.outputs ?? {})) {
    outputs[key] = { type: output?.jobOutputType ?? 'uri_folder', ...(output?.uri ? { uri: output.uri } : {}) };
  }
  return {
    name: job.name ?? name,
    status: properties.status ?? '',
    phase: phaseOf(properties.status ?? ''),
    type: properties.jobType ?? '',
    displayName: properties.displayName ?? job.name ?? name,
    experimentName: properties.experimentName ?? '',
    studioUrl: studio?.startsWith('https://') ? studio : studioLink(workspace, name),
    armId: job.id ?? `${workspace.id}/jobs/${name}`,
    properties: texts(properties.properties),
    tags: texts(properties.tags),
    outputs,
    nodes: Object.entries(properties.jobs ?? {}).map(([key, node]) => names.of(node?.display_name || key, key)),
  };
}

/** Where a person looks at the job, before the service has said so itself. */
function studioLink(workspace: Workspace, name: string): string {
  const manager = new URL(workspace.azure.connection.resourceManager).hostname;
  let host = 'ml.azure.com';
  if (manager.endsWith('.chinacloudapi.cn')) host = 'studio.ml.azure.cn';
  if (manager.endsWith('.usgovcloudapi.net')) host = 'ml.azure.us';
  const { subscriptionId, resourceGroup, workspace: ws } = workspace;
  return `https://${host}/runs/${name}?wsid=/subscriptions/${subscriptionId}/resourcegroups/${resourceGroup}/workspaces/${ws}`;
}

/** The job as it is now; undefined when there is none of that name (404, or a name that the service does not take). */
export async function readJob(
  workspace: Workspace,
  name: string,
  options: { signal?: AbortSignal; retries?: number; timeoutSeconds?: number } = {},
): Promise<JobState | undefined> {
  const { status, body } = await workspace.azure.request({
    method: 'GET',
    url: `${workspace.id}/jobs/${encodeURIComponent(name)}`,
    accept: [404],
    operation: `read job ${name}`,
    ...(options.signal ? { signal: options.signal } : {}),
    ...(options.retries === undefined ? {} : { retries: options.retries }),
    ...(options.timeoutSeconds === undefined ? {} : { timeoutSeconds: options.timeoutSeconds }),
  });
  if (status !== 404) return jobState(body, workspace, name);
  const { code } = (body as { error?: { code?: string } } | undefined)?.error ?? {};
  // A missing workspace is another mistake than a missing job: the gateway says so.
  if (code === 'ResourceNotFound' || code === 'ParentResourceNotFound' || code === 'ResourceGroupNotFound')
    await workspace.facts(options.signal);
  return undefined;
}

/** Somebody has asked for its end, which takes the service up to two minutes. */
export function isEnding({ status }: JobState): boolean {
  return /^cancelrequested$/i.test(status);
}

/**
 * Asks the service to end a job; does not wait for the end (that takes it 30 to 120 s, observed §1).
 * Gives `requested`, `over` (it had ended), or `missing`. Errors: a refusal, when the job itself does not say that it has ended or is ending.
 */
export async function cancelJob(
  workspace: Workspace,
  name: string,
  signal?: AbortSignal,
): Promise<'requested' | 'over' | 'missing'> {
  const extra = signal ? { signal } : {};
  try {
    const { status } = await workspace.azure.request({
      method: 'POST',
      url: `${workspace.id}/jobs/${encodeURIComponent(name)}/cancel`,
      // Asking twice changes nothing.
      retries: 5,
      accept: [404],
      operation: `cancel job ${name}`,
      ...extra,
    });
    return status === 404 ? 'missing' : 'requested';
  } catch (error) {
    // A job that has ended may be a reason to refuse; so may something else, and then the job runs on.
    if (!(error instanceof Failure) || (error.details.status !== 400 && error.details.status !== 409)) throw error;
    const job = await readJob(workspace, name, extra);
    if (!job) return 'missing';
    if (job.phase === 'completed' || job.phase === 'failed' || job.phase === 'canceled') return 'over';
    if (isEnding(job)) return 'requested';
    throw error;
  }
}
