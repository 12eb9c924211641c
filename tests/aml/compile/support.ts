/** Job files written into a folder of their own, compiled offline. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { compileJob, offlineTarget, type CompiledJob, type JobSource } from '../../../src/aml/compile/index.js';
import { Failure } from '../../../src/azure/errors.js';

export const workspace = { subscriptionId: 's', resourceGroup: 'rg', workspace: 'ws' };
export const WS = '/subscriptions/s/resourceGroups/rg/providers/Microsoft.MachineLearningServices/workspaces/ws';

export class Files {
  readonly folder = mkdtempSync(join(tmpdir(), 'compile-'));
  constructor(files: Record<string, string | Buffer> = {}) {
    this.write(files);
  }
  write(files: Record<string, string | Buffer>): this {
    for (const [name, content] of Object.entries(files)) {
      const path = join(this.folder, name);
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, content);
    }
    return this;
  }
  path(name: string): string {
    return join(this.folder, name);
  }
  compile(name = 'job.yml', more: Partial<JobSource> = {}): Promise<CompiledJob> {
    return compileJob({ file: this.path(name), name: 'case', env: {}, ...more }, offlineTarget(workspace));
  }
  /** The message that a file is refused with. */
  async refused(name = 'job.yml', more: Partial<JobSource> = {}): Promise<string> {
    try {
      await this.compile(name, more);
    } catch (error) {
      if (error instanceof Failure) return error.message.replaceAll(`${this.folder}/`, '');
      throw error;
    }
    throw new Error('It was not refused.');
  }
  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const made: Files[] = [];
export function files(content: Record<string, string | Buffer>): Files {
  const folder = new Files(content);
  made.push(folder);
  return folder;
}
export function cleanUp(): void {
  for (const folder of made.splice(0)) folder.remove();
}

/** Members of a compiled job, loosely typed for tests. */
// eslint-disable-next-line @typescript-eslint/no-explicit-any
export type Loose = any;
export const properties = (job: CompiledJob): Loose => job.body.properties;
export const writesTo = (job: CompiledJob, collection: string): Loose[] =>
  job.requests.filter(({ path }) => path.includes(`/${collection}/`)).map(({ body }) => body as Loose);
export const specs = (job: CompiledJob): Loose[] => writesTo(job, 'components').map((body) => body.properties.componentSpec);
