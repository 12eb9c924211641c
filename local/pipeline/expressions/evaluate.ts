/** Evaluation of parsed expressions. */
import { type FunctionDefinition, generalFunctions } from './functions.js';
import { type Expression, parse, type Parsed, resolve } from './parser.js';
import { FilteredArray, ObjectValue, tryNumber, toText, type Value } from './values.js';

/** What an expression sees: names (lower case) and, besides the general ones, functions of its position. */
export interface Scope {
  names: ReadonlyMap<string, Value>;
  functions?: ReadonlyMap<string, FunctionDefinition>;
}

/** Checks the syntax alone: unknown names and functions pass. @throws ExpressionError */
export function checkSyntax(text: string, functions?: ReadonlyMap<string, FunctionDefinition>): Parsed {
  return parse(text, functions ? new Map([...generalFunctions, ...functions]) : generalFunctions);
}

/** Parses, resolves names and functions, and evaluates. @throws ExpressionError in the service's words */
export function evaluate(text: string, scope: Scope): Value {
  return evaluateParsed(checkSyntax(text, scope.functions), scope);
}

export function evaluateParsed(parsed: Parsed, scope: Scope): Value {
  checkNames(parsed, scope);
  return value(parsed.root, scope);
}

/** @throws ExpressionError for a name or a function that this position does not have */
export function checkNames(parsed: Parsed, scope: Scope): void {
  resolve(
    parsed,
    (name) => scope.names.has(name),
    (name) => generalFunctions.has(name) || (scope.functions?.has(name) ?? false),
  );
}

function value(node: Expression, scope: Scope): Value {
  switch (node.kind) {
    case 'literal':
      return node.value;
    case 'name':
      return scope.names.get(node.token.raw.toLowerCase()) ?? null;
    case 'call': {
      const name = node.token.raw.toLowerCase();
      const definition = scope.functions?.get(name) ?? generalFunctions.get(name);
      return definition?.call(node.args.map((arg) => () => value(arg, scope))) ?? null;
    }
    case 'member': {
      const target = value(node.target, scope);
      return node.key ? member(target, value(node.key, scope)) : filter(target);
    }
  }
}

/** `.*`: the children, one level; of a filtered array the children of its elements. */
function filter(target: Value): Value {
  const children = (of: Value): Value[] => (Array.isArray(of) ? of : of instanceof ObjectValue ? [...of.entries.values()] : []);
  return filtered(target instanceof FilteredArray ? target.flatMap(children) : children(target));
}

function filtered(items: readonly Value[]): FilteredArray {
  const result = new FilteredArray();
  for (const item of items) result.push(item);
  return result;
}

function member(target: Value, key: Value): Value {
  if (target instanceof FilteredArray) {
    return filtered(target.filter((item) => has(item, key)).map((item) => member(item, key)));
  }
  if (Array.isArray(target)) {
    const index = arrayIndex(key);
    return index === undefined ? null : (target[index] ?? null);
  }
  if (!(target instanceof ObjectValue)) return null;
  return Array.isArray(key) || key instanceof ObjectValue ? null : target.get(toText(key));
}

function arrayIndex(key: Value): number | undefined {
  const number = tryNumber(key);
  return number === undefined || number < 0 ? undefined : Math.floor(number);
}

function has(target: Value, key: Value): boolean {
  if (Array.isArray(target)) return (arrayIndex(key) ?? Infinity) < target.length;
  if (!(target instanceof ObjectValue) || Array.isArray(key) || key instanceof ObjectValue) return false;
  return target.entries.has(toText(key));
}
