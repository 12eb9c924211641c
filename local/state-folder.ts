/** The folder that keeps what runs and workspaces leave on this machine. */
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';

/**
 * Makes the folder and hides it from git: it holds keys of local connections, logs and storage, and lies in the user's repository by
 * default. A folder that already holds something else of the user's gets nothing put into it.
 */
export function ownStateFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  const ours = basename(resolve(folder)) === '.amlops' || readdirSync(folder).length === 0;
  const file = join(folder, '.gitignore');
  if (ours && !existsSync(file)) writeFileSync(file, '*\n');
}
