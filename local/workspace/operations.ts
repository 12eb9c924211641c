/**
 * Long-running operations: what the poll URLs answer. The outcome is stored with the write that started it (`due` = when it shows
 * as done), so a restart neither loses nor repeats it.
 */
import { randomUUID } from 'node:crypto';
import type { Answer, Call, Ctx } from './context.js';
import { ServiceError } from './errors.js';
import { offset } from './clock.js';
import type { Router } from './router.js';
import type { Store, Tx } from './store.js';

export interface OperationRecord {
  id: string;
  /** Address shape of the poll: see `path`. */
  style: 'mfe' | 'assetstore' | 'environment' | 'compute' | 'workspace' | 'registry';
  location: string;
  subscriptionId: string;
  startTime: string;
  /** Epoch milliseconds from which on it is done; null while that is not known. */
  due: number | null;
  error?: { code: string; message: string };
}

const table = 'operations';
/** Resources with poll addresses of their own. */
const resources = new Set<string>(['compute', 'workspace', 'registry']);

export class Operations {
  readonly #store: Store;
  readonly #base: () => string;
  readonly #checks = new Map<string, (id: string) => 'running' | 'done' | { error: { code: string; message: string } }>();

  constructor(store: Store, base: () => string) {
    this.#store = store;
    this.#base = base;
  }

  /** Adds an operation to the running transaction. `id` e.g. `oe:{wsid}:{guid}`; default a GUID. `seconds` until it is done. */
  create(
    tx: Tx,
    options: {
      style: OperationRecord['style'];
      location: string;
      subscriptionId: string;
      id?: string;
      seconds: number;
      now: Date;
    },
  ): OperationRecord {
    const record: OperationRecord = {
      id: options.id ?? randomUUID(),
      style: options.style,
      location: options.location,
      subscriptionId: options.subscriptionId,
      startTime: offset(options.now.toISOString()),
      due: Number.isFinite(options.seconds) ? options.now.getTime() + options.seconds * 1000 : null,
    };
    tx.put(table, record.id, record);
    return record;
  }

  /** Ends an operation that was created with `seconds: Infinity`. `at`: epoch milliseconds from which on it shows. */
  finish(tx: Tx, id: string, at: number, error?: { code: string; message: string }): void {
    const record = tx.get<OperationRecord>(table, id);
    if (record) tx.put(table, id, { ...record, due: at, ...(error ? { error } : {}) });
  }

