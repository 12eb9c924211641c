/** The end of a step's log, for the failure digest. */
import type { Workspace } from '../workspace.js';
import { logNames, otherProcesses } from './log-file.js';
import { readDetails } from './steps.js';
import { telling } from './traceback.js';

interface LogTail {
  lines: string[];
  /** Whether the log has more before them. */
  cut: boolean;
  /** The file's name, where the step has several. */
  file?: string;
}

/** Files that are looked through for the one that failed, and how many at once. */
const most = 64;
const atOnce = 8;

/** What a process says when another one of the same job has failed. */
const becauseOfAnother =
  /connection (?:was )?(?:closed|reset|refused)|connect\w* .*\btimed out|broken pipe|socket timeout|DistBackendError|DistStoreError|DistNetworkError|\bnccl|\bgloo\b|c10d|watchdog|barrier|SignalException|KeyboardInterrupt|\bSIG(?:TERM|INT)\b|HorovodInternalError|ChildFailedError/i;
/** Ends of a process that leave no traceback. */
const died =
  /^(?:.*: line \d+: +\d+ )?(?:Killed|Aborted|Segmentation fault|Bus error)\b|^Fatal Python error|^terminate called after|core dumped/;

/**
 * The last `lines` lines of a step's log, as a terminal would show them; no more than `bytes` of each file are read. Of several files (processes,
 * older generations' logs) those of the one that failed: with an exception of its own, else with one at all, else the first that has any text.
 */
export async function logTail(
  workspace: Workspace,
  runId: string,
  { lines, bytes = 256 * 1024 }: { lines: number; bytes?: number },
  signal?: AbortSignal,
): Promise<LogTail> {
  const files = (await readDetails(workspace, runId, signal))?.logFiles ?? {};
  const names = tellingFirst(files);
  let found: LogTail = { lines: [], cut: false };
  let weight = -1;
  for (let at = 0; at < names.length && weight < 3; at += atOnce) {
    const group = names.slice(at, at + atOnce);
    const tails = await Promise.all(group.map((name) => tailOf(workspace, files[name] ?? '', bytes, signal)));
    for (const [n, tail] of tails.entries()) {
      const own = weightOf(tail.lines);
      if (own <= weight) continue;
      weight = own;
      found = names.length > 1 ? { ...tail, file: group[n] ?? '' } : tail;
    }
  }
  return { ...found, lines: found.lines.slice(-lines), cut: found.cut || found.lines.length > lines };
}

/** The step's log first, then those of its other processes; of older generations the program's before the service's, the later ones first. */
function tellingFirst(files: Readonly<Record<string, string>>): string[] {
  const of = (names: string[]) => {
    const [program, service] = [/driver_log/, /^(?!.*driver_log)/].map((kind) => names.filter((name) => kind.test(name)));
    return [...(program ?? []), ...(service ?? []).reverse()];
  };
  const shown = logNames(files);
  const own = [...(shown[0]?.startsWith('user_logs/') ? shown : of(shown)), ...otherProcesses(files)];
  if (own.length > 0) return own.slice(0, most);
  return of(Object.keys(files).filter((name) => /image_build_log|executionlogs|driver_log/.test(name)));
}

function weightOf(lines: readonly string[]): number {
  const [raised] = telling(lines);
  // One that it went on after for long it got over.
  if (raised) return raised.after > 80 || becauseOfAnother.test([raised.exception, ...raised.more].join('\n')) ? 2 : 3;
  if (lines.slice(-40).some((line) => died.test(line))) return 2;
  return lines.length > 0 ? 1 : 0;
}

async function tailOf(workspace: Workspace, url: string, bytes: number, signal?: AbortSignal): Promise<LogTail> {
  // Blob storage knows no range from the end: the first answer says how long the file is.
  const head = await rangeOf(workspace, url, 0, bytes, signal);
  if (!head) return { lines: [], cut: false };
  const cut = head.total > bytes;
  const rest = cut ? await rangeOf(workspace, url, head.total - bytes, bytes, signal) : head;
  const found = (rest ?? head).bytes
    .toString('utf8')
    .split(/\r*\n/)
    // What a progress bar has overwritten, and colours, are no part of the text.
    .map((line) => (line.split('\r').findLast((part) => part !== '') ?? '').replace(/\u001b\[[0-?]*[ -/]*[@-~]/g, ''));
  while (found.length > 0 && found.at(-1)?.trim() === '') found.pop();
  // The first is what is left of a line; a line that is longer than all that is read is better than none.
  if (cut && found.length > 1) found.shift();
  return { lines: found, cut };
}

async function rangeOf(
  workspace: Workspace,
  url: string,
  start: number,
  count: number,
  signal?: AbortSignal,
): Promise<{ bytes: Buffer; total: number } | undefined> {
  const { status, bytes, headers } = await workspace.azure.request({
    method: 'GET',
    url,
    scope: null,
    headers: { Range: `bytes=${start}-${start + count - 1}`, Accept: '*/*', 'Accept-Encoding': 'identity' },
    accept: [401, 403, 404, 416],
    maxBytes: 256 * 1024 * 1024,
    operation: 'read a log',
    ...(signal ? { signal } : {}),
  });
  if (status === 206) return { bytes, total: Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? bytes.length) };
  // A server that knows no ranges sends the whole file.
  return status === 200 ? { bytes: bytes.subarray(start, start + count), total: bytes.length } : undefined;
}
