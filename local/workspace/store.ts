/**
 * The embedded store: JSON documents in named tables of one lmdb environment. A write is acknowledged when `write` resolves:
 * then it survives `kill -9`. Reads are synchronous and see only committed data, or the running transaction's own writes.
 */
import { open, type Database, type RootDatabase } from 'lmdb';

export interface Range {
  /** Only keys that begin so. */
  prefix?: string;
  /** Exclusive start, for paging. */
  after?: string;
  reverse?: boolean;
  limit?: number;
}

export interface Tx {
  get<T>(table: string, key: string): T | undefined;
  put<T>(table: string, key: string, value: T): void;
  remove(table: string, key: string): void;
  entries<T>(table: string, range?: Range): { key: string; value: T }[];
}

export class Store {
  readonly #root: RootDatabase;
  readonly #tables = new Map<string, Database>();

  /** `folder` is made when missing. */
  constructor(folder: string) {
    this.#root = open({ path: folder, maxDbs: 64, encoding: 'json' });
  }

  #table(name: string): Database {
    let table = this.#tables.get(name);
    if (!table) this.#tables.set(name, (table = this.#root.openDB({ name, encoding: 'json' })));
    return table;
  }

  get<T>(table: string, key: string): T | undefined {
    return this.#table(table).get(key) as T | undefined;
  }

  entries<T>(table: string, range: Range = {}): { key: string; value: T }[] {
    const found: { key: string; value: T }[] = [];
    const { prefix = '', after, reverse = false, limit = Infinity } = range;
    const low = prefix;
    const high = prefix + '\uffff';
    const start = reverse ? (after ?? high) : (after ?? low);
    const end = reverse ? low : high;
    for (const { key, value } of this.#table(table).getRange({ start, end, reverse })) {
      if (typeof key !== 'string' || key === after || !key.startsWith(prefix)) continue;
      found.push({ key, value: value as T });
      if (found.length >= limit) break;
    }
    return found;
  }

  /** Runs `body` as one transaction; nothing of it is written when it throws. Resolves when the commit is durable against a killed process. */
  async write<R>(body: (tx: Tx) => R): Promise<R> {
    const tx: Tx = {
      get: (table, key) => this.get(table, key),
      entries: (table, range) => this.entries(table, range),
      put: (table, key, value) => void this.#table(table).put(key, value),
      remove: (table, key) => void this.#table(table).remove(key),
    };
    return await this.#root.transaction(() => body(tx));
  }

  /** Removes what stands below `prefix` in every table. */
  async removeBelow(prefix: string): Promise<void> {
    const tables = [...this.#root.getKeys()].filter((name): name is string => typeof name === 'string');
    await this.write((tx) => {
      for (const table of tables) for (const { key } of this.entries(table, { prefix })) tx.remove(table, key);
    });
  }

  async close(): Promise<void> {
    await this.#root.close();
  }
}
