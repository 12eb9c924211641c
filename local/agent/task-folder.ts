/** From a VSIX or a built folder to the task's own folder below `_work/_tasks`, as the agent unpacks it (task-contract B.2). */
import { createHash } from 'node:crypto';
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative, sep } from 'node:path';
import AdmZip from 'adm-zip';
import { Failure } from '../../src/azure/errors.js';
import { checkDefinition, type TaskDefinition } from './task-definition.js';

export interface UnpackedTask {
  folder: string;
  definition: TaskDefinition;
  /** Changes when anything in the folder does. */
  fingerprint: string;
}

interface Found {
  definition: TaskDefinition;
  /** Its task.json, for messages. */
  where: string;
  /** Puts the task's files into a folder. */
  copyTo: (folder: string) => void;
}

const howToName =
  "Give a VSIX (`npm run package`), a task's folder with its task.json, or a folder of such folders (`npm run build`).";

/** What is not there, cannot be read or is broken, by its file; what is told already stays as it is. */
function reading<Value>(file: string, what: string, read: () => Value): Value {
  try {
    return read();
  } catch (error) {
    if (error instanceof Failure) throw error;
    const message = `${file} ${what}: ${(error as Error).message}`;
    throw new Failure(message, { code: 'TaskInvalid', file, advice: howToName, cause: error });
  }
}

/** A task.json, so far as finding it needs: `checkDefinition` says the rest. */
function parseDefinition(text: () => string, where: string): TaskDefinition {
  const source = reading(where, 'cannot be read', text);
  const json = reading(where, 'is not JSON', () => JSON.parse(source.replace(/^\uFEFF/, '')) as Partial<TaskDefinition> | null);
  const has = {
    name: typeof json?.name === 'string',
    id: typeof json?.id === 'string',
    version: json?.version instanceof Object,
  };
  const lacks = Object.entries(has).flatMap(([key, there]) => (there ? [] : [key]));
  if (lacks.length === 0) return json as TaskDefinition;
  throw new Failure(`${where} is no task.json: it has no ${lacks.join(', no ')}.`, {
    code: 'TaskInvalid',
    file: where,
    advice: howToName,
  });
}

function inVsix(file: string): Found[] {
  const entries = reading(file, 'is not a VSIX', () => new AdmZip(file).getEntries().filter((entry) => !entry.isDirectory));
  return entries
    .filter((entry) => posix.basename(entry.entryName) === 'task.json')
    .map((entry) => {
      const root = posix.dirname(entry.entryName);
      const where = `${file}!/${entry.entryName}`;
      return {
        where,
        definition: parseDefinition(() => entry.getData().toString('utf8'), where),
        copyTo: (folder) => {
          for (const member of entries) {
            const path = posix.relative(
              root,
              reading(file, 'is damaged', () => decodeURI(member.entryName)),
            );
            // What leaves the folder belongs to another task, or is an attack (zip-slip).
            if (path.startsWith('..') || posix.isAbsolute(path) || path.includes('\\')) continue;
            const target = join(folder, ...path.split('/'));
            mkdirSync(dirname(target), { recursive: true });
            writeFileSync(
              target,
              reading(file, `is damaged: ${member.entryName}`, () => member.getData()),
            );
          }
        },
      };
    });
}

function inFolder(folder: string): Found[] {
  const roots = existsSync(join(folder, 'task.json'))
    ? [folder]
    : readdirSync(folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, 'task.json')))
        .map((entry) => join(folder, entry.name));
  const where = (root: string): string => join(root, 'task.json');
  return roots.map((root) => ({
    where: where(root),
    definition: parseDefinition(() => readFileSync(where(root), 'utf8'), where(root)),
    copyTo: (target) => cpSync(root, target, { recursive: true, dereference: true }),
  }));
}

/** Size, time and place of every file: a task that writes beside its own code is seen. */
export function fingerprintFolder(folder: string): string {
  const hash = createHash('sha256');
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).map((entry) => join(entry.parentPath, entry.name));
  for (const file of files.sort()) {
    const info = statSync(file);
    hash.update(`${relative(folder, file).split(sep).join('/')}\t${info.isFile() ? `${info.size}\t${info.mtimeMs}` : 'd'}\n`);
  }
  return hash.digest('hex');
}

