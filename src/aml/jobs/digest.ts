/** Why a job failed, in one look (issue "Failure digest"): the leaf that failed first, the class of its cause, its last lines, a place in the repository. */
import type { Workspace } from '../workspace.js';
import { logTail } from './logs.js';
import { readDetails, type RunError, type StepState } from './steps.js';
import type { JobState } from './job.js';
import { findPlace, type Place } from './traceback.js';

export type Cause =
  | 'user code'
  | 'environment build'
  | 'missing data'
  | 'permission'
  | 'quota'
  | 'out of memory'
  | 'time limit'
  | 'cancelled'
  | 'infrastructure'
  | 'unknown';

export interface Digest {
  /** Name of the step; the job's when it has none that failed. */
  step: string;
  runId: string;
  cause: Cause;
  /** The service's own words, or the exception's last line. */
  message: string;
  lines: string[];
  place?: Place;
  advice: string;
}

/** First match wins: the specific before the general. Looked for in error codes and message, then in the last log lines. */
const causes: { cause: Cause; error: RegExp; log?: RegExp }[] = [
  {
    cause: 'environment build',
    error:
      /image ?build|environment ?(build|setup|preparation)|conda|EnvironmentBuild|docker image|ImageBuildFailure|failed to (build|create) .*environment/i,
    log: /ResolvePackageNotFound|No matching distribution found|Could not find a version that satisfies|CondaEnvException|ERROR: failed to solve/,
  },
  {
    cause: 'out of memory',
    error: /out ?of ?memory|OOM|exit(?:ed)?(?: with)?(?: code)?:? ?137|exit code -9\b|memory limit/i,
    log: /\bMemoryError\b|CUDA out of memory|OutOfMemoryError|oom-kill|Cannot allocate memory|^Killed$/m,
  },
  {
    cause: 'time limit',
    error: /time ?out|timed out|max_?run_?duration|exceeded.*(duration|time)|time limit|JobTimeout/i,
  },
  {
    cause: 'quota',
    error: /quota|insufficient (capacity|cores)|not enough cores|SkuNotAvailable|LimitExceeded|capacity/i,
  },
  {
    cause: 'permission',
    error:
      /authorizationfailed|permission|forbidden|unauthorized|not authorized|access denied|\b403\b|AuthorizationPermissionMismatch/i,
    log: /AuthorizationFailed|AuthorizationPermissionMismatch|This request is not authorized|PermissionError|ClientAuthenticationError|\b403 Forbidden/,
  },
  {
    cause: 'missing data',
    error:
      /not ?found.*(data|blob|path|input|dataset|asset)|(data|blob|path|input|dataset|asset).*not ?found|ScriptExecution\.StreamAccess\.NotFound|DataNotFound|NoSuchFile|does not exist/i,
    log: /FileNotFoundError|StreamAccess\.NotFound|The specified (blob|path|container) does not exist|DataAccessError\(NotFound\)/,
  },
  { cause: 'cancelled', error: /cancel+ed|preempt/i },
  {
    cause: 'infrastructure',
    error:
      /ServiceError|SystemError|InternalServerError|node (was )?(lost|unusable|evicted|preempted)|heartbeat|infrastructure|ComputeUnusable/i,
  },
  {
    cause: 'user code',
    error: /UserError|UserProcessKilled|exit(?:ed)?(?: with)?(?: code| status)?|UserScript|ExecutionFailed|non-?zero/i,
    log: /Traceback \(most recent call last\)/,
  },
];

const advices: Record<Cause, string> = {
  'user code': "The step's own program ended with an error; the lines below are the last that it wrote.",
  'environment build':
    'The environment could not be built. Check the names and versions in its conda or pip file, and that the build may reach the package index.',
  'missing data':
    "An input does not exist, or a path in it is wrong. Check the data asset's version and path, and that the step before it wrote what this one reads.",
  permission:
    'The identity that the job runs with lacks a right. Data of identity-based datastores needs "Storage Blob Data Reader" for the compute\'s identity, or for the user.',
  quota:
    "The subscription's quota or the region's capacity does not suffice. Ask for quota, or choose another VM size or region.",
  'out of memory': 'The step needed more memory than its node has. Choose a larger VM size, or process the data in parts.',
  'time limit': 'The step ran longer than its limit (`limits.timeout`). Raise it if the work is right.',
  cancelled: 'Somebody or something cancelled the step; the activity log of the workspace names who.',
  infrastructure: 'The service or its compute had a fault. Running the stage again starts a new attempt.',
  unknown: 'The service gave no reason; see the link.',
};

