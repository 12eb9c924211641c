/** File patterns of the agent's tasks: `*` and `?` within a name, `**` across folders, `!` takes away; one a line. */
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

export function patternToRegExp(pattern: string): RegExp {
  const text = pattern.replaceAll('\\', '/').replace(/^\.\//, '');
  let source = '';
  for (let index = 0; index < text.length; index += 1) {
    if (text.startsWith('**/', index)) {
      source += '(?:[^/]+/)*';
      index += 2;
    } else if (text.startsWith('**', index)) {
      source += '.*';
      index += 1;
    } else if (text[index] === '*') source += '[^/]*';
    else if (text[index] === '?') source += '[^/]';
    else source += (text[index] ?? '').replace(/[.+^${}()|[\]\\]/g, '\\$&');
  }
  return new RegExp(`^${source}$`);
}

/** Files below `folder` that the patterns choose, sorted, relative with `/`. A folder's name chooses what is in it. */
export async function findFiles(folder: string, patterns: string[]): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name)
        .slice(folder.length + 1)
        .replaceAll('\\', '/'),
    );
  const chosen = new Set<string>();
  for (const raw of patterns.map((line) => line.trim()).filter((line) => line && !line.startsWith('#'))) {
    const exclude = raw.startsWith('!');
    const pattern = patternToRegExp(exclude ? raw.slice(1) : raw);
    for (const file of files)
      if (pattern.test(file))
        if (exclude) chosen.delete(file);
        else chosen.add(file);
  }
  return [...chosen].sort();
}
