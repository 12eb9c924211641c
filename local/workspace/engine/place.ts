/** Where the engine works, and the temporary folder of each job process: nothing of either outlives the workspace. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** Paths go into command lines as they are (the service's have no blanks either). */
const plain = /^[\w@%+=:,./\\-]+$/;
const elsewhere = 'amlops-engine-';
const removal = { recursive: true, force: true, maxRetries: 3 };

export interface Place {
  folder: string;
  /** Removes it where it lies outside the state folder. */
  close(): void;
}

/**
 * The engine's folder: the state folder's, or a fresh one of the system's temporary folder where the state folder has odd characters. The
 * fresh one is nobody else's (its name cannot be guessed), is noted in the state folder and removed: at the end, or by the next start.
 */
export function enginePlace(state: string): Place {
  if (plain.test(state)) return { folder: state, close: () => undefined };
  const note = join(state, 'elsewhere');
  const before = existsSync(note) ? readFileSync(note, 'utf8') : '';
  if (basename(before).startsWith(elsewhere) && dirname(before) === tmpdir()) rmSync(before, removal);
  const folder = mkdtempSync(join(tmpdir(), elsewhere));
  mkdirSync(state, { recursive: true });
  writeFileSync(note, folder);
  return {
    folder,
    close: () => {
      rmSync(folder, removal);
      rmSync(note, removal);
    },
  };
}

/** Room for `/pymp-12345678/listener-12345678` and the like: the path of a Unix socket holds 104 characters. */
const longest = 70;

/**
 * A fresh temporary folder for one job process, to be removed with it: a compute node's is wiped too. Its path is short, because programs
 * put Unix sockets into it; where the engine's folder is long already, it lies in the system's.
 */
export function jobTemp(folder: string): string {
  const near = jobTemps(folder);
  if (near.length + 7 > longest) return mkdtempSync(join(tmpdir(), 'amlops-job-'));
  mkdirSync(near, { recursive: true });
  return mkdtempSync(`${near}/`);
}

/** The folder of all job processes' temporary folders, which a killed workspace leaves behind. */
export const jobTemps = (folder: string): string => join(folder, 't');
