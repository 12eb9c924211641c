/** The gate inputs of both tasks, and what is done with a verdict (design §5). */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { compileGate, parseMetrics, type Gate, type Metrics, type Verdict } from '../../src/release/gate.js';
import { Refusal } from '../../src/release/refusal.js';
import { verdictJUnit, verdictLines } from '../../src/release/verdict-report.js';
import type { InputReader } from '../../src/task/inputs.js';
import type { Platform } from '../../src/task/platform.js';

export interface GateInputs {
  gate: Gate;
  onRejected: 'fail' | 'warn';
  onNoChampion: 'pass' | 'reject';
  /** `champion`, `latest`, `none` or a version. */
  champion: string;
  metrics?: { metrics: Metrics; from: string };
}

/** Everything that can be wrong with a gate is found here, before anything is asked of Azure. */
export function gateInputs(read: InputReader): GateInputs {
  const refused = <T>(work: () => T, fallback: T, input: string): T => {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      read.problem(input, error.message, error.details.advice ?? '');
      return fallback;
    }
  };
  const text = read.optional('gate');
  const file = read.path('metricsFile');
  const metrics = file === undefined ? undefined : refused(() => metricsOf(file), undefined, 'metricsFile');
  const champion = read.optional('champion') ?? 'champion';
  if (!/^(champion|latest|none|[A-Za-z0-9][\w.-]{0,254})$/.test(champion))
    read.problem('champion', `"${champion}" is not one of its values.`, 'Accepted: champion, latest, none, or a version.');
  return {
    gate: refused(() => compileGate(text), compileGate(undefined), 'gate'),
    onRejected: read.choice('onRejected', ['fail', 'warn'], 'fail'),
    onNoChampion: read.choice('onNoChampion', ['pass', 'reject'], 'pass'),
    champion,
    ...(metrics ? { metrics } : {}),
  };
}

/** Bytes of a metrics file at most: some ten thousand metrics. */
const largestMetrics = 4 * 1024 * 1024;

function metricsOf(file: string): GateInputs['metrics'] {
  let text: string;
  try {
    const { size } = statSync(file);
    if (size > largestMetrics)
      throw new Refusal(`${file} has ${size} bytes; a file of metrics has at most ${largestMetrics}.`, {
        code: 'MetricsInvalid',
        input: 'metricsFile',
        advice: 'Give a JSON file that holds names and numbers only, for example {"accuracy": 0.9}.',
      });
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if (error instanceof Refusal) throw error;
    throw new Refusal(`${file} cannot be read: ${(error as Error).message}`, {
      code: 'MetricsInvalid',
      input: 'metricsFile',
      cause: error,
    });
  }
  return { metrics: parseMetrics(text, file), from: 'metricsFile' };
}

/** Folder for files that must stay until the agent job ends (attachments are uploaded late). */
export function reportFolder(platform: Platform, task: string): string {
  const folder = join(platform.temp, 'amlops', `${task}-${process.pid}`);
  mkdirSync(folder, { recursive: true });
  return folder;
}

/** The table in the log, the verdict as test results; gives the file with the verdict as JSON. */
export async function showVerdict(platform: Platform, folder: string, subject: string, verdict: Verdict): Promise<string> {
  const file = join(folder, 'verdict.json');
  writeFileSync(file, `${JSON.stringify({ schemaVersion: 1, subject, ...verdict }, null, 1)}\n`);
  if (verdict.rows.length === 0) {
    platform.info('No gate was given: nothing was judged.');
    return file;
  }
  await platform.group(`Gate of ${subject}: ${verdict.verdict}`, () => {
    for (const line of verdictLines(verdict)) platform.info(line);
    return Promise.resolve();
  });
  const junit = join(folder, 'TEST-gate.xml');
  writeFileSync(junit, verdictJUnit(verdict, `Gate of ${subject}`));
  platform.publishJUnit(junit, `Gate of ${subject}`);
  return file;
}

/** What a person reads first about a rejection. */
export function rejection(verdict: Verdict): string {
  const failed = verdict.rows.filter((row) => row.verdict === 'rejected');
  const why = failed.map(
    (row) =>
      `${row.name} (${row.note ?? (row.margin === null ? 'does not hold' : `missed by ${Number(Math.abs(row.margin).toPrecision(6))}`)})`,
  );
  return `Rejected by ${failed.length} of ${verdict.rows.length} conditions: ${why.join('; ')}`;
}
