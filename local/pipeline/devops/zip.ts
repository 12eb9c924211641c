/** An artifact as the one file that the service hands out. */
import { readdir } from 'node:fs/promises';
import { join, sep } from 'node:path';
import AdmZip from 'adm-zip';

/** @returns a zip with everything below `folder`, inside a folder called `name` */
export async function zipFolder(folder: string, name: string): Promise<Buffer> {
  const zip = new AdmZip();
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const below = entry.parentPath.slice(folder.length).split(sep).filter(Boolean);
    zip.addLocalFile(join(entry.parentPath, entry.name), [name, ...below].join('/'));
  }
  return zip.toBuffer();
}
