/** The engine: runs submitted jobs in this process's children, cancels them, and ends truthfully what an earlier process left behind. */
import { setMaxListeners } from 'node:events';
import { rm } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { startTime } from '../../processes.js';
import type { Ctx, Principal, WorkspaceRecord } from '../context.js';
import { activeRuns, getRun, tree as runsOf, updateRun } from '../runs/access.js';
import { isTerminal, type RunError, type RunRecord } from '../runs/record.js';
import { compute as computeRecord } from '../arm/computes.js';
import { SnapshotCache } from './data.js';
import type { Shared } from './execute.js';
import { endOpenRuns, finish } from './life.js';
import { asObject } from './json.js';
import { endStrays, markOf, signalGroup } from './process.js';
import { endStages } from './pipeline.js';
import { enginePlace, jobTemps, type Place } from './place.js';
import { prepareSite, type Site } from './site.js';
import { Slots } from './slots.js';
import type { Submission } from './submit.js';
import { Canceled, JobFailure, type Task, type Tree } from './types.js';

interface Active {
  controller: AbortController;
  stops: Tree['stops'];
  done: Promise<void>;
}

/** A token of a job lives this long: no job may lose its tracking in the middle. */
const tokenSeconds = 7 * 24 * 3600;
const processTable = 'engine.processes';

interface ProcessEntry {
  pid: number;
  /** Start time of the process as the kernel says, so that a reused id is not mistaken for it. */
  started: string | undefined;
  mark: string;
}

/** Nodes that a compute may have at once. */
function maxNodes(ctx: Ctx, ws: WorkspaceRecord, name: string): number {
  const scale = asObject(computeRecord(ctx, ws, name)?.properties['scaleSettings']);
  return Number(scale['maxNodeCount'] ?? 1) || 1;
}

export class Engine {
  readonly #ctx: Ctx;
  readonly #active = new Map<string, Active>();
  readonly #slots = new Map<string, Slots>();
  readonly #place: Place;
  readonly #folder: string;
  #shared: Shared | undefined;
  #site: Promise<Site> | undefined;
  #stopping = false;
  /** Called after a root run has ended and its record shows that. */
  onEnd: ((ws: WorkspaceRecord, run: RunRecord) => void) | undefined;

  constructor(ctx: Ctx) {
    this.#ctx = ctx;
    this.#place = enginePlace(ctx.world.folder('engine'));
    this.#folder = this.#place.folder;
  }

  async #prepared(): Promise<Shared> {
    this.#site ??= prepareSite(this.#ctx, this.#folder);
    const site = await this.#site;
    this.#shared ??= {
      site,
      snapshots: new SnapshotCache(join(this.#folder, 'snapshots')),
      environments: new Map(),
      slots: (guid, compute) => this.#slotsOf(guid, compute),
      processStarted: (mark, pid) => {
        const entry: ProcessEntry = { pid, started: startTime(pid), mark };
        this.#ctx.store
          .write((tx) => tx.put(processTable, mark, entry))
          .catch((error: unknown) => {
            this.#ctx.log.error(`Process ${pid} of ${mark} could not be noted`, error);
          });
      },
      processEnded: (mark) => {
        this.#ctx.store
          .write((tx) => tx.remove(processTable, mark))
          .catch((error: unknown) => {
            this.#ctx.log.error(`The end of ${mark} could not be noted`, error);
          });
      },
    };
    return this.#shared;
  }

  /** Nodes of a compute, undefined = serverless. */
  slots(ws: WorkspaceRecord, compute: string | undefined): Slots {
    return this.#slotsOf(ws.guid, compute);
  }

