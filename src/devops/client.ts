/** What tasks ask of Azure DevOps, with the run's own token. azure-devops-node-api is loaded when the first question is asked. */
import { Failure } from '../azure/errors.js';
import { stageApprovals, type ApprovalLike, type CheckSuiteLike } from './approvals.js';
import type { AgentNetwork } from '../azure/types.js';
import { access, devOpsFailure, DevOpsRest } from './rest.js';
import type { ApprovalFinding, DevOps, RunIdentity } from './types.js';

const approvalsVersion = '7.2-preview.2';
const checksVersion = '7.1-preview.1';

/** @param network the agent's proxy and certificate authority */
export function createDevOps(network: AgentNetwork = {}): DevOps {
  // On Node 24 the library's `url.parse` would put a deprecation warning into the user's log, who can do nothing about it.
  process.noDeprecation = true;
  return new Client(network);
}

class Client implements DevOps {
  constructor(private readonly network: AgentNetwork) {}

  /** Never throws but when `signal` aborts: what cannot be read is a finding with the reason. */
  async approvals(run: RunIdentity, signal?: AbortSignal): Promise<ApprovalFinding> {
    const project = encodeURIComponent(run.projectId || run.project);
    try {
      const missing = missingFacts(run);
      if (missing) return { readable: false, reason: missing, approvals: [] };
      const { build, rest } = await this.#open(run, signal);
      const base = `${project}/_apis/pipelines`;
      return await stageApprovals(run, {
        timeline: async (timelineId) =>
          (
            await guard('read the run’s timeline', signal, () =>
              build.getBuildTimeline(run.projectId || run.project, Number(run.runId), timelineId),
            )
          )?.records,
        approval: (id) =>
          guard(`read approval ${id}`, signal, () =>
            notFound(rest.get<ApprovalLike>(`${base}/approvals/${encodeURIComponent(id)}?$expand=steps`, approvalsVersion)),
          ),
        approvals: async () =>
          (
            await guard('list approvals', signal, () =>
              rest.get<{ value?: ApprovalLike[] } | ApprovalLike[]>(`${base}/approvals?$expand=steps&top=500`, approvalsVersion),
            ).then((answer) => (Array.isArray(answer) ? answer : (answer?.value ?? [])))
          ).slice(),
        checkSuite: (id) =>
          guard(`read checks ${id}`, signal, () =>
            rest.get<CheckSuiteLike>(`${base}/checks/runs/${encodeURIComponent(id)}?$expand=resources`, checksVersion),
          ),
      });
    } catch (error) {
      signal?.throwIfAborted();
      const failure = devOpsFailure(error, 'read the approvals');
      const advice = failure.details.advice ? ` ${failure.details.advice}` : '';
      return { readable: false, reason: `${failure.message}${advice}`, approvals: [] };
    }
  }

  /**
   * Keeps a run (and with it its logs and attachments) for `days`; a lease with the same reason is not added twice.
   * @throws Failure
   */
  async retain(run: RunIdentity, { days, reason }: { days: number; reason: string }, signal?: AbortSignal): Promise<void> {
    this.#require(run);
    const project = run.projectId || run.project;
    const { build } = await this.#open(run, signal);
    const runId = Number(run.runId);
    const definitionId = Number(run.definitionId);
    const have = await guard('read retention leases', signal, () =>
      build.getRetentionLeasesByOwnerId(project, reason, definitionId, runId),
    );
    if (have?.some((lease) => lease.ownerId === reason && lease.runId === runId)) return;
    const added = await guard('add a retention lease', signal, () =>
      build.addRetentionLeases([{ daysValid: days, definitionId, runId, ownerId: reason, protectPipeline: false }], project),
    );
    if (!added) throw gone(run, 'add a retention lease');
  }

  /** @throws Failure */
  async addTags(run: RunIdentity, tags: string[], signal?: AbortSignal): Promise<void> {
    if (tags.length === 0) return;
    this.#require(run);
    const { build } = await this.#open(run, signal);
    const result = await guard('tag the run', signal, () =>
      build.addBuildTags(tags, run.projectId || run.project, Number(run.runId)),
    );
    if (!result) throw gone(run, 'tag the run');
  }

  #require(run: RunIdentity): void {
    const missing = missingFacts(run);
    if (missing) throw new Failure(missing, { code: 'DevOpsRunUnknown' });
  }

  async #open(run: RunIdentity, signal?: AbortSignal) {
    signal?.throwIfAborted();
    const { collectionUri, handlers, options } = access(
      run.serviceUri,
      { kind: 'bearer', token: run.accessToken ?? '' },
      this.network,
    );
    const { BuildApi } = await import('azure-devops-node-api/BuildApi.js');
    const build = new BuildApi(collectionUri, handlers, options);
    return { build, rest: new DevOpsRest(build.rest, collectionUri) };
  }
}

function missingFacts(run: RunIdentity): string | undefined {
  if (!run.accessToken) return 'The job’s access token is not available to the task, so Azure DevOps cannot be asked.';
  const lacking = (['serviceUri', 'project', 'runId', 'stage'] as const).filter((key) => !run[key]);
  return lacking.length > 0 ? `This is not a pipeline run that Azure DevOps knows: ${lacking.join(', ')} not set.` : undefined;
}

function gone(run: RunIdentity, operation: string): Failure {
  return new Failure(`Azure DevOps does not know run ${run.runId} of project '${run.project}' (${operation}).`, {
    code: 'DevOpsRunUnknown',
    operation,
  });
}

/** A wrong id is answered with 400 or 404, depending on its form. */
async function notFound<T>(asked: Promise<T | undefined>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof Failure && (error.details.status === 400 || error.details.status === 404)) return undefined;
    throw error;
  }
}

/** Ends with the signal's reason when it aborts (the package cannot be cancelled), and words every error the same way. */
async function guard<T>(operation: string, signal: AbortSignal | undefined, body: () => Promise<T>): Promise<T> {
  signal?.throwIfAborted();
  let stop: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(signal?.reason instanceof Error ? signal.reason : new Error('cancelled'));
    signal?.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([body(), aborted]);
  } catch (error) {
    signal?.throwIfAborted();
    throw devOpsFailure(error, operation);
  } finally {
    if (stop) signal?.removeEventListener('abort', stop);
  }
}
