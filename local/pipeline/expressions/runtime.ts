/** Runtime expressions: conditions of stages, jobs and steps, and `$[ ]` of variables. */
import type { RuntimeContext, RuntimeSlot } from './types.js';

export type { DependencyFacts, NodeResult, RuntimeContext, RuntimeSlot } from './types.js';

/**
 * Decides whether a stage, job or step runs.
 * @param _text the condition as expanded; empty or absent means `succeeded()`
 * @throws ExpressionError: the service abandons a stage or job whose condition throws, and fails a step
 */
export function evaluateCondition(_text: string | undefined, _slot: RuntimeSlot, _context: RuntimeContext): boolean {
  throw new Error('being written');
}

/** The value of a variable whose text is exactly one `$[ … ]`; any other text is returned as it is. Null becomes ''. */
export function evaluateRuntime(_text: string, _slot: RuntimeSlot, _context: RuntimeContext): string {
  throw new Error('being written');
}
