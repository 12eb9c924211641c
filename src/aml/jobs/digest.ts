/** Why a job failed, in one look (issue "Failure digest"): the leaf that failed first, the class of its cause, its last lines, a place in the repository. */
import type { Workspace } from '../workspace.js';
import { logTail } from './tail.js';
import { readDetails, type RunError, type StepState } from './steps.js';
import type { JobState } from './job.js';
import { findPlace, telling, type Place } from './traceback.js';

type Cause =
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
  /** No step of the job, but the job itself. */
  itself: boolean;
  cause: Cause;
  /** The service's own words, or the exception's last line. */
  message: string;
  lines: string[];
  /** Whose lines these are, where the step has several logs. */
  file?: string;
  place?: Place;
  advice: string;
}

/** First match wins: the specific before the general. `error`: the service's codes and own words; `log`: what the program said at its end. */
const causes: { cause: Cause; error: RegExp; log?: RegExp }[] = [
  {
    cause: 'environment build',
    error:
      /image ?build|environment ?(build|setup|preparation)|conda|EnvironmentBuild|docker image|ImageBuildFailure|ImagePull|\bimage '[^']+' of environment|pull(?:ing)? .*\bimage\b|failed to (build|create) .*environment/i,
    log: /ResolvePackageNotFound|No matching distribution found|Could not find a version that satisfies|CondaEnvException|ERROR: failed to solve/,
  },
  {
    cause: 'out of memory',
    error:
      /out ?of ?memory|\bOOM(?:Killed)?\b|exit(?:ed)?(?: with)?(?: status)?(?: code)?:? ?(?:137|-9)\b|memory limit|\bSIGKILL\b|KilledBySystemSignal/i,
    log: /MemoryError\b|CUDA (?:error: )?out of memory|OutOfMemoryError|oom-kill|Cannot allocate memory|(?:^|\s\d+ )Killed(?:$|\s)/m,
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
      /authorizationfailed|permission|forbidden|unauthorized|not authorized|authentication failed|StreamAccess\.Auth|access denied|\b403\b|AuthorizationPermissionMismatch/i,
    log: /AuthorizationFailed|AuthorizationPermissionMismatch|This request is not authorized|PermissionError|Read-only file system|ClientAuthenticationError|\b403 Forbidden/,
  },
  {
    cause: 'missing data',
    error:
      /not ?found.*(data|blob|path|input|dataset|asset)|(data|blob|path|input|dataset|asset).*not ?found|ScriptExecution\.StreamAccess\.NotFound|DataNotFound|NoSuchFile|does not exist/i,
    log: /FileNotFoundError|StreamAccess\.NotFound|The specified (blob|path|container) does not exist|DataAccessError\(NotFound\)/,
  },
  {
    cause: 'infrastructure',
    error:
      /ServiceError|SystemError|InternalServerError|node (was )?(lost|unusable|evicted)|preempt|heartbeat|infrastructure|ComputeUnusable/i,
  },
  { cause: 'cancelled', error: /cancel+ed/i },
  {
    cause: 'user code',
    error: /UserError|UserProcessKilled|exit(?:ed)?(?: with)?(?: code| status)?|UserScript|ExecutionFailed|non-?zero/i,
    log: /Traceback \(most recent call last\)/,
  },
];

const advices: Record<Cause, string> = {
  'user code': "The step's own program ended with an error; look at the last lines that it wrote.",
  'environment build':
    'The environment could not be built. Check the names and versions in its conda or pip file, and that the build may reach the package index.',
  'missing data':
    "An input does not exist, or a path in it is wrong. Check the data asset's version and path, and that the step before it wrote what this one reads.",
  permission:
    'The identity that the job runs with lacks a right. Data of identity-based datastores needs "Storage Blob Data Reader" for the compute\'s identity, or for the user.',
  quota:
    "The subscription's quota or the region's capacity is not enough. Ask for more quota, or choose another VM size or region.",
  'out of memory':
    'The step ran out of memory; the system usually ends such a process from outside (SIGKILL, exit code 137). Choose a larger VM size, or process the data in parts.',
  'time limit': 'The step ran longer than its limit (`limits.timeout`). Raise it if the work is right.',
  cancelled: 'Somebody or something cancelled the step; the activity log of the workspace names who.',
  infrastructure: 'The service or its compute had a fault. Running the stage again starts a new attempt.',
  unknown: 'The service gave no reason; see the link.',
};

/** What the program itself was refused in its container is no right in Azure. */
const ownFiles = /PermissionError|\[Errno 13\]|\[Errno 30\]/;
const ownFilesAdvice =
  'The program may not read or write that path where it runs. Inputs are mounted read-only: write to an output, or to the working directory.';

/** A package that is not there, in Python's words. */
const packageMissing = /ModuleNotFoundError: No module named '([^']+)'/;

/** What to do about a failure of class `cause` that says `message`. */
export function adviceOf(cause: Cause, message: string): string {
  if (cause === 'permission' && ownFiles.test(message)) return ownFilesAdvice;
  const [, module] = (cause === 'user code' && packageMissing.exec(message)) || [];
  if (module !== undefined)
    return `The step's environment has no module ${module}. Add its package to the environment's conda or pip file; a module of your own must lie in the step's \`code\` folder.`;
  return advices[cause];
}

