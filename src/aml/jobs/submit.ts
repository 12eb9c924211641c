/** Sends a compiled job once (design §3, issue "Submit"): a reply that was lost is read back, never sent again blindly. */
import { passesByItself } from '../../azure/line.js';
import { Failure } from '../../azure/errors.js';
import { backOff } from '../../azure/http.js';
import type { Clock } from '../../azure/types.js';
import type { CompiledJob } from '../compile/types.js';
import { amlScope, type Workspace } from '../workspace.js';
import { jobState, readJob, type JobState } from './job.js';
import { submissionProperty } from './name.js';

interface Submission {
  job: JobState;
  /** True when the reply was lost and the job was found afterwards. */
  readBack: boolean;
}

/**
 * PUTs the job with our mark in its properties. 429 is waited out (nothing was done then). After a lost line, a 5xx or a conflict the job is
 * looked up, and only when it is not there is the PUT repeated. Errors: `Failure` of the service, with its own words.
 */
export async function submitJob(
  workspace: Workspace,
  compiled: Pick<CompiledJob, 'name' | 'path' | 'query' | 'body' | 'needsAmlToken'>,
  submission: string,
  options: { clock: Clock; signal?: AbortSignal },
): Promise<Submission> {
  const { azure } = workspace;
  const { signal } = options;
  const extra = signal ? { signal } : {};
  const { properties } = compiled.body;
  const own = properties['properties'] as Record<string, unknown> | undefined;
  const body = { ...compiled.body, properties: { ...properties, properties: { ...own, [submissionProperty]: submission } } };
  for (let attempt = 0; ; attempt++) {
    try {
      const headers = compiled.needsAmlToken ? { 'x-azureml-token': await azure.token(amlScope(azure), signal) } : {};
      const { body: reply } = await azure.request({
        method: 'PUT',
        url: compiled.path,
        apiVersion: compiled.query['api-version'],
        headers,
        body,
        throttleOnly: true,
        operation: `submit job ${compiled.name}`,
        ...extra,
      });
      return { job: jobState(reply, workspace, compiled.name), readBack: false };
    } catch (error) {
      signal?.throwIfAborted();
      const passes = passesByItself(error);
      // "Exists already", and whatever is said after an earlier sending, may be about the job that this one has made.
      if (!passes && attempt === 0 && !isConflict(error)) throw error;
      const there = await lookBack(workspace, compiled.name, error, options);
      if (there?.properties[submissionProperty] === submission) return { job: there, readBack: true };
      if (there || !passes || attempt >= 5) throw error;
      await options.clock.sleep(backOff(attempt), signal);
    }
  }
}

/** Has the service's own token asked for while the assets of the job are looked up: its submission then need not wait for it. */
export function askAhead({ azure }: Workspace, signal?: AbortSignal): void {
  // Where it cannot be had, the submission asks again and tells.
  azure.token(amlScope(azure), signal).catch(() => undefined);
}

/** The job, when Azure says whether it is there: nothing is sent again before that. Several minutes at most. */
async function lookBack(
  workspace: Workspace,
  name: string,
  error: unknown,
  { clock, signal }: { clock: Clock; signal?: AbortSignal },
): Promise<JobState | undefined> {
  for (let tries = 0; ; tries++) {
    try {
      return await readJob(workspace, name, signal ? { signal } : {});
    } catch (again) {
      signal?.throwIfAborted();
      if (!passesByItself(again) || tries >= 9) throw uncertain(name, error);
      await clock.sleep(backOff(tries), signal);
    }
  }
}

function isConflict(error: unknown): boolean {
  return error instanceof Failure && error.details.status === 409;
}

function uncertain(name: string, error: unknown): unknown {
  if (!(error instanceof Failure)) return error;
  return new Failure(`${error.message} Whether job ${name} was made is not known: Azure does not say.`, {
    ...error.details,
    advice: 'Run the step again when Azure answers: it attaches to the job if it is there, and submits it if not.',
  });
}
