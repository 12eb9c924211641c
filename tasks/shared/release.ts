/** Between the release domain and a task: its refusals as failures, the run's facts, approvals, tags and leases. */
import { Failure } from '../../src/azure/errors.js';
import type { AgentNetwork } from '../../src/azure/types.js';
import { runIdentity } from '../../src/devops/identity.js';
import type { DevOps, RunIdentity } from '../../src/devops/types.js';
import { runOnly } from '../../src/release/promote.js';
import type { ApprovalFacts, RunFacts } from '../../src/release/ports.js';
import { Refusal } from '../../src/release/refusal.js';
import type { Platform } from '../../src/task/platform.js';

/** Runs work of the release domain; what it refuses becomes the failure that the task host knows. */
export async function told<T>(work: Promise<T> | (() => Promise<T>)): Promise<T> {
  try {
    return await (typeof work === 'function' ? work() : work);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    throw new Failure(error.message, { ...error.details, cause: error });
  }
}

export interface Run {
  identity: RunIdentity;
  facts: RunFacts;
  /** Whether there is an Azure DevOps to ask. */
  inPipeline: boolean;
}

export function runOf(platform: Platform): Run {
  const own = platform.endpoint('SYSTEMVSSCONNECTION');
  const token = own?.parameters['accesstoken'];
  const connection = own && { url: own.url, ...(token ? { accessToken: token } : {}) };
  const identity = runIdentity((name) => platform.variable(name), connection);
  return {
    identity,
    facts: runOnly(identity),
    inPipeline: Boolean(identity.serviceUri && identity.runId && identity.accessToken),
  };
}

/** Loaded when first asked: most steps never speak to Azure DevOps. */
async function devOps(network: AgentNetwork): Promise<DevOps> {
  const { createDevOps } = await import('../../src/devops/client.js');
  return createDevOps(network);
}

export async function approvalsOf(run: Run, network: AgentNetwork, platform: Platform): Promise<ApprovalFacts> {
  if (!run.inPipeline) return { readable: false, reason: 'this does not run in an Azure DevOps pipeline', approvals: [] };
  const finding = await (await devOps(network)).approvals(run.identity, platform.cancelled);
  if (!finding.readable) platform.info(`Approvals of this stage could not be read: ${finding.reason ?? 'no reason given'}`);
  else if (finding.approvals.length === 0) platform.info('No approval of this stage was found.');
  for (const { actual, status, when, comment, bypassed, resource } of finding.approvals)
    platform.info(
      `Approval${resource ? ` on ${resource}` : ''}: ${bypassed ? 'bypassed' : status} by ${actual || 'nobody named'} at ${when}${comment ? `: ${comment}` : ''}`,
    );
  return finding;
}

/** Nice to have: a failure is a warning. A run that holds a champion's evidence must outlive the project's retention. */
export async function keepRun(run: Run, network: AgentNetwork, platform: Platform, reason: string): Promise<void> {
  if (!run.inPipeline) return;
  try {
    await (await devOps(network)).retain(run.identity, { days: 3650, reason }, platform.cancelled);
  } catch (error) {
    platform.cancelled.throwIfAborted();
    platform.warn(
      `This run is not protected from the project's retention: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}