/** Pure part: class of a failure from the run's error and its last lines. */
export function causeOf(error: RunError | undefined, lines: readonly string[], status: string): Cause {
  const words = error ? [...error.codes, error.message].join(' ') : '';
  const log = lines.join('\n');
  const traceback = log.includes('Traceback (most recent call last)');
  for (const { cause, error: inError, log: inLog } of causes) {
    // What the program said about itself is more telling than a general "UserError".
    if (cause === 'user code' ? inError.test(words) || traceback : inError.test(words)) return refine(cause, log);
    if (inLog?.test(log) && (cause !== 'permission' || !/PermissionError/.test(log) || traceback)) return cause;
  }
  return /cancel/i.test(status) ? 'cancelled' : 'unknown';
}

/** "Exited with 1" is the general word; the log may know better. */
function refine(cause: Cause, log: string): Cause {
  if (cause !== 'user code') return cause;
  return causes.find(({ log: inLog, cause: known }) => known !== 'user code' && inLog?.test(log))?.cause ?? cause;
}

/** The leaf that failed first: the others failed or were cancelled because of it. */
export function firstFailed(steps: readonly StepState[]): StepState | undefined {
  const failed = steps.filter(({ phase }) => phase === 'failed');
  const leaves = failed.filter(({ group }) => !group);
  const order = (step: StepState) => step.ended ?? Number.MAX_SAFE_INTEGER;
  return (leaves.length > 0 ? leaves : failed).sort((a, b) => order(a) - order(b))[0];
}

/** The last line of a Python traceback (`ValueError: …`), where there is one. */
function exceptionLine(lines: readonly string[]): string | undefined {
  const at = lines.findLastIndex((line) => line.includes('Traceback (most recent call last)'));
  if (at < 0) return undefined;
  return lines
    .slice(at + 1)
    .find((line) => /^[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt|Warning)?(:|$)/.test(line) && !line.startsWith(' '));
}

/**
 * Reads what explains the end of a failed job. `folders` are where source files may lie: the repository's root first, then the job file's.
 * Never throws for what it cannot read: a digest with less in it is better than none.
 */
export async function failureDigest(
  workspace: Workspace,
  job: JobState,
  steps: readonly StepState[],
  folders: readonly string[],
  signal?: AbortSignal,
): Promise<Digest> {
  const step = firstFailed(steps);
  const runId = step?.runId ?? job.name;
  let error = step?.error;
  let lines: string[] = [];
  const trouble: string[] = [];
  try {
    lines = await logTail(workspace, step?.logsOf ?? runId, 400, signal);
    error ??= (await readDetails(workspace, runId, signal))?.error;
    if (!error && step) error = (await readDetails(workspace, job.name, signal))?.error;
  } catch (failed) {
    signal?.throwIfAborted();
    trouble.push(`(the rest could not be read: ${failed instanceof Error ? failed.message : String(failed)})`);
  }
  // The service often repeats the end of the log in its message.
  const told = error?.message.split(/\r?\n/) ?? [];
  const traced = lines.some((line) => line.includes('Traceback (most recent call last)')) ? lines : told;
  const cause = causeOf(error, lines, step?.status ?? job.status);
  const place = await findPlace(traced, folders);
  const exception = exceptionLine(traced);
  const said =
    cause === 'user code' ? (exception ?? told[0]) : told.length > 1 && exception ? `${told[0]} ${exception}` : told[0];
  return {
    step: step?.name ?? job.displayName,
    runId,
    cause,
    message: (said ?? exception)?.trim() || `The service gave no message (${step?.status ?? job.status}).`,
    lines: [...lines.slice(-40), ...trouble],
    ...(place ? { place } : {}),
    advice: advices[cause],
  };
}
