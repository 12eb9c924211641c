/** What a run left beside its logs, copied to the report under names that a browser never runs. */
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileName } from '../devops/files.js';
import { e, placeOf, table, type View } from './report-parts.js';

/** Kinds that a browser shows or stores and never executes; anything else (HTML, SVG, XML, unknown) becomes text. */
const harmless = new Set(['.json', '.txt', '.csv', '.zip', '.gz', '.png', '.jpg', '.jpeg', '.gif', '.webp']);
/** Larger files of artifacts are named, not copied: the page is to be attached somewhere. */
const maxFile = 5 * 1024 * 1024;
const maxAll = 50 * 1024 * 1024;
const maxListed = 200;

const safeName = (name: string): string => (harmless.has(extname(name).toLowerCase()) ? name : `${name}.txt`);

function size(bytes: number): string {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1024 * 1024 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}

export async function attachmentRows(view: View): Promise<string> {
  const rows: string[] = [];
  for (const [index, attachment] of view.run.attachments.entries()) {
    const source = join(view.runFolder, attachment.path);
    if (attachment.type === 'Distributedtask.Core.Summary' || !existsSync(source)) continue;
    const name = safeName(`${index + 1}-${fileName(attachment.name)}`);
    await cp(source, join(view.folder, 'files', name));
    rows.push(
      `<tr><td><a href="files/${encodeURIComponent(name)}">${e(attachment.name)}</a></td><td>${e(attachment.type)}</td><td>${e(placeOf(view, attachment.recordId))}</td><td>${size((await stat(source)).size)}</td></tr>`,
    );
  }
  return table(['Name', 'Type', 'Step', 'Size'], rows);
}

export async function artifactRows(view: View): Promise<string> {
  const rows: string[] = [];
  let copied = 0;
  for (const artifact of view.run.artifacts) {
    const root = join(view.runFolder, artifact.path);
    if (!existsSync(root)) continue;
    const files = (await readdir(root, { recursive: true, withFileTypes: true }))
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
      .sort();
    for (const [index, file] of files.slice(0, maxListed).entries()) {
      const bytes = (await stat(join(root, file))).size;
      let shown = e(file.replaceAll('\\', '/'));
      if (bytes <= maxFile && copied + bytes <= maxAll) {
        copied += bytes;
        const folder = join('files', `artifact-${artifact.id}`);
        await mkdir(join(view.folder, folder), { recursive: true });
        const name = safeName(`${index + 1}-${fileName(file.split(/[\\/]/).at(-1) ?? 'file')}`);
        await cp(join(root, file), join(view.folder, folder, name));
        shown = `<a href="files/artifact-${artifact.id}/${encodeURIComponent(name)}">${shown}</a>`;
      }
      rows.push(
        `<tr><td>${index === 0 ? e(artifact.name) : ''}</td><td>${shown}</td><td>${size(bytes)}</td><td>${index === 0 ? e(placeOf(view, artifact.source)) : ''}</td></tr>`,
      );
    }
    if (files.length === 0) rows.push(`<tr><td>${e(artifact.name)}</td><td>(empty)</td><td></td><td></td></tr>`);
    if (files.length > maxListed)
      rows.push(`<tr><td></td><td>and ${files.length - maxListed} more files</td><td></td><td></td></tr>`);
  }
  return table(['Artifact', 'File', 'Size', 'Step'], rows);
}
