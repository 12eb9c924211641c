/** Makes snapshots of code folders (with additional includes) and of local data. Reads only; nothing is copied. */
import { createHash } from 'node:crypto';
import { readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import { snapshotHash, uploadId } from './hash.js';
import { IgnoreRules, readIgnore, toSlash } from './ignore.js';
import type { CodeSnapshot, LocalData, SnapshotFile } from './types.js';
import { single, walk } from './walk.js';

export interface CodeRequest {
  /** Absolute path of the code folder or file; absent when there are only includes. */
  code?: string;
  /** Absolute paths that are laid beside the code. */
  includes?: readonly string[];
  /** Lines that are ignored besides the folder's own rules. */
  alsoIgnore?: readonly string[];
}

/** The folder name of a snapshot that has additional includes. */
const MERGED = 'code_with_additional_includes';

/** Lists and hashes code. Errors: those of the file system; an empty list of files is the caller's to refuse. */
export async function codeSnapshot(request: CodeRequest, signal?: AbortSignal): Promise<CodeSnapshot> {
  const { code, includes = [], alsoIgnore = [] } = request;
  let files: SnapshotFile[];
  let folder: string;
  if (includes.length > 0) {
    files = merged(code, includes, alsoIgnore);
    folder = MERGED;
  } else if (code !== undefined && statSync(code).isDirectory()) {
    files = walk(code, readIgnore(code, alsoIgnore)).files;
    folder = path.basename(code);
  } else {
    files = code === undefined ? [] : [single(code)];
    folder = '';
  }
  const hash = await snapshotHash(files, signal);
  const key = createHash('sha256')
    .update(JSON.stringify([code, includes, alsoIgnore, hash]))
    .digest('hex');
  return { key, folder, files, bytes: total(files), hash, hashVersion: '202208' };
}

/** Local data, by default without what the folder's ignore file names. `digest` gives the id only when the caller needs no listing. */
export async function localData(target: string, signal?: AbortSignal): Promise<LocalData> {
  const isFolder = statSync(target).isDirectory();
  const rules = isFolder ? readIgnore(target) : new IgnoreRules([]);
  const files = isFolder ? walk(target, rules).files : [single(target)];
  return {
    kind: isFolder ? 'folder' : 'file',
    path: target,
    name: path.basename(target),
    id: await uploadId(target, rules, signal),
    files,
    bytes: total(files),
  };
}

function total(files: readonly SnapshotFile[]): number {
  return files.reduce((sum, file) => sum + file.size, 0);
}

interface Layer {
  base: string;
  rules: IgnoreRules;
}

/** Code and includes laid over each other, later ones winning; each folder's own ignore file counts from there down. */
function merged(code: string | undefined, includes: readonly string[], extra: readonly string[]): SnapshotFile[] {
  const files = new Map<string, SnapshotFile>();
  let rootRules = new IgnoreRules(extra);
  if (code !== undefined) {
    if (statSync(code).isDirectory()) {
      rootRules = readIgnore(code, extra);
      lay(code, '', [{ base: code, rules: rootRules }], extra, files, true);
    } else files.set(path.basename(code), single(code));
  }
  for (const include of includes) {
    lay(include, path.basename(include), [{ base: path.dirname(include), rules: rootRules }], extra, files, false);
  }
  // What the merged folder's own ignore file leaves out: the code's, unless an include brought one.
  const own = files.get('.amlignore') ?? files.get('.gitignore');
  const final = own ? readIgnore(path.dirname(own.path), extra) : new IgnoreRules(extra);
  return [...files.values()].filter((file) => !final.ignores(file.name));
}

function lay(
  source: string,
  name: string,
  layers: Layer[],
  extra: readonly string[],
  files: Map<string, SnapshotFile>,
  root: boolean,
): void {
  const out = layers.some(({ base, rules }) => rules.ignores(toSlash(path.relative(base, source))));
  if (out) return;
  const stat = statSync(source, { throwIfNoEntry: false });
  if (!stat) return;
  if (stat.isFile()) {
    files.set(name, { path: source, name, size: stat.size, mtimeMs: stat.mtimeMs });
    return;
  }
  if (!stat.isDirectory() || layers.length > 200) return;
  const inner = root ? layers : [...layers, { base: source, rules: readIgnore(source, extra) }];
  for (const entry of readdirSync(source))
    lay(path.join(source, entry), name === '' ? entry : `${name}/${entry}`, inner, extra, files, false);
}
