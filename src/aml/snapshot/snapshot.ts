/** Makes snapshots of code folders (with additional includes) and of local data. Reads only; nothing is copied. */
import { createHash } from 'node:crypto';
import { realpathSync, statSync } from 'node:fs';
import path from 'node:path';
import { folderToZip, zipOf } from './archive.js';
import { snapshotHash, uploadId } from './hash.js';
import { IgnoreRules, readIgnore, readIgnoreFile } from './ignore.js';
import type { CodeSnapshot, LocalData, SnapshotFile } from './types.js';
import { circles, entriesOf, inCircle, nowhere, single, statAt, unreadable, walk } from './walk.js';

export interface CodeRequest {
  /** Absolute path of the code folder or file; absent when there are only includes. */
  code?: string;
  /** Absolute paths that are laid beside the code; `x/lib.zip` where only the folder `x/lib` is: that folder as a zip. */
  includes?: readonly string[];
  /** Code of a component: `__pycache__` is left out too, and patterns are relative to the code's path as it is written. */
  component?: {
    /** Folder of the component's file. Without code its own ignore file counts for the includes. */
    base: string;
    /** Absolute path of the code as it is written, links not followed. */
    written?: string;
  };
}

/** What components leave out besides what the ignore file says. */
const COMPONENT_IGNORES = ['__pycache__'];

/** The folder name of a snapshot that has additional includes. */
const MERGED = 'code_with_additional_includes';

/**
 * What a component's patterns are relative to: its code as it is written. A drive of Windows may stand for another place (`subst`, a share), and
 * from one drive to another no path is relative: then where the code really lies.
 */
export function patternBase(written: string, real: string, paths: Pick<typeof path, 'parse'> = path): string {
  return paths.parse(written).root.toLowerCase() === paths.parse(real).root.toLowerCase() ? written : real;
}

/** Lists and hashes code. Errors: those of the file system; an empty list of files is the caller's to refuse. */
export async function codeSnapshot(request: CodeRequest, signal?: AbortSignal): Promise<CodeSnapshot> {
  const { code, includes = [], component } = request;
  let found: { files: SnapshotFile[]; warnings: string[] };
  let folder: string;
  if (includes.length > 0) {
    found = await merged(request, includes, signal);
    folder = MERGED;
  } else if (code !== undefined && statSync(code).isDirectory()) {
    const rules = readIgnore(
      code,
      component ? { extra: COMPONENT_IGNORES, base: patternBase(component.written ?? code, code) } : {},
    );
    const { files, warnings } = walk(code, rules);
    found = { files, warnings: [...rules.warnings, ...warnings] };
    folder = path.basename(code);
  } else {
    found = { files: code === undefined ? [] : [single(code)], warnings: [] };
    folder = '';
  }
  const { files, warnings } = found;
  const hash = await snapshotHash(files, signal);
  const key = createHash('sha256')
    .update(JSON.stringify([code, includes, component !== undefined, hash]))
    .digest('hex');
  return { key, folder, files, bytes: total(files), hash, hashVersion: '202208', warnings };
}

/** Local data, by default without what the folder's ignore file names. `digest` gives the id only when the caller needs no listing. */
export async function localData(target: string, signal?: AbortSignal): Promise<LocalData> {
  const isFolder = statSync(target).isDirectory();
  const rules = isFolder ? readIgnore(target) : new IgnoreRules([]);
  const { files, warnings } = isFolder ? walk(target, rules) : { files: [single(target)], warnings: [] };
  return {
    kind: isFolder ? 'folder' : 'file',
    path: target,
    name: path.basename(target),
    id: await uploadId(target, rules, files, signal),
    files,
    bytes: total(files),
    warnings: [...rules.warnings, ...warnings],
  };
}

function total(files: readonly SnapshotFile[]): number {
  return files.reduce((sum, file) => sum + file.size, 0);
}

interface Layer {
  base: string;
  rules: IgnoreRules;
}

interface Laid {
  files: Map<string, SnapshotFile>;
  warnings: string[];
}

