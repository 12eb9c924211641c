/** The end of a step's log, for the failure digest. */
import type { Workspace } from '../workspace.js';
import { logNames } from './logs.js';
import { readDetails } from './steps.js';

interface LogTail {
  lines: string[];
  /** Whether the log has more before them. */
  cut: boolean;
}

/**
 * The last `lines` lines of a step's log, as a terminal would show them; no more than `bytes` of each file are read. Where another process
 * of the step than the first has a traceback, those of that one.
 */
export async function logTail(
  workspace: Workspace,
  runId: string,
  { lines, bytes = 256 * 1024 }: { lines: number; bytes?: number },
  signal?: AbortSignal,
): Promise<LogTail> {
  const details = await readDetails(workspace, runId, signal);
  const files = details?.logFiles ?? {};
  let names = logNames(files);
  const others = Object.keys(files).filter((name) => /^user_logs\/std_log/.test(name) && !names.includes(name));
  if (names.length === 0) names = Object.keys(files).filter((name) => /image_build_log|executionlogs|driver_log/.test(name));
  let found: LogTail = { lines: [], cut: false };
  for (const name of names.slice(0, 2)) {
    const one = await tailOf(workspace, files[name] ?? '', bytes, signal);
    found = { lines: [...found.lines, ...one.lines], cut: found.cut || one.cut };
  }
  const fails = (tail: LogTail) => tail.lines.some((line) => line.includes(raised));
  for (const name of others.sort().slice(0, 16)) {
    if (fails(found)) break;
    const one = await tailOf(workspace, files[name] ?? '', bytes, signal);
    if (found.lines.length === 0 || fails(one)) found = one;
  }
  return { lines: found.lines.slice(-lines), cut: found.cut || found.lines.length > lines };
}

const raised = 'Traceback (most recent call last)';

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
