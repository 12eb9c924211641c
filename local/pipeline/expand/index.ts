/** The expander's front door. The runner and the linter use this and `../expressions/runtime.ts`, nothing deeper. */
import type { ExpandedPipeline, ExpandOptions } from './types.js';

export * from './types.js';

/**
 * Expands a pipeline as the service does.
 * @param _entry path of the entry file, relative to `options.root` (or absolute inside it)
 * @throws PipelineError with the service's own messages
 */
export function expandPipeline(_entry: string, _options: ExpandOptions): ExpandedPipeline {
  throw new Error('being written');
}
