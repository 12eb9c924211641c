/** One run on disk: `run.json` beside its logs, attachments and artifacts. One process writes it, the one that runs it; others read. */
import { randomUUID } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { appendFile, cp, mkdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileName, guid, isoNow, readJson, writeJson } from './files.js';
import type { Approval, ApprovalStatus, Identity, RecordType, RunDocument, TimelineRecord } from './types.js';

export interface NewRun {
  definitionId: number;
  sourceBranch: string;
  sourceVersion: string;
  repositoryName: string;
  requestedFor: Identity;
  templateParameters: Record<string, string>;
}

/** Why an answer to an approval is not taken; the REST says it as 400 or 403. */
export class ApprovalRefused extends Error {}

export class RunState {
  /** `approval` (an answer came), `cancel` (somebody asked for it over REST). */
  readonly events = new EventEmitter();
  #writing: Promise<void> = Promise.resolve();
  #dirty = false;

  private constructor(
    readonly folder: string,
    readonly run: RunDocument,
  ) {}

  static async create(folder: string, id: number, made: NewRun): Promise<RunState> {
    const today = isoNow().slice(0, 10).replaceAll('-', '');
    const planId = randomUUID();
    const state = new RunState(folder, {
      id,
      buildNumber: `${today}.${id}`,
      definitionId: made.definitionId,
      status: 'inProgress',
      result: 'none',
      reason: 'manual',
      queueTime: isoNow(),
      startTime: isoNow(),
      finishTime: null,
      sourceBranch: made.sourceBranch,
      sourceVersion: made.sourceVersion,
      repository: { id: guid('repository', made.repositoryName), type: 'TfsGit', name: made.repositoryName },
      requestedFor: made.requestedFor,
      templateParameters: made.templateParameters,
      planId,
      timelineId: planId,
      tags: [],
      properties: {},
      records: [],
      previous: {},
      logs: [],
      attachments: [],
      artifacts: [],
      leases: [],
      approvals: [],
      suites: [],
      owner: process.pid,
      runner: null,
    });
    await mkdir(join(folder, 'logs'), { recursive: true });
    state.changed();
    await state.flush();
    return state;
  }

  static async open(folder: string): Promise<RunState | undefined> {
    const document = await readJson<RunDocument>(join(folder, 'run.json'));
    return document ? new RunState(folder, document) : undefined;
  }

  get id(): number {
    return this.run.id;
  }

