/** What may be laid beside a component's code (reference azure-ml-rest §1.4; the client's own checks). */
import { lstatSync } from 'node:fs';
import path from 'node:path';
import type { Context } from './context.js';
import { realPath, statOf } from './context.js';
import type { Place } from './problems.js';

/** In: where an additional include really lies, its text, the code's folder. Problems: not there, or its place in the code is taken. */
export function checkInclude(
  context: Context,
  include: string,
  text: string,
  codeFolder: string | undefined,
  place: Place,
): void {
  if (!statOf(include)) {
    const zipped = include.endsWith('.zip') && statOf(include.slice(0, -4))?.isDirectory();
    context.problems.add(
      place,
      zipped
        ? `The additional include ${JSON.stringify(text)} asks for a zip of a folder; that is not built.`
        : `The additional include ${JSON.stringify(text)} does not exist.`,
      'a file or folder of the checkout',
    );
  } else if (codeFolder !== undefined && clashes(path.join(codeFolder, path.basename(include)), include)) {
    context.problems.add(place, `The additional include ${JSON.stringify(text)} has the name of something in the code folder.`);
  }
}

/** Whether something else has the include's place in the code: a link to the include itself may stand there. */
function clashes(there: string, include: string): boolean {
  const stat = lstatSync(there, { throwIfNoEntry: false });
  return stat !== undefined && !(stat.isSymbolicLink() && realPath(path.dirname(there), path.basename(there)) === include);
}
