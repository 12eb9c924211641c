/** What may be laid beside a component's code (reference azure-ml-rest §1.4; the client's own checks). */
import { lstatSync } from 'node:fs';
import path from 'node:path';
import { folderToZip } from '../snapshot/archive.js';
import type { Context } from './context.js';
import { realPath, statOf } from './context.js';
import type { Place } from './problems.js';

/** Where an additional include really lies. A folder to zip is named by a file that is not there: only the way to it is followed. */
export function includePath(base: string, text: string): string {
  const there = realPath(base, text);
  return text.endsWith('.zip') && !statOf(there) ? path.join(realPath(base, path.dirname(text)), path.basename(text)) : there;
}

/** In: where an additional include really lies, its text, the code's folder. Problems: not there, or its place in the code is taken. */
export function checkInclude(
  context: Context,
  include: string,
  text: string,
  codeFolder: string | undefined,
  place: Place,
): void {
  if (!statOf(include) && folderToZip(include) === undefined) {
    const accepted = "a file or folder of the checkout, or a folder's name with .zip";
    context.problems.add(place, `The additional include ${JSON.stringify(text)} does not exist.`, accepted);
  } else if (codeFolder !== undefined && clashes(path.join(codeFolder, path.basename(include)), include)) {
    context.problems.add(place, `The additional include ${JSON.stringify(text)} has the name of something in the code folder.`);
  }
}

/** Whether something else has the include's place in the code: a link to the include itself may stand there. */
function clashes(there: string, include: string): boolean {
  const stat = lstatSync(there, { throwIfNoEntry: false });
  return stat !== undefined && !(stat.isSymbolicLink() && realPath(path.dirname(there), path.basename(there)) === include);
}
