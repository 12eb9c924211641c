/** What a waiting user sees: the state of the graph in one line, progress, and the steps' logs, each line with its step before it. */
import type { JobState, Phase } from '../../src/aml/jobs/job.js';
import type { StepState } from '../../src/aml/jobs/steps.js';
import type { WatchSink } from '../../src/aml/jobs/watch.js';
import type { Platform } from '../../src/task/platform.js';
import { LineSplitter, longestLine, sanitizeInline, sanitizeLine } from '../../src/task/sanitize.js';
import { counted, duration } from './words.js';

const words: Record<Phase, string> = {
  active: 'running',
  completed: 'completed',
  failed: 'FAILED',
  canceled: 'cancelled',
  paused: 'paused',
  stalled: 'no answer',
};

export class JobView implements WatchSink {
  readonly #platform: Platform;
  /** By step and file: lines of two files must not be put together. */
  readonly #splitters = new Map<string, { step: StepState; label: string; splitter: LineSplitter }>();
  /** The step whose group of lines is open. */
  #open: string | undefined;
  readonly #opened = new Set<string>();
  #nodes: readonly string[];
  #line = '';
  readonly #job: string;

  constructor(platform: Platform, job: JobState) {
    this.#platform = platform;
    this.#nodes = job.nodes;
    this.#job = job.name;
  }

  status(job: JobState): void {
    this.#close();
    if (job.nodes.length > 0) this.#nodes = job.nodes;
    this.#platform.info(`Status: ${job.status || 'unknown'}`);
  }

  steps(steps: readonly StepState[]): void {
    const leaves = steps.filter(({ group }) => !group);
    // A nested pipeline that has no steps yet is waited for like one that is not there.
    const goes = ({ group, phase, name }: StepState) =>
      !group || phase !== 'active' || steps.some((other) => other.name.startsWith(`${name}/`));
    const known = new Set(steps.filter(goes).map(({ name }) => name));
    const waiting = this.#nodes.filter((name) => !known.has(name));
    const total = leaves.length + waiting.length;
    const done = leaves.filter(({ phase }) => phase === 'completed' || phase === 'failed' || phase === 'canceled').length;
    const line = graphLine(leaves, waiting, this.#platform.clock.now());
    // Time that has passed is no news.
    const shape = line.replace(/ \(\d+ (?:s|min|h|d)(?: \d+ (?:s|min|h))?\)/g, '');
    if (total > 0) this.#platform.progress((100 * done) / total, `${done} of ${counted(total, 'step')}`);
    // A job without steps is told of by its own state.
    const alone = leaves[0]?.runId === this.#job;
    if (shape === this.#line || leaves.length === 0 || alone) return;
    this.#line = shape;
    this.#close();
    this.#platform.info(line);
  }

  async text(step: StepState, text: string, file?: string): Promise<void> {
    const key = `${step.runId}\n${file ?? ''}`;
    let known = this.#splitters.get(key);
    if (!known) {
      const label = short(file === undefined ? step.name : `${step.name} ${file.split('/').at(-1) ?? ''}`);
      this.#splitters.set(key, (known = { step, label, splitter: new LineSplitter() }));
    }
    this.#print(step, known.label, known.splitter.push(text));
    await this.#platform.taken();
  }

  textEnd(step: StepState): void {
    for (const [key, { step: own, label, splitter }] of this.#splitters) {
      if (own.runId !== step.runId) continue;
      this.#print(step, label, splitter.end());
      this.#splitters.delete(key);
    }
  }

  notice(level: 'info' | 'warning', text: string): void {
    this.#close();
    if (level === 'warning') this.#platform.warn(text);
    else this.#platform.info(text);
  }

  /** The lines that had no end, and the end of the open group. */
  end(): void {
    for (const { step, label, splitter } of this.#splitters.values()) this.#print(step, label, splitter.end());
    this.#close();
  }

  #print(step: StepState, label: string, lines: readonly string[]): void {
    if (lines.length === 0) return;
    if (this.#open !== step.runId) {
      this.#close();
      this.#platform.beginGroup(this.#opened.has(step.runId) ? `${short(step.name)} (continued)` : short(step.name));
      this.#open = step.runId;
      this.#opened.add(step.runId);
    }
    const prefix = `[${label}] `;
    // Every piece of a long line says whose it is.
    for (const line of lines) {
      for (const piece of sanitizeLine(line, longestLine - prefix.length)) this.#platform.foreign(`${prefix}${piece}`);
    }
  }

  #close(): void {
    if (this.#open !== undefined) this.#platform.endGroup();
    this.#open = undefined;
  }
}

/** A name before every line must leave room for the line. */
function short(name: string): string {
  const safe = sanitizeInline(name);
  return safe.length > 80 ? `${safe.slice(0, 79)}…` : safe;
}

/** `Steps: prep completed (12 s) | train running (3 min) | 2 waiting`; a large graph in counts. */
function graphLine(leaves: readonly StepState[], waiting: readonly string[], now: number): string {
  if (leaves.length + waiting.length > 10) {
    const counts = new Map<string, number>();
    for (const leaf of leaves) counts.set(wordOf(leaf), (counts.get(wordOf(leaf)) ?? 0) + 1);
    if (waiting.length > 0) counts.set('waiting', waiting.length);
    const running = leaves.filter(({ phase }) => phase === 'active').map(({ name }) => name);
    const named = running.length > 0 && running.length <= 5 ? `: ${running.join(', ')}` : '';
    const failed = leaves.filter(({ phase }) => phase === 'failed').map(({ name }) => name);
    const which = ` (${failed.slice(0, 3).join(', ')}${failed.length > 3 ? ', …' : ''})`;
    const said = [...counts].map(([word, count]) => `${count} ${word}${word === words.failed ? which : ''}`);
    return `Steps: ${said.join(', ')}${named}`;
  }
  const parts = leaves.map((leaf) => `${leaf.name} ${wordOf(leaf)}${took(leaf, now)}`);
  return `Steps: ${[...parts, ...waiting.map((name) => `${name} waiting`)].join(' | ')}`;
}

function wordOf(step: StepState): string {
  if (step.reused) return 'reused';
  if (step.phase !== 'active') return words[step.phase];
  return /^(queued|preparing|provisioning|starting|notstarted|finalizing|cancelrequested)$/i.test(step.status)
    ? step.status.toLowerCase()
    : 'running';
}

function took(step: StepState, now: number): string {
  if (step.reused || step.started === undefined) return '';
  const ms = (step.ended ?? now) - step.started;
  return ms >= 0 ? ` (${duration(ms)})` : '';
}
