/** Watches what the trials of a sweep log, and ends those that its policy says. */
import { setTimeout as sleep } from 'node:timers/promises';
import { metricHistory } from '../runs/metrics.js';
import { dueIntervals, judge, type Policy, type Progress } from './early.js';
import { stopRun } from './life.js';
import type { PipelineLog } from './pipeline-log.js';
import type { Task } from './types.js';

/** Milliseconds between two looks at the metrics. */
const lookMs = 200;

interface Watched extends Progress {
  /** Number of values up to which the policy was applied. */
  judged: number;
}

export class Termination {
  readonly #task: Task;
  readonly #metric: string;
  readonly #maximize: boolean;
  readonly #policy: Policy;
  readonly #log: PipelineLog;
  readonly #trials = new Map<string, Watched>();
  readonly #over = new AbortController();
  readonly #watching: Promise<void>;

  /** Begins to watch; `stop` must be called. */
  constructor(task: Task, metric: string, maximize: boolean, policy: Policy, log: PipelineLog) {
    this.#task = task;
    this.#metric = metric;
    this.#maximize = maximize;
    this.#policy = policy;
    this.#log = log;
    this.#watching = this.#watch();
    this.#watching.catch(() => undefined); // told by stop
  }

  begin(runId: string): void {
    this.#trials.set(runId, { values: [], ended: false, judged: 0 });
  }

  end(runId: string): void {
    this.#read(runId);
    const trial = this.#trials.get(runId);
    if (trial) trial.ended = true;
  }

  /** @throws what went wrong while it watched */
  async stop(): Promise<void> {
    this.#over.abort();
    await this.#watching;
  }

  #read(runId: string): void {
    const { tree } = this.#task;
    const trial = this.#trials.get(runId);
    if (!trial || trial.ended) return;
    const more = metricHistory(tree.ctx.store, tree.ws.guid, runId, this.#metric, { from: trial.values.length });
    for (const { value } of more) trial.values.push(value);
  }

  async #watch(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      await sleep(lookMs, undefined, { signal }).catch(() => undefined);
      for (const runId of this.#trials.keys()) this.#read(runId);
      for (const [runId, trial] of this.#trials) {
        if (trial.ended) continue;
        const reason = this.#verdict(trial);
        if (reason === undefined || !(await stopRun(this.#task.tree, runId, `Terminated by the sweep's policy: ${reason}.`)))
          continue;
        trial.ended = true;
        this.#log.add(`Trial ${runId} is terminated by the policy: ${reason}.`);
      }
    }
  }

  #verdict(trial: Watched): string | undefined {
    const all = [...this.#trials.values()];
    for (const n of dueIntervals(this.#policy, trial.judged, trial.values.length)) {
      trial.judged = n;
      const reason = judge(this.#policy, trial, all, n, this.#maximize);
      if (reason !== undefined) return `at interval ${n} ${reason}`;
    }
    return undefined;
  }
}