/** Read-only or writable again; a no-op where the file system does not know it. */
export function setWritable(folder: string, writable: boolean): void {
  if (!existsSync(folder)) return;
  const folders = [folder];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isDirectory()) folders.push(path);
    else if (entry.isFile()) chmodSync(path, writable ? 0o644 : 0o444);
  }
  for (const path of folders) chmodSync(path, writable ? 0o755 : 0o555);
}

/** `RunAmlPipeline`, `RunAmlPipeline@1`, `publisher.extension.contribution.RunAmlPipeline@1` or the id. */
function matches(definition: TaskDefinition, wanted: string): boolean {
  const [name = '', major] = wanted.toLowerCase().split('@');
  if (major !== undefined && major.split('.')[0] !== String(definition.version.Major)) return false;
  return [definition.name.toLowerCase(), definition.id.toLowerCase()].includes(name.slice(name.lastIndexOf('.') + 1));
}

/** The task of that name. Errors: Failure `TaskUnknown`, `TaskInvalid`. */
function findTask(from: string, name: string | undefined): Found {
  if (!existsSync(from)) {
    throw new Failure(`There is no task at ${from}.`, {
      code: 'TaskUnknown',
      file: from,
      advice: 'Run `npm run build` (folder) or `npm run package` (VSIX) first.',
    });
  }
  const all = statSync(from).isDirectory() ? inFolder(from) : inVsix(from);
  const found = name === undefined ? all : all.filter(({ definition }) => matches(definition, name));
  const [task, second] = found;
  if (task && !second) return task;
  const full = ({ definition }: Found): string => `${definition.name}@${definition.version.Major}`;
  if (task && name !== undefined) {
    const several = new Set(found.map(full));
    const places = found.map(({ where }) => where).join(', ');
    throw new Failure(`${from} holds ${found.length} tasks ${name}: ${places}.`, {
      code: 'TaskUnknown',
      file: from,
      advice:
        several.size === found.length ? `Say which: ${[...several].join(' or ')}.` : 'Name the folder of the one that is meant.',
    });
  }
  const known = all.map(full).join(', ') || 'none';
  throw new Failure(`${from} holds no task ${name ?? '(name one)'}; there are: ${known}.`, {
    code: 'TaskUnknown',
    file: from,
    ...(all.length === 0 ? { advice: howToName } : {}),
  });
}

/** task.json of a task in a VSIX or folder. Errors as of `unpackTask`. */
export const readDefinition = (from: string, name: string | undefined): TaskDefinition => findTask(from, name).definition;

/**
 * Finds a task in a VSIX, a task's folder or a folder of tasks, checks its task.json and unpacks it read-only. A task that is there
 * already in this version is used as it is, as by the agent; then it must not have been touched since.
 * Errors: Failure `TaskInvalid`, `TaskUnknown`.
 */
export function unpackTask(from: string, name: string | undefined, tasksFolder: string): UnpackedTask {
  const task = findTask(from, name);
  const { definition } = task;
  const { Major, Minor, Patch } = definition.version ?? {};
  const folder = join(tasksFolder, `${definition.name}_${definition.id}`, `${Major}.${Minor}.${Patch}`);
  const watermark = `${folder}.completed`;
  if (!existsSync(watermark)) {
    mkdirSync(folder, { recursive: true });
    task.copyTo(folder);
    const wrong = checkDefinition(definition, folder);
    if (wrong.length) {
      throw new Failure(`The task ${definition.name} is not valid:\n${wrong.map((line) => `  ${line}`).join('\n')}`, {
        code: 'TaskInvalid',
        file: from,
      });
    }
    setWritable(folder, false);
    writeFileSync(watermark, fingerprintFolder(folder));
  }
  return { folder, definition, fingerprint: readFileSync(watermark, 'utf8') };
}
