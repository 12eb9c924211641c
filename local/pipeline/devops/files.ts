/** JSON files that are replaced as a whole, and ids made from names. */
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, rename, writeFile } from 'node:fs/promises';
import { Failure } from '../../../src/azure/errors.js';

export async function readJson<T>(path: string): Promise<T | undefined> {
  if (!existsSync(path)) return undefined;
  try {
    return JSON.parse(await readFile(path, 'utf8')) as T;
  } catch (error) {
    throw new Failure(`${path} cannot be read: ${(error as Error).message}`, {
      code: 'StateUnreadable',
      file: path,
      advice: 'Move the folder away to start with an empty local Azure DevOps.',
      cause: error,
    });
  }
}

/** A reader sees the old file or the new one. */
export async function writeJson(path: string, value: unknown): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(aside, JSON.stringify(value));
  await rename(aside, path);
}

/** A GUID that is the same for the same names. */
export function guid(...names: (string | number)[]): string {
  const hex = createHash('sha256').update(names.map(String).join('\n').toLowerCase()).digest('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-5${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** One part of a path, made from any text. */
export function fileName(text: string): string {
  const plain = text
    .replace(/[^A-Za-z0-9._-]/g, '_')
    .replace(/^\.+/, '_')
    .slice(0, 120);
  return plain === text ? plain : `${plain}-${createHash('sha256').update(text).digest('hex').slice(0, 8)}`;
}

export const isoNow = (): string => new Date().toISOString();
