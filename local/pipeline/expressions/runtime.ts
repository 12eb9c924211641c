/** Runtime expressions: conditions of stages, jobs and steps, and `$[ ]` of variables (sheet azure-pipelines-yaml 1.3 and 1.4). */
import { checkNames, checkSyntax, evaluateParsed, type Scope } from './evaluate.js';
import { counterFunction, type FunctionDefinition, type Thunk } from './functions.js';
import type { DependencyFacts, NodeResult, RuntimeContext, RuntimeSlot } from './types.js';
import { fromData, ObjectValue, toBoolean, toText, type Value } from './values.js';

export type { DependencyFacts, NodeResult, RuntimeContext, RuntimeSlot } from './types.js';
export { ExpressionError } from './values.js';

const names: Record<RuntimeSlot, readonly string[]> = {
  rootVariable: ['variables', 'resources', 'pipeline'],
  jobVariable: ['variables', 'dependencies', 'stagedependencies', 'pipeline', 'resources'],
  stageCondition: ['variables', 'dependencies', 'stagedependencies', 'pipeline'],
  jobCondition: ['variables', 'dependencies', 'stagedependencies', 'pipeline'],
  stepCondition: ['variables'],
};

/**
 * Decides whether a stage, job or step runs.
 * @param text the condition as expanded; empty or absent means `succeeded()`
 * @throws ExpressionError: the service abandons a stage or job whose condition throws, and fails a step
 */
export function evaluateCondition(text: string | undefined, slot: RuntimeSlot, context: RuntimeContext): boolean {
  const condition = text === undefined || text.trim() === '' ? 'succeeded()' : unwrap(text);
  const scope = scopeOf(slot, context);
  return toBoolean(evaluateParsed(checkSyntax(condition, scope.functions), scope));
}

/** The value of a variable whose text is exactly one `$[ … ]`; any other text is returned as it is. Null becomes ''. */
export function evaluateRuntime(text: string, slot: RuntimeSlot, context: RuntimeContext): string {
  if (!isRuntimeExpression(text)) return text;
  const scope = scopeOf(slot, context);
  return toText(evaluateParsed(checkSyntax(unwrap(text), scope.functions), scope));
}

/** Is the text exactly one `$[ … ]`? */
export function isRuntimeExpression(text: string): boolean {
  return /^\s*\$\[[\s\S]*\]\s*$/.test(text);
}

/**
 * What the service refuses before the run: root variables and conditions of stages and jobs are checked with their names,
 * step conditions for syntax alone, variables of stages and jobs not at all (sheet 1.3 and last section, 8 and 9).
 * @throws ExpressionError
 */
export function validateRuntime(text: string, slot: RuntimeSlot): void {
  if (slot === 'jobVariable') return;
  const expression = unwrap(text);
  if (slot === 'stepCondition') {
    checkSyntax(expression);
    return;
  }
  const scope = scopeOf(slot, {});
  checkNames(checkSyntax(expression, scope.functions), scope);
}

function unwrap(text: string): string {
  return isRuntimeExpression(text) ? text.trim().slice(2, -1) : text;
}

function scopeOf(slot: RuntimeSlot, context: RuntimeContext): Scope {
  const values: Record<string, () => Value> = {
    variables: () => folded(context.variables ?? {}, (value) => value),
    dependencies: () => folded(context.dependencies ?? {}, facts),
    stagedependencies: () => folded(context.stageDependencies ?? {}, (jobs) => folded(jobs, facts)),
    pipeline: () => folded(context.pipeline ?? {}, (value) => value),
    resources: () => fromData(context.resources ?? {}),
  };
  return {
    names: new Map(names[slot].map((name) => [name, values[name]?.() ?? null])),
    functions: functionsOf(slot, context),
  };
}

function folded<T>(record: Record<string, T>, convert: (item: T) => Value): ObjectValue {
  return new ObjectValue(
    Object.entries(record).map(([key, item]) => [key, convert(item)]),
    { foldCase: true },
  );
}

function facts(dependency: DependencyFacts): Value {
  return new ObjectValue(
    [
      ['result', dependency.result],
      ['outputs', folded(dependency.outputs ?? {}, (value) => value)],
    ],
    { foldCase: true },
  );
}

function functionsOf(slot: RuntimeSlot, context: RuntimeContext): ReadonlyMap<string, FunctionDefinition> {
  if (slot === 'jobVariable') return new Map();
  if (slot === 'rootVariable') {
    return new Map([['counter', counterFunction(context.counter ?? ((_prefix, seed) => seed))]]);
  }
  // steps take any arguments and ignore them; jobs and stages take names of dependencies
  const most = slot === 'stepCondition' ? Infinity : 0;
  const status = slot === 'stepCondition' ? stepStatus(context) : nodeStatus(context);
  const canceled = context.canceled ?? context.jobStatus === 'Canceled';
  return new Map<string, FunctionDefinition>([
    ['always', { min: 0, max: most, call: () => true }],
    ['canceled', { min: 0, max: most, call: () => canceled }],
    ['succeeded', { min: 0, max: Infinity, call: (args) => !canceled && status.succeeded(args) }],
    ['failed', { min: 0, max: Infinity, call: (args) => status.failed(args) }],
    ['succeededorfailed', { min: 0, max: Infinity, call: (args) => !canceled && status.succeededOrFailed(args) }],
  ]);
}

type StatusFunctions = Record<'succeeded' | 'failed' | 'succeededOrFailed', (args: readonly Thunk[]) => boolean>;

function stepStatus(context: RuntimeContext): StatusFunctions {
  const status = context.jobStatus ?? 'Succeeded';
  const good = status === 'Succeeded' || status === 'SucceededWithIssues';
  return { succeeded: () => good, failed: () => status === 'Failed', succeededOrFailed: () => good || status === 'Failed' };
}

const good: readonly (NodeResult | undefined)[] = ['Succeeded', 'SucceededWithIssues'];

/** The truth table measured on a real run (sheet 1.4): arguments replace the set, an unknown name is neither. */
function nodeStatus(context: RuntimeContext): StatusFunctions {
  const known = new Map(Object.entries(context.dependencies ?? {}).map(([name, item]) => [name.toLowerCase(), item.result]));
  const results = (args: readonly Thunk[]): (NodeResult | undefined)[] =>
    args.length === 0 ? [...known.values()] : args.map((arg) => known.get(toText(arg()).toLowerCase()));
  const ended = (result: NodeResult | undefined): boolean => good.includes(result) || result === 'Failed';
  return {
    succeeded: (args) => results(args).every((result) => good.includes(result)),
    failed: (args) => results(args).some((result) => result === 'Failed'),
    succeededOrFailed: (args) => {
      const all = results(args);
      return all.length === 0 || all.some(ended);
    },
  };
}
