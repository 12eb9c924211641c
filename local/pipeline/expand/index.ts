/** The expander's front door. The runner and the linter use this and `../expressions/runtime.ts`, nothing deeper. */
export { expandPipeline } from './pipeline.js';
export { hookNames, jobEdges, jobName, outputKey, outputPrefix, stageEdges } from './graph.js';
export { stepLists } from './validate.js';
export * from './types.js';
