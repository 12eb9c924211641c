/** The end of a step's log, for the failure digest. */
import type { Workspace } from '../workspace.js';
import { logNames } from './logs.js';
import { readDetails } from './steps.js';

/**
 * The last `lines` lines of a step's log, for the digest: the file's last 256 KiB, as a terminal would show them. Where another process of
 * the step than the first has a traceback, those of that one.
 */
export async function logTail(workspace: Workspace, runId: string, lines: number, signal?: AbortSignal): Promise<string[]> {
  const details = await readDetails(workspace, runId, signal);
  const files = details?.logFiles ?? {};
  let names = logNames(files);
  const others = Object.keys(files).filter((name) => /^user_logs\/std_log/.test(name) && !names.includes(name));
  if (names.length === 0) names = Object.keys(files).filter((name) => /image_build_log|executionlogs|driver_log/.test(name));
  let found: string[] = [];
  for (const name of names.slice(0, 2)) found.push(...(await tailOf(workspace, files[name] ?? '', signal)));
  for (const name of others.sort().slice(0, 16)) {
    if (found.some((line) => line.includes(raised))) break;
    const lines = await tailOf(workspace, files[name] ?? '', signal);
    if (found.length === 0 || lines.some((line) => line.includes(raised))) found = lines;
  }
  return found.slice(-lines);
}

const raised = 'Traceback (most recent call last)';

async function tailOf(workspace: Workspace, url: string, signal?: AbortSignal): Promise<string[]> {
  // Blob storage knows no range from the end: the first answer says how long the file is.
  const head = await rangeOf(workspace, url, 0, signal);
  if (!head) return [];
  const rest = head.total > tailSize ? await rangeOf(workspace, url, head.total - tailSize, signal) : head;
  const found = (rest ?? head).bytes
    .toString('utf8')
    .split(/\r*\n/)
    // What a progress bar has overwritten, and colours, are no part of the text.
    .map((line) => (line.split('\r').findLast((part) => part !== '') ?? '').replace(/\u001b\[[0-?]*[ -/]*[@-~]/g, ''));
  // The first is what is left of a line.
  if (head.total > tailSize && found.length > 1) found.shift();
  while (found.length > 0 && found.at(-1)?.trim() === '') found.pop();
  return found;
}

const tailSize = 256 * 1024;

async function rangeOf(
  workspace: Workspace,
  url: string,
  start: number,
  signal?: AbortSignal,
): Promise<{ bytes: Buffer; total: number } | undefined> {
  const { status, bytes, headers } = await workspace.azure.request({
    method: 'GET',
    url,
    scope: null,
    headers: { Range: `bytes=${start}-${start + tailSize - 1}`, Accept: '*/*', 'Accept-Encoding': 'identity' },
    accept: [401, 403, 404, 416],
    maxBytes: 256 * 1024 * 1024,
    operation: 'read a log',
    ...(signal ? { signal } : {}),
  });
  if (status === 206) return { bytes, total: Number(/\/(\d+)$/.exec(headers['content-range'] ?? '')?.[1] ?? bytes.length) };
  return status === 200 ? { bytes: bytes.subarray(-tailSize), total: Math.min(bytes.length, tailSize) } : undefined;
}