  /** Ends as failed what an earlier process began and can no longer finish. */
  async endInterrupted(now: Date): Promise<void> {
    const open = this.#store.entries<OperationRecord>(table).filter(({ value }) => value.due === null);
    if (open.length)
      await this.#store.write((tx) => {
        for (const { key } of open)
          this.finish(tx, key, now.getTime(), {
            code: 'ServiceError',
            message: 'The operation was interrupted when the embedded workspace ended; start it again.',
          });
      });
  }

  /** Operations whose id begins with `prefix:` are not stored: `check` says how they stand (job cancel: `jc`). */
  ask(prefix: string, check: (id: string) => 'running' | 'done' | { error: { code: string; message: string } }): void {
    this.#checks.set(prefix, check);
  }

  /** Where the state is read: `Azure-AsyncOperation`. */
  statusUrl(record: Pick<OperationRecord, 'id' | 'style' | 'location' | 'subscriptionId'>, apiVersion: string): string {
    const kind = resources.has(record.style) ? `${record.style}OperationsStatus` : 'mfeOperationsStatus';
    return `${this.#base()}/subscriptions/${record.subscriptionId}/providers/Microsoft.MachineLearningServices/locations/${record.location}/${kind}/${record.id}?api-version=${apiVersion}${record.style === 'compute' ? '&service=new' : ''}`;
  }

  /** Where the result is read: `Location`. */
  resultUrl(record: Pick<OperationRecord, 'id' | 'style' | 'location' | 'subscriptionId'>, apiVersion: string): string {
    if (record.style === 'assetstore') return `${this.#base()}/assetstore/v1.0/operations/${record.id}`;
    if (record.style === 'environment') return `${this.#base()}/environment/v1.0/operations/${record.id}`;
    return `${this.#base()}/subscriptions/${record.subscriptionId}/providers/Microsoft.MachineLearningServices/locations/${record.location}/${resources.has(record.style) ? record.style : 'mfe'}OperationResults/${record.id}?api-version=${apiVersion}`;
  }

  #state(
    id: string,
    now: number,
  ): { state: 'running' | 'done'; record?: OperationRecord; error?: { code: string; message: string } } {
    const check = this.#checks.get(id.split(':')[0] ?? '');
    if (check) {
      const said = check(id);
      return typeof said === 'object' ? { state: 'done', error: said.error } : { state: said };
    }
    const record = this.#store.get<OperationRecord>(table, id);
    if (!record) throw new ServiceError(404, 'UserError', `Operation ${id} was not found.`, { inner: ['NotFoundError'] });
    return {
      state: record.due !== null && now >= record.due ? 'done' : 'running',
      record,
      ...(record.error ? { error: record.error } : {}),
    };
  }

  /** Registers the poll routes (reference azure-ml-observed §1, §5, §7, §8, §9). */
  register(router: Router, ctx: Ctx): void {
    const now = () => ctx.clock.now().getTime();
    // A poll URL that changes is the same operation under another address.
    const moved = (): string => (ctx.faults.operationsMove ? `&moved=${randomUUID().slice(0, 8)}` : '');
    const prefix = '/subscriptions/:sub/providers/Microsoft.MachineLearningServices/locations/:location';
    router.public('GET', `${prefix}/mfeOperationsStatus/:id`, 'read', (call): Answer => {
      const { state, record, error } = this.#state(call.params['id'] ?? '', now());
      const done = state === 'done';
      const status = !done ? 'Updating' : error ? 'Failed' : 'Succeeded';
      const path = `/subscriptions/${call.params['sub']}/providers/Microsoft.MachineLearningServices/locations/${call.params['location']}/mfeOperationResults/${call.params['id']}`;
      // A schedule that is being made tells nothing but that (azure-ml-observed §7).
      if (!done && call.params['id']?.startsWith('s:') && !ctx.faults.operationsMove)
        return { body: { id: path, name: call.params['id'], status: 'Creating' } };
      return {
        ...(done || !ctx.faults.operationsMove
          ? {}
          : { headers: { 'Azure-AsyncOperation': `${ctx.urls.base}${call.path}?api-version=${call.apiVersion}${moved()}` } }),
        body: {
          id: path,
          name: call.params['id'],
          status,
          startTime: record?.startTime,
          ...(done ? { endTime: offset(new Date(record?.due ?? now()).toISOString()) } : { percentComplete: 0 }),
          ...(error ? { error } : {}),
        },
      };
    });
    const result = (call: Call): Answer => {
      const { state, error } = this.#state(call.params['id'] ?? '', now());
      if (state === 'running')
        return {
          status: 202,
          headers: {
            Location: `${ctx.urls.base}${call.path}?api-version=${call.apiVersion}${moved()}`,
            'x-ms-async-operation-timeout': 'PT1H',
          },
          body: {},
        };
      if (error) throw new ServiceError(400, error.code, error.message);
      return { status: 200 };
    };
    for (const kind of ['mfe', ...resources]) router.public('GET', `${prefix}/${kind}OperationResults/:id`, 'read', result);
    for (const kind of resources)
      router.public('GET', `${prefix}/${kind}OperationsStatus/:id`, 'read', (call): Answer => {
        const { state, error } = this.#state(call.params['id'] ?? '', now());
        if (state === 'running') return { body: { status: 'InProgress' } };
        return { body: error ? { status: 'Failed', error } : { status: 'Succeeded', percentComplete: 100 } };
      });
    for (const [path, done] of [
      ['/assetstore/v1.0/operations/:id', 204],
      ['/environment/v1.0/operations/:id', 200],
    ] as const)
      router.public('GET', path, 'read', (call): Answer => {
        const { state, error } = this.#state(call.params['id'] ?? '', now());
        if (state === 'running')
          return {
            status: 202,
            ...(ctx.faults.operationsMove ? { headers: { Location: `${ctx.urls.base}${call.path}?${moved().slice(1)}` } } : {}),
          };
        if (error) throw new ServiceError(400, error.code, error.message, { envelope: 'data', component: 'assetstore' });
        return { status: done };
      });
  }
}