const longestMessage = 600;
/** The line of a build's log that names what could not be had. */
const buildError = /^\s*(?:error|cause|fatal)\b.*:|ResolvePackageNotFound|No matching distribution|Could not find a version/i;

/** A user's process ended: what the service adds to that is the end of the program's own text, no words of the service. */
const processEnd = /User process .*?(exited with (?:status )?code -?\d+|was ended by \w+)/s;

/** Ended from outside or by a fault of the machine: no exception of Python does that. */
const bySignal = /ended by SIG(?!TERM|INT)|exited with (?:status )?code (?:13[24679]|-(?:4|6|7|8|9|11))\b/;

/**
 * How many lines the program may have written after the exception that ended it. One that a program ended itself with a code of its own, or that
 * was killed, has only told of the exceptions that stand far above.
 */
function mostAfter(error: RunError | undefined): number {
  const [end] = processEnd.exec(error?.message ?? '') ?? [];
  if (end === undefined) return Number.POSITIVE_INFINITY;
  if (bySignal.test(end)) return 0;
  return /code 1$/.test(end) || /ended by/.test(end) ? Number.POSITIVE_INFINITY : 25;
}

function ownWords(error: RunError | undefined): string {
  const message = error?.message ?? '';
  return processEnd.test(message) ? (message.split(/\bError: |Traceback \(most recent/)[0] ?? '') : message;
}

/** Pure part: class of a failure from the run's error and its last lines. */
export function causeOf(error: RunError | undefined, lines: readonly string[], status: string): Cause {
  const own = ownWords(error);
  // The path of the program is no word of the service: it often lies in an environment of conda.
  const words = error ? [...error.codes, own.replace(/User process '[^']*'/g, 'User process')].join(' ') : '';
  const rest = (error?.message ?? '').slice(own.length).split(/\r?\n/);
  const all = lines.length > 0 ? lines : rest;
  const [raised] = telling(all, mostAfter(error));
  // An exception is what the program died of, and what it was raised from; what it said before may be about anything.
  const said: string[] = [];
  for (let one = raised; one?.exception; one = one.from) said.push([one.exception, ...one.more].join('\n'));
  // What the program got over is no evidence either.
  if (said.length === 0) said.push(all.slice(-Math.min(30, ...telling(all).map(({ after }) => after || 30))).join('\n'));
  const general = causes.find(({ error: inError }) => inError.test(words))?.cause;
  if (general !== undefined && general !== 'user code') return general;
  const known = said.map((text) => causes.find(({ log }) => log?.test(text))?.cause);
  return (
    known.find((cause) => cause !== undefined && cause !== 'user code') ??
    known.find(Boolean) ??
    general ??
    (raised ? 'user code' : /cancel/i.test(status) ? 'cancelled' : 'unknown')
  );
}

/** The leaf that failed first: the others failed or were cancelled because of it. */
export function firstFailed(steps: readonly StepState[]): StepState | undefined {
  const failed = steps.filter(({ phase }) => phase === 'failed');
  const leaves = failed.filter(({ group }) => !group);
  const order = (step: StepState) => step.ended ?? Number.MAX_SAFE_INTEGER;
  return (leaves.length > 0 ? leaves : failed).sort((a, b) => order(a) - order(b))[0];
}

/** What happened, in one line that says more than "exited with 1". */
function said(error: RunError | undefined, lines: readonly string[], exception: string | undefined): string | undefined {
  const message = error?.message ?? '';
  const end = processEnd.exec(message);
  const [first] = message.split(/\r?\n/);
  if (exception) return end || !first ? exception : `${first} ${exception}`;
  if (!end) return first;
  const last = lines.findLast((line) => line.trim() !== '') ?? message.slice(ownWords(error).length).replace(/^Error: /, '');
  return `The program ${end[1]}${last.trim() ? `; its last line: ${last.trim()}` : ''}`;
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
  let file: string | undefined;
  const trouble: string[] = [];
  try {
    ({ lines, file } = await logTail(workspace, step?.logsOf ?? runId, { lines: 400 }, signal));
    error ??= (await readDetails(workspace, runId, signal))?.error;
    if (!error && step) error = (await readDetails(workspace, job.name, signal))?.error;
  } catch (failed) {
    signal?.throwIfAborted();
    trouble.push(`(the rest could not be read: ${failed instanceof Error ? failed.message : String(failed)})`);
  }
  // The service often repeats the end of the log in its message.
  const told = (error?.message ?? '').replace(/\bError: (?=Traceback)/g, '').split(/\r?\n/);
  const most = mostAfter(error);
  const traced = telling(lines, most).length > 0 ? lines : told;
  const cause = causeOf(error, lines, step?.status ?? job.status);
  const place = await findPlace(traced, folders, most);
  const exception = place?.text || telling(traced, most)[0]?.exception;
  const detail =
    cause === 'environment build' && !exception ? lines.findLast((line) => buildError.test(line))?.trim() : undefined;
  const message = [said(error, lines, exception)?.trim(), detail].filter(Boolean).join(' ').slice(0, longestMessage);
  return {
    step: step?.name ?? job.displayName,
    runId,
    itself: runId === job.name,
    cause,
    message: message || `The service gave no message (${step?.status ?? job.status}).`,
    lines: [...lines.slice(-40), ...trouble],
    ...(file ? { file } : {}),
    ...(place ? { place } : {}),
    advice: adviceOf(cause, message),
  };
}