  /** Writes soon; several changes become one write. */
  changed(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#writing = this.#writing.then(async () => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      this.#dirty = false;
      await writeJson(join(this.folder, 'run.json'), this.run);
    });
    this.#writing.catch(() => undefined); // `flush` tells
  }

  /** Resolves when everything that was changed is on disk. @throws what writing threw */
  async flush(): Promise<void> {
    await this.#writing;
  }

  /** The record of an identifier in the present attempt's timeline, made when it is not there. */
  record(type: RecordType, identifier: string, name: string, parent: TimelineRecord | null, attempt = 1): TimelineRecord {
    const id = guid(this.run.timelineId, type, identifier, attempt);
    const known = this.run.records.find((record) => record.id === id);
    if (known) return known;
    const record: TimelineRecord = {
      id,
      parentId: parent?.id ?? null,
      type,
      name,
      refName: identifier.split('.').at(-1) ?? null,
      identifier,
      order: this.run.records.filter((other) => other.parentId === (parent?.id ?? null)).length + 1,
      attempt,
      state: 'pending',
      result: null,
      startTime: null,
      finishTime: null,
      currentOperation: null,
      percentComplete: null,
      workerName: null,
      errorCount: 0,
      warningCount: 0,
      issues: [],
      log: null,
      task: null,
      previousAttempts: [],
      changeId: 1,
    };
    this.run.records.push(record);
    this.changed();
    return record;
  }

  update(record: TimelineRecord, changes: Partial<TimelineRecord>): void {
    Object.assign(record, changes);
    record.changeId += 1;
    this.changed();
  }

  /** Moves a stage's records to a timeline of their own: the stage is run again as the next attempt. */
  nextAttempt(stage: TimelineRecord): TimelineRecord {
    const family = this.familyOf(stage);
    const timelineId = guid(this.run.timelineId, stage.identifier, 'attempt', stage.attempt);
    this.run.previous[timelineId] = [...family];
    this.run.records = this.run.records.filter((record) => !family.includes(record));
    const fresh = this.record('Stage', stage.identifier, stage.name, null, stage.attempt + 1);
    this.update(fresh, {
      order: stage.order,
      previousAttempts: [...stage.previousAttempts, { attempt: stage.attempt, timelineId, recordId: stage.id }],
    });
    return fresh;
  }

  /** A record and everything below it. */
  familyOf(root: TimelineRecord): TimelineRecord[] {
    const found = new Set([root.id]);
    for (let before = -1; before !== found.size;) {
      before = found.size;
      for (const record of this.run.records) if (record.parentId !== null && found.has(record.parentId)) found.add(record.id);
    }
    return this.run.records.filter((record) => found.has(record.id));
  }

  /** Opens a log; its number is its file's name. */
  log(): { id: number; path: string } {
    const id = this.run.logs.length + 1;
    this.run.logs.push({ id, lineCount: 0, createdOn: isoNow() });
    this.changed();
    return { id, path: this.logPath(id) };
  }

  logPath(id: number): string {
    return join(this.folder, 'logs', `${id}.log`);
  }

  async writeLog(id: number, lines: string[]): Promise<void> {
    const log = this.run.logs[id - 1];
    if (!log || lines.length === 0) return;
    log.lineCount += lines.length;
    await appendFile(this.logPath(id), lines.join('\n') + '\n');
    this.changed();
  }

  async attach(record: TimelineRecord, type: string, name: string, file: string): Promise<void> {
    const path = join('attachments', fileName(record.id), fileName(type), fileName(name));
    await mkdir(join(this.folder, path, '..'), { recursive: true });
    await cp(file, join(this.folder, path));
    const rest = this.run.attachments.filter(
      (other) => other.recordId !== record.id || other.type !== type || other.name !== name,
    );
    this.run.attachments = [...rest, { type, name, timelineId: this.run.timelineId, recordId: record.id, path }];
    this.changed();
  }

  /** Copies a file or folder into the artifact `name`; a second step may add to it. */
  async publish(name: string, source: string, recordId: string): Promise<string> {
    const path = join('artifacts', fileName(name));
    await mkdir(join(this.folder, path), { recursive: true });
    const isFile = (await stat(source)).isFile();
    await cp(source, isFile ? join(this.folder, path, source.split(/[\\/]/).at(-1) ?? 'file') : join(this.folder, path), {
      recursive: true,
    });
    if (!this.run.artifacts.some((artifact) => artifact.name === name))
      this.run.artifacts.push({ id: this.run.artifacts.length + 1, name, source: recordId, path });
    this.changed();
    return join(this.folder, path);
  }

  addTag(tag: string): void {
    if (!this.run.tags.includes(tag)) this.run.tags.push(tag);
    this.changed();
  }

  approval(id: string): Approval | undefined {
    return this.run.approvals.find((approval) => approval.id.toLowerCase() === id.toLowerCase());
  }

  /**
   * Takes an answer (reference azure-devops-rest §5).
   * @throws ApprovalRefused when the approval is not pending or this person may not answer
   */
  answer(
    id: string,
    answer: { status: 'approved' | 'rejected' | 'deferred'; comment?: string; deferredTo?: string },
    by: Identity,
    options: { onBehalf: boolean },
  ): Approval {
    const approval = this.approval(id);
    if (!approval) throw new ApprovalRefused(`Approval ${id} was not found.`);
    if (approval.status !== 'pending') throw new ApprovalRefused(`Approval ${id} is ${approval.status}, not pending.`);
    if (!options.onBehalf && approval.blockedApprovers.some((blocked) => blocked.id === by.id))
      throw new ApprovalRefused(`${by.displayName} requested the run and may not approve it.`);
    const step = approval.steps.find(
      (candidate) =>
        candidate.status === 'pending' &&
        (options.onBehalf || candidate.assignedApprover.isContainer || candidate.assignedApprover.id === by.id),
    );
    if (!step) throw new ApprovalRefused(`${by.displayName} is not an approver whose turn it is.`);
    const when = isoNow();
    Object.assign(step, { status: answer.status, actualApprover: by, comment: answer.comment ?? '', lastModifiedOn: when });
    const approved = approval.steps.filter(({ status }) => status === 'approved').length;
    const needed =
      approval.minRequiredApprovers > 0 ? Math.min(approval.minRequiredApprovers, approval.steps.length) : approval.steps.length;
    if (answer.status === 'rejected') this.#close(approval, 'rejected');
    else if (approved >= needed) this.#close(approval, 'approved');
    else if (approval.executionOrder === 'inSequence') {
      const next = approval.steps.find(({ status }) => status === 'uninitiated');
      if (next) Object.assign(next, { status: 'pending', initiatedOn: when });
    }
    approval.lastModifiedOn = when;
    this.changed();
    this.events.emit('approval', approval);
    return approval;
  }

  /** Ends an approval without an answer: its time is up, the run was cancelled, or somebody bypassed the check. */
  closeApproval(id: string, status: ApprovalStatus, by?: Identity): void {
    const approval = this.approval(id);
    if (approval?.status !== 'pending') return;
    for (const step of approval.steps) if (by && step.status === 'pending') step.lastModifiedBy = by;
    this.#close(approval, status);
    approval.lastModifiedOn = isoNow();
    this.changed();
    this.events.emit('approval', approval);
  }

  #close(approval: Approval, status: ApprovalStatus): void {
    approval.status = status;
    const rest = status === 'approved' || status === 'rejected' ? 'skipped' : status;
    for (const step of approval.steps) if (step.status === 'pending' || step.status === 'uninitiated') step.status = rest;
  }
}
