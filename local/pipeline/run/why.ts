/** Why a stage or job did not run, in words. */
import type { DependencyFacts } from '../expressions/types.js';

/** In words, why a condition does not hold; without one a stage or job needs everything before it to succeed. */
export function whySkipped(condition: string | undefined, dependencies: Record<string, DependencyFacts>): string {
  const results = Object.entries(dependencies).map(([name, { result }]) => `${name}: ${result}`);
  const before = results.length > 0 ? ` (${results.join(', ')})` : '';
  return condition === undefined
    ? `What it waits for did not succeed${before}.`
    : `Its condition does not hold${before}: ${condition.trim()}`;
}
