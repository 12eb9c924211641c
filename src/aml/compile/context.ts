/** What the compilation of one job shares: problems, references to check, files already read. */
import { realpathSync, statSync, type Stats } from 'node:fs';
import path from 'node:path';
import type { CodeSnapshot, LocalData } from '../snapshot/types.js';
import type { YNode } from './document.js';
import { loadYaml } from './document.js';
import { Problems, type Place } from './problems.js';
import type { Reader } from './schema.js';
import type { Reference } from './types.js';

export class Context {
  readonly problems = new Problems();
  readonly references: Reference[] = [];
  /** Where the job asks to run on the machine that submits it. */
  local?: Place;
  /** Components being loaded, outermost first: a file that names itself again is a circle. */
  readonly loading: string[] = [];
  /** Work that reads files while the rest is compiled (hashing); awaited before anything is written. */
  readonly snapshots = new Map<string, Promise<CodeSnapshot | undefined>>();
  readonly uploads = new Map<string, Promise<LocalData | undefined>>();
  private readonly documents = new Map<string, YNode | undefined>();

  constructor(
    /** `/subscriptions/…/workspaces/{name}`. */
    readonly workspaceId: string,
    readonly signal?: AbortSignal,
  ) {}

  reader(base: string, bindings = false): Reader {
    return { problems: this.problems, base, bindings };
  }

  /** A YAML file, read once. */
  yaml(file: string, at?: Place): YNode | undefined {
    if (!this.documents.has(file)) this.documents.set(file, loadYaml(file, this.problems, at));
    return this.documents.get(file);
  }

  /** Waits for all hashing; its problems are then in `problems`. */
  async settle(): Promise<void> {
    for (;;) {
      const all = [...this.snapshots.values(), ...this.uploads.values()];
      await Promise.all(all);
      if (this.snapshots.size + this.uploads.size === all.length) return;
    }
  }
}

/** A path of a file against the folder of the file that says it; `file:` in front is allowed. */
export function resolvePath(base: string, text: string, paths: Pick<typeof path, 'isAbsolute' | 'resolve'> = path): string {
  const bare = localText(text, paths);
  return paths.isAbsolute(bare) ? paths.resolve(bare) : paths.resolve(base, bare);
}

/**
 * The same, with links followed on the way as Python's `Path.resolve()` does: code and data are called what they are called where they
 * really are, and `link/..` is the folder above the link's target. A path that does not exist stays as it is.
 */
export function realPath(base: string, text: string): string {
  const bare = localText(text, path);
  try {
    // Joined as text: path.join would take `link/..` away.
    return realpathSync.native(path.isAbsolute(bare) ? bare : `${base}${path.sep}${bare}`);
  } catch {
    return resolvePath(base, text);
  }
}

function localText(text: string, paths: Pick<typeof path, 'isAbsolute'>): string {
  // `file:///C:/x` names a drive of Windows, `file:///x` a path from the root.
  return text.startsWith('file:')
    ? text
        .slice(5)
        .replace(/^\/\/\/([A-Za-z]:[\\/])?/, (_, drive?: string) =>
          drive && paths.isAbsolute(drive) ? drive : `/${drive ?? ''}`,
        )
    : text;
}

/** What is at a path; undefined when nothing can be there (no such name, a name too long, a circle of links, no rights). */
export function statOf(file: string): Stats | undefined {
  try {
    return statSync(file, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
