/** The log of a run that is no process: what its steps or trials did when, as the client streams it. */
import { artifactPlace } from './locate.js';
import { amend } from './life.js';
import type { Task } from './types.js';

export class PipelineLog {
  readonly #task: Task;
  readonly #name: string;
  #text = '';
  #writing: Promise<void> | undefined;
  #listed = false;

  /** `name`: the file that clients look for, of a pipeline or of a sweep (`azureml-logs/hyperdrive.txt`). */
  constructor(task: Task, name = 'logs/azureml/executionlogs.txt') {
    this.#task = task;
    this.#name = name;
  }

  /** Adds a line; lines that come while one is written go together. */
  add(line: string): void {
    const now = this.#task.tree.ctx.clock.now().toISOString().replace('T', ' ').slice(0, 19);
    this.#text += `[${now}Z] ${line}\n`;
    this.#writing ??= this.#write().finally(() => (this.#writing = undefined));
    this.#writing.catch(() => undefined); // told by flush
  }

  async #write(): Promise<void> {
    const { tree, run } = this.#task;
    while (this.#text !== '') {
      const text = this.#text;
      this.#text = '';
      await tree.ctx.storage.append(artifactPlace(tree.ws, run.dataContainerId, this.#name), Buffer.from(text));
      if (this.#listed) continue;
      this.#listed = true;
      await amend(tree, run.runId, (record) => (record.logFiles = [this.#name]));
    }
  }

  /** Waits until all lines are in the storage. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }
}
