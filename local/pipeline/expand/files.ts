/** Files of repositories: how a template reference becomes a path, and reading (sheet azure-pipelines-yaml 1.1). */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, resolve, sep } from 'node:path';
import { readYaml } from '../yaml/read.js';
import { type Context, limits, type SourceFile } from './context.js';
import type { Position } from './types.js';

/**
 * Resolves a reference such as `../steps/x.yml`, `/stages/x.yml@aml` or `x.yml`. Without an alias the path stays in the
 * repository of the including file; crossing into another one starts at that repository's root.
 * @returns undefined after a mistake that has been reported
 */
export function locate(
  context: Context,
  reference: string,
  from: SourceFile,
  place: Position,
): { repository: string; path: string } | undefined {
  const at = reference.indexOf('@');
  const alias = at < 0 ? undefined : reference.slice(at + 1);
  const repository = alias === undefined ? from.repository : alias === '' ? 'self' : alias.toLowerCase();
  if (repository !== 'self' && !context.repositories.has(repository)) {
    context.error(place, `No repository found by name ${alias ?? repository}`);
    return undefined;
  }
  const written = (at < 0 ? reference : reference.slice(0, at)).replaceAll('\\', '/');
  // the folder of a file at the root is `/`, and messages show what was joined: `//../x.yml`
  const folder = from.path.slice(0, from.path.lastIndexOf('/')) || '/';
  const full = written.startsWith('/') ? written : `${repository === from.repository ? folder : ''}/${written}`;
  const parts: string[] = [];
  for (const part of full.split('/')) {
    if (part === '..' && parts.pop() === undefined) {
      context.error(place, `The file path ${full} is invalid`);
      return undefined;
    }
    if (part !== '' && part !== '.' && part !== '..') parts.push(part);
  }
  return { repository, path: `/${parts.join('/')}` };
}

/** Reads a file once. Its mistakes are reported where they are. @returns undefined after a mistake */
export function load(
  context: Context,
  found: { repository: string; path: string },
  place: Position | undefined,
  extended: boolean,
): SourceFile | undefined {
  const { repository, path } = found;
  const key = `${repository}:${path}`;
  const known = context.files.get(key);
  if (known !== undefined) return known ?? undefined;
  const declared = context.repositories.get(repository);
  const folder = folderOf(context, repository);
  if (folder === undefined) {
    context.error(
      place,
      `The content of repository ${declared?.alias ?? repository} is not known here. Name the folder that holds it: --repository ${declared?.alias ?? repository}=DIR`,
    );
    return undefined;
  }
  const location = join(resolve(folder), ...path.split('/'));
  if (!isFileInside(folder, location)) {
    const name = declared ? declared.name : 'self';
    context.error(place, `File ${path} not found in repository ${name} branch ${declared?.ref ?? 'local'} version local.`);
    return undefined;
  }
  if (context.files.size >= limits.files) {
    context.limit(`No more than ${limits.files} YAML files may be used.`, place);
  }
  const name = repository === 'self' ? path : `${path}@${declared?.alias ?? repository}`;
  const { root, messages } = readYaml(readFileSync(location, 'utf8'), name);
  const file: SourceFile = { repository, path, name, root };
  context.files.set(key, messages.length > 0 ? null : file);
  context.used.push({ repository: declared?.alias ?? 'self', path, location, extended });
  context.messages.push(...messages);
  return messages.length > 0 ? undefined : file;
}

function folderOf(context: Context, repository: string): string | undefined {
  if (repository === 'self') return context.options.root;
  const given = Object.entries(context.options.repositories ?? {});
  return given.find(([alias]) => alias.toLowerCase() === repository)?.[1];
}

/** A link may not lead out of the repository. */
function isFileInside(folder: string, location: string): boolean {
  if (!existsSync(location) || !statSync(location).isFile()) return false;
  const root = realpathSync(folder);
  return realpathSync(location).startsWith(root.endsWith(sep) ? root : root + sep);
}