  #slotsOf(guid: string, compute: string | undefined): Slots {
    const key = `${guid}/${(compute ?? 'serverless').toLowerCase()}`;
    let slots = this.#slots.get(key);
    if (!slots) {
      const ws = this.#ctx.world.workspaceByGuid(guid);
      const limit = (): number => (compute === undefined || !ws ? 2 * availableParallelism() : maxNodes(this.#ctx, ws, compute));
      this.#slots.set(key, (slots = new Slots(limit)));
    }
    return slots;
  }

  /** Starts a job whose run has been written. Returns at once. */
  launch(ws: WorkspaceRecord, run: RunRecord, submission: Submission, principal: Principal): void {
    const key = `${ws.guid}/${run.runId}`;
    const controller = new AbortController();
    setMaxListeners(0, controller.signal); // each node of the tree listens
    const stops: Tree['stops'] = new Map();
    const done = this.#runTree(ws, run, submission, principal, controller.signal, stops)
      .catch((error: unknown) => {
        this.#ctx.log.error(`Job ${run.runId} could not be ended`, error);
      })
      .finally(() => this.#active.delete(key));
    this.#active.set(key, { controller, stops, done });
  }

  async #runTree(
    ws: WorkspaceRecord,
    run: RunRecord,
    submission: Submission,
    principal: Principal,
    signal: AbortSignal,
    stops: Tree['stops'],
  ): Promise<void> {
    let token: Promise<string> | undefined;
    const tree: Tree = {
      ctx: this.#ctx,
      ws,
      principal,
      rootRunId: run.runId,
      signal,
      stops,
      leaving: new Set(),
      folder: join(this.#folder, 'runs', ws.guid.slice(0, 8), run.runId),
      token: () =>
        (token ??= this.#ctx.issuer.mint(principal, 'https://management.azure.com', tokenSeconds).then((minted) => minted.token)),
    };
    const task: Task = { tree, run, compute: submission.compute, signal };
    try {
      const shared = await this.#prepared();
      // What left the group of its step (a daemon) ends with the job, as a container would end it.
      await submission.run(task, shared).finally(() => endStrays(markOf(tree)));
      if (signal.aborted) throw new Canceled();
      await finish(tree, run.runId, { status: 'Completed', change: endStages });
    } catch (error) {
      await this.#endBadly(tree, run.runId, error, signal);
    } finally {
      await Promise.all(tree.leaving);
      await rm(tree.folder, { recursive: true, force: true, maxRetries: 3 });
      for (const key of this.#shared?.environments.keys() ?? [])
        if (key.startsWith(`${run.runId} `)) this.#shared?.environments.delete(key);
    }
    const ended = getRun(this.#ctx.store, ws.guid, run.runId);
    if (ended && !this.#stopping) this.onEnd?.(ws, ended);
  }

  async #endBadly(tree: Tree, runId: string, error: unknown, signal: AbortSignal): Promise<void> {
    const stopped: RunError = { code: 'ServiceError', message: 'The embedded workspace was stopped while the job was running.' };
    if (error instanceof Canceled || signal.aborted) {
      const end = this.#stopping ? ({ status: 'Failed', error: stopped } as const) : ({ status: 'Canceled' } as const);
      await endOpenRuns(tree, end);
      await finish(tree, runId, { ...end, change: endStages });
      return;
    }
    const known = error instanceof JobFailure;
    if (!known) this.#ctx.log.error(`Job ${runId} failed inside the engine`, error);
    const failure = known
      ? error.error
      : { code: 'ServiceError', message: error instanceof Error ? error.message : String(error) };
    await endOpenRuns(tree, { status: 'Canceled' });
    await finish(tree, runId, { status: 'Failed', error: failure, change: endStages });
  }

  /**
   * Asks for the end of a job (or of one run in it) and everything below it. Ended runs stay as they are; one that has not ended yet
   * ends as Canceled from here on (`finish`).
   * @returns false when there is nothing to cancel
   */
  async cancel(ws: WorkspaceRecord, runId: string): Promise<boolean> {
    const { store, clock } = this.#ctx;
    const run = getRun(store, ws.guid, runId);
    if (!run || isTerminal(run.status)) return false;
    await store.write((tx) => {
      for (const { runId: id } of runsOf(tx, ws.guid, run.runId))
        updateRun(
          tx,
          ws.guid,
          id,
          (record) => {
            if (isTerminal(record.status)) return;
            record.cancelRequested = true;
            record.status = 'CancelRequested';
          },
          clock.now(),
        );
    });
    const active = this.#active.get(`${ws.guid}/${run.rootRunId}`);
    const working = run.runId === run.rootRunId ? active?.controller : active?.stops.get(run.runId);
    if (working) working.abort();
    // A run without an engine behind it (an MLflow client's) has nothing that would end it.
    else
      await store.write((tx) => updateRun(tx, ws.guid, run.runId, (record) => this.#endRecord(record, 'Canceled'), clock.now()));
    return true;
  }

  #endRecord(record: RunRecord, status: 'Canceled' | 'Failed', error?: RunError): void {
    if (isTerminal(record.status)) return;
    record.status = status;
    record.endedAt = this.#ctx.clock.now().toISOString();
    if (error && status === 'Failed') record.error = error;
    endStages(record);
  }

  /** Waits until a job has ended in this process. */
  async ended(ws: WorkspaceRecord, rootRunId: string): Promise<void> {
    await this.#active.get(`${ws.guid}/${rootRunId}`)?.done;
  }

  /**
   * After a start: runs that an earlier process left open end as Failed (or Canceled, when that was asked for), and processes of its
   * jobs that are still there are ended. Runs of plain MLflow clients are not ours and stay.
   */
  async recover(): Promise<RunRecord[]> {
    const { store, clock } = this.#ctx;
    for (const { key, value } of store.entries<ProcessEntry>(processTable)) {
      if (value.started !== undefined && startTime(value.pid) === value.started) signalGroup(value.pid, 'SIGKILL');
      await endStrays(value.mark);
      await store.write((tx) => tx.remove(processTable, key));
    }
    const left = activeRuns(store).filter(({ kind }) => kind !== 'Mlflow');
    if (left.length > 0)
      await store.write((tx) => {
        for (const run of left)
          updateRun(
            tx,
            run.workspace,
            run.runId,
            (record) => {
              this.#endRecord(record, record.cancelRequested ? 'Canceled' : 'Failed', {
                code: 'ServiceError',
                message: 'The embedded workspace ended while the job was running; the job was not finished. Submit it again.',
              });
            },
            clock.now(),
          );
      });
    for (const folder of [join(this.#folder, 'runs'), jobTemps(this.#folder)]) await rm(folder, { recursive: true, force: true });
    return left;
  }

  /** Ends all jobs with their processes; their runs say why. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const all = [...this.#active.values()];
    for (const { controller } of all) controller.abort();
    await Promise.all(all.map(({ done }) => done));
    this.#place.close();
  }
}
