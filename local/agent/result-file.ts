/** The file of `amlops task --result` (design §4); kept files lie in a folder beside it. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { TaskRunResult } from './types.js';

/** Folder for the attachments, summaries and artifacts of a result file; emptied, because it belongs to one run. */
export function resultFiles(file: string): string {
  const folder = `${resolve(file).replace(/\.json$/i, '')}.files`;
  rmSync(folder, { recursive: true, force: true });
  return folder;
}

/** Writes the result. Values of secret outputs are not written; other text passes `hide`, which keeps secrets that leaked into it out of the file. */
export function writeResult(file: string, result: TaskRunResult, hide: (text: string) => string): void {
  const close = (values: TaskRunResult['outputVariables']): TaskRunResult['outputVariables'] =>
    Object.fromEntries(
      Object.entries(values).map(([name, { value, isSecret }]) => [name, { value: isSecret ? '***' : value, isSecret }]),
    );
  mkdirSync(dirname(resolve(file)), { recursive: true });
  const shown = { ...result, outputVariables: close(result.outputVariables), variables: close(result.variables) };
  writeFileSync(
    file,
    `${JSON.stringify(shown, (_key, value: unknown) => (typeof value === 'string' ? hide(value) : value), 2)}\n`,
  );
}