/** Code and includes laid over each other, later ones winning; each folder's own ignore file counts from there down. */
async function merged(
  { code, component }: CodeRequest,
  includes: readonly string[],
  signal?: AbortSignal,
): Promise<{ files: SnapshotFile[]; warnings: string[] }> {
  const laid: Laid = { files: new Map(), warnings: [] };
  const extra = COMPONENT_IGNORES;
  let root = new IgnoreRules(extra);
  if (code === undefined) {
    if (component) root = readIgnore(component.base, { extra });
  } else if (statSync(code).isDirectory()) {
    root = readIgnore(code, { extra });
    lay(code, '', [{ base: code, rules: root }], laid, []);
  } else laid.files.set(path.basename(code), single(code));
  laid.warnings.push(...root.warnings);
  for (const include of includes) {
    const folder = folderToZip(include);
    if (folder !== undefined) {
      laid.files.set(path.basename(include), await zipped(folder, root, laid, signal));
      continue;
    }
    const layers = [{ base: path.dirname(include), rules: root }];
    lay(include, path.basename(include), statSync(include).isDirectory() ? own(include, layers, laid) : layers, laid, []);
  }
  // What the merged folder's own ignore file leaves out: the code's, unless an include brought one.
  const file = laid.files.get('.amlignore') ?? laid.files.get('.gitignore');
  const final = file ? readIgnoreFile(file.path, { extra }) : new IgnoreRules(extra);
  return {
    files: [...laid.files.values()].filter((each) => !final.ignores(each.name)),
    warnings: [...new Set([...laid.warnings, ...final.warnings])],
  };
}

/** A folder as a zip: its own rules count, and the code's as if they lay beside it; not those of folders in it. */
async function zipped(folder: string, root: IgnoreRules, laid: Laid, signal?: AbortSignal): Promise<SnapshotFile> {
  const rules = readIgnore(folder, { extra: COMPONENT_IGNORES, base: folder });
  const { files, warnings } = walk(folder, rules);
  laid.warnings.push(...rules.warnings, ...warnings);
  const sent = files.filter((file) => !root.ignores(root.relative(file.path, path.dirname(folder))));
  return zipOf(folder, sent, signal);
}

/** A folder's own rules before those of the folders around it. */
function own(folder: string, layers: Layer[], laid: Laid): Layer[] {
  const rules = readIgnore(folder, { extra: COMPONENT_IGNORES });
  laid.warnings.push(...rules.warnings);
  return [...layers, { base: folder, rules }];
}

/** `layers`: the rules that count here, a folder's own among them (it is `.` to those: `*` in it leaves the folder out). */
function lay(source: string, name: string, layers: Layer[], laid: Laid, above: readonly string[]): void {
  const hidden = layers.find(({ base, rules }) => rules.ignores(rules.relative(source, base)));
  if (hidden) {
    if (hidden.base === source) {
      laid.warnings.push(
        `The ignore file of ${source} leaves the whole folder out (a pattern as * or .* counts for the folder itself here).`,
      );
    }
    return;
  }
  const stat = statAt(source, true);
  if (stat?.isFile()) laid.files.set(name, { path: source, name, size: stat.size, mtimeMs: stat.mtimeMs });
  if (!stat) laid.warnings.push(nowhere(source));
  if (!stat?.isDirectory()) return;
  const real = realpathSync(source);
  if (circles(real, above)) {
    laid.warnings.push(inCircle(source));
    return;
  }
  const entries = entriesOf(source);
  if (!entries) laid.warnings.push(unreadable(source));
  for (const entry of entries ?? []) {
    const full = path.join(source, entry.name);
    const isFolder = entry.isDirectory() || (entry.isSymbolicLink() && statAt(full, true)?.isDirectory());
    // What one layer leaves out stays out: an ignored folder is not entered, nor is its own ignore file read.
    const isOut = ({ base, rules }: Layer): boolean => {
      const match = rules.relative(full, base);
      return rules.ignores(match) || rules.prunes(match);
    };
    if (isFolder && layers.some(isOut)) continue;
    lay(full, name === '' ? entry.name : `${name}/${entry.name}`, isFolder ? own(full, layers, laid) : layers, laid, [
      ...above,
      real,
    ]);
  }
}
