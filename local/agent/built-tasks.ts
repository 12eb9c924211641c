/** Where this installation's built tasks are. */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { Failure } from '../../src/azure/errors.js';

/** Folder of the package that this code belongs to, whether it runs from sources or from dist/. */
function packageRoot(): string {
  for (let folder = import.meta.dirname; ; folder = dirname(folder)) {
    const file = join(folder, 'package.json');
    if (existsSync(file) && (JSON.parse(readFileSync(file, 'utf8')) as { bin?: { amlops?: string } }).bin?.amlops) return folder;
    if (dirname(folder) === folder) throw new Error(`No package of amlops above ${import.meta.dirname}.`);
  }
}

/** `dist/tasks`. Errors: Failure `TaskUnknown` when nothing is built. */
export function builtTasks(): string {
  const folder = join(packageRoot(), 'dist', 'tasks');
  if (existsSync(folder)) return folder;
  throw new Failure(`No tasks are built in ${folder}.`, { code: 'TaskUnknown', advice: 'Run `npm run build` first.' });
}
