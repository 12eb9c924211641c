/** `logs/azureml/executionlogs.txt` of a pipeline: what its steps did when, as the client streams it. */
import { artifactPlace } from './locate.js';
import { amend } from './life.js';
import type { Task } from './types.js';

const name = 'logs/azureml/executionlogs.txt';

export class PipelineLog {
  readonly #task: Task;
  #text = '';
  #writing: Promise<void> | undefined;
  #listed = false;

  constructor(task: Task) {
    this.#task = task;
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
      await tree.ctx.storage.append(artifactPlace(tree.ws, run.dataContainerId, name), Buffer.from(text));
      if (this.#listed) continue;
      this.#listed = true;
      await amend(tree, run.runId, (record) => (record.logFiles = [name]));
    }
  }

  /** Waits until all lines are in the storage. */
  async flush(): Promise<void> {
    while (this.#writing) await this.#writing;
  }
}
