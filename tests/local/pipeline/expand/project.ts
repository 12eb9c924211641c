/** A repository of a few files in a temporary folder, for tests of the expander. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import {
  type ExpandedPipeline,
  type ExpandOptions,
  expandPipeline,
  PipelineError,
} from '../../../../local/pipeline/expand/index.js';

export type Files = Record<string, string>;

/** Writes the files, runs `action` on the folder and removes it. */
export function withFiles<T>(files: Files, action: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), 'pipeline-'));
  try {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(folder, path)), { recursive: true });
      writeFileSync(join(folder, path), text);
    }
    return action(folder);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Expands `pipeline.yml` of the files. Folders named `@alias` are repositories. */
export function expand(files: Files | string, options: Omit<ExpandOptions, 'root'> = {}): ExpandedPipeline {
  const all = typeof files === 'string' ? { 'pipeline.yml': files } : files;
  return withFiles(all, (root) => {
    const aliases = [
      ...new Set(
        Object.keys(all)
          .filter((path) => path.startsWith('@'))
          .map((path) => path.split('/')[0]?.slice(1) ?? ''),
      ),
    ];
    const repositories = Object.fromEntries(aliases.map((alias) => [alias, join(root, `@${alias}`)]));
    return expandPipeline('pipeline.yml', { root, repositories, ...options });
  });
}

/** The joined messages of an expansion that must fail. */
export function refusal(files: Files | string, options: Omit<ExpandOptions, 'root'> = {}): string {
  try {
    expand(files, options);
  } catch (error) {
    if (error instanceof PipelineError) return error.message;
    throw error;
  }
  throw new Error('it expanded');
}
