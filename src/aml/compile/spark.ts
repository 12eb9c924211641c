/** What Spark jobs, components and steps share: entry, configuration, files (reference azure-ml-rest §1.7, recordings). */
import path from 'node:path';
import { realPath, statOf, type Context } from './context.js';
import { child, textOf, type YMap } from './document.js';
import { SPARK_SIZES } from './fields.js';
import type { InputValue, OutputValue } from './io.js';
import { asText, isTreeObject, type Tree, type TreeObject } from './pending.js';
import type { Place } from './problems.js';
import { PyFloat } from './python.js';
import { isUrl } from './refs.js';
import { dict, isBinding, list, object, raw, str, type Field } from './schema.js';

/** The image that the client names for a Spark environment that has a conda file only. */
export const NO_IMAGE = 'conda/miniconda3';

export const sparkFields: Record<string, Field> = {
  code: str,
  entry: object({ file: str, class_name: str }, { name: 'entry' }),
  py_files: list(str),
  jars: list(str),
  files: list(str),
  archives: list(str),
  conf: dict({ ...raw, accepts: 'a value', nullable: false }),
  properties: dict(raw),
  environment: raw,
  args: str,
};
export const SPARK_FILES = ['py_files', 'jars', 'files', 'archives'] as const;

/** Settings with a name of their own, in the order that the client writes them. */
const NAMED = {
  driver_cores: 'spark.driver.cores',
  driver_memory: 'spark.driver.memory',
  executor_cores: 'spark.executor.cores',
  executor_memory: 'spark.executor.memory',
  executor_instances: 'spark.executor.instances',
  dynamic_allocation_enabled: 'spark.dynamicAllocation.enabled',
  dynamic_allocation_min_executors: 'spark.dynamicAllocation.minExecutors',
  dynamic_allocation_max_executors: 'spark.dynamicAllocation.maxExecutors',
} as const;
type NamedKey = keyof typeof NAMED;

export interface SparkConf {
  named: Partial<Record<NamedKey, Tree>>;
  other: TreeObject;
}

export function readConf(value: Tree): SparkConf {
  const conf = isTreeObject(value) ? value : {};
  const named: SparkConf['named'] = {};
  const other: TreeObject = {};
  const byName = new Map<string, NamedKey>(Object.entries(NAMED).map(([key, name]) => [name, key as NamedKey]));
  for (const [key, item] of Object.entries(conf)) {
    const known = byName.get(key) ?? (Object.hasOwn(NAMED, key) ? (key as NamedKey) : undefined);
    if (known && item !== null) named[known] = item;
    else other[key] = item;
  }
  return { named, other };
}

/** A step's configuration over its component's. */
export function overlay(own: SparkConf, component: SparkConf | undefined): SparkConf {
  if (!component) return withInstances(own);
  const named: SparkConf['named'] = { ...component.named };
  for (const [key, value] of Object.entries(own.named) as [NamedKey, Tree][]) if (truthy(value)) named[key] = value;
  return withInstances({ named, other: Object.keys(own.other).length > 0 ? own.other : component.other });
}

const truthy = (value: Tree): boolean =>
  value instanceof PyFloat
    ? value.value !== 0
    : value !== undefined && value !== null && value !== false && value !== 0 && value !== '';

/** With dynamic allocation the number of executors begins at its minimum. */
export function withInstances(conf: SparkConf): SparkConf {
  const { named } = conf;
  if (named.executor_instances !== undefined || asText(named.dynamic_allocation_enabled).toLowerCase() !== 'true') return conf;
  return { ...conf, named: { ...named, executor_instances: named.dynamic_allocation_min_executors } };
}

/** As components and steps hold it: numbers stay numbers, text of digits becomes one. */
export function confToSpec({ named, other }: SparkConf): TreeObject {
  const result: TreeObject = { ...other };
  for (const [key, name] of Object.entries(NAMED)) {
    const value = named[key as NamedKey];
    if (value === undefined || value === null) continue;
    result[name] = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value;
  }
  return result;
}

export const namedConf = NAMED;

/** `entry` as it is sent; classes are not supported by the service. */
export function entryToRest(value: Tree, style: 'camel' | 'snake'): Tree {
  if (!isTreeObject(value)) return undefined;
  return { file: value['file'], [style === 'camel' ? 'sparkJobEntryType' : 'spark_job_entry_type']: 'SparkJobPythonEntry' };
}

/** What is wrong with a Spark definition: no entry file, missing or contradicting configuration. */
export function checkSpark(context: Context, root: YMap, base: string, conf: SparkConf, complete: boolean): void {
  const entry = child(root, 'entry');
  const file = textOf(child(entry, 'file'));
  if (entry && child(entry, 'class_name')) {
    context.problems.add(entry.place, 'A class as entry is not supported by the service.', 'entry: file: name.py');
  } else if (entry?.kind === 'map' && !file) context.problems.add(entry.place, 'The entry names no file.', 'file: name.py');
  const code = textOf(child(root, 'code'));
  if (entry && file !== undefined && code !== undefined && !isUrl(code) && !/^(azureml:|git\+|\/subscriptions\/)/.test(code)) {
    const folder = realPath(base, code);
    const there = statOf(folder)?.isDirectory();
    if (there && !statOf(path.join(folder, file))) {
      context.problems.add(child(entry, 'file')?.place ?? entry.place, `There is no ${file} in the code folder ${code}.`);
    }
  }
  for (const key of SPARK_FILES) {
    const node = child(root, key);
    if (node?.kind !== 'seq') continue;
    const seen = new Set<string>();
    for (const item of node.items) {
      const text = textOf(item) ?? '';
      if (seen.has(text)) context.problems.add(item.place, `${text} stands twice in ${key}.`);
      seen.add(text);
    }
  }
  if (complete) checkConf(context, root, conf);
}

export function checkConf(context: Context, root: YMap, { named }: SparkConf): void {
  const at = child(root, 'conf')?.place ?? root.place;
  const dynamic = ['true'].includes(asText(named.dynamic_allocation_enabled).toLowerCase());
  const required: NamedKey[] = ['driver_cores', 'driver_memory', 'executor_cores', 'executor_memory'];
  required.push(
    ...((dynamic
      ? ['dynamic_allocation_min_executors', 'dynamic_allocation_max_executors']
      : ['executor_instances']) as NamedKey[]),
  );
  const missing = required.filter((key) => !truthy(named[key])).map((key) => NAMED[key]);
  if (missing.length > 0)
    context.problems.add(at, `The Spark configuration lacks ${missing.join(', ')}.`, 'conf: with these keys');
  const bounds = [named.dynamic_allocation_min_executors, named.dynamic_allocation_max_executors] as const;
  // What is missing is said already.
  if (dynamic && bounds.every(truthy)) checkExecutors(context, at, bounds.map(count), named.executor_instances);
  if (
    !dynamic &&
    (named.dynamic_allocation_min_executors !== undefined || named.dynamic_allocation_max_executors !== undefined)
  ) {
    context.problems.add(at, 'minExecutors and maxExecutors count only with spark.dynamicAllocation.enabled: true.');
  }
}

/** A number that is not in quotes. */
const count = (value: Tree): number =>
  value instanceof PyFloat ? value.value : typeof value === 'number' || typeof value === 'boolean' ? Number(value) : NaN;

/** The bounds of dynamic allocation, and the number of executors within them. */
function checkExecutors(context: Context, at: Place, [least = NaN, most = NaN]: number[], given: Tree): void {
  const instances = given === undefined ? least : count(given);
  if ([least, most, instances].some(Number.isNaN)) {
    context.problems.add(
      at,
      'With dynamic allocation the numbers of executors are compared; one of them is text.',
      '2, without quotes',
    );
  } else if (least < 1 || least > most) {
    context.problems.add(at, 'minExecutors must be at least 1 and at most maxExecutors.');
  } else if (instances < least || instances > most) {
    context.problems.add(
      at,
      `spark.executor.instances is ${instances}, outside of minExecutors and maxExecutors.`,
      `${least} to ${most}`,
    );
  }
}

/** Exactly one of compute and resources; the sizes that serverless Spark has. */
export function checkPlace(context: Context, root: YMap, read: TreeObject): void {
  const compute = read['compute'] !== undefined;
  const resources = child(root, 'resources');
  if (compute === (resources !== undefined)) {
    context.problems.add(
      resources?.place ?? root.place,
      compute ? 'compute and resources exclude each other.' : 'Spark needs compute or resources.',
      'compute: azureml:NAME, or resources: with instance_type and runtime_version',
    );
  }
  const size = child(resources, 'instance_type');
  const text = textOf(size);
  if (resources && !isBinding(text) && !SPARK_SIZES.includes((text ?? '').toLowerCase())) {
    context.problems.add(
      size?.place ?? resources.place,
      'This size is not one that serverless Spark has.',
      SPARK_SIZES.join(', '),
    );
  }
  if (resources?.kind === 'map' && !resources.entries.has('runtime_version')) {
    context.problems.add(resources.place, 'resources names no runtime_version.', '"3.4"');
  }
}

/**
 * Spark reads and writes in mode direct only. What is bound to the pipeline has its mode there. `declared`: the mode of a component's port
 * of this name, which may be the one that counts.
 */
export function checkModes(
  context: Context,
  ports: { inputs: Map<string, InputValue>; outputs: Map<string, OutputValue> },
  declared?: { inputs: Map<string, { mode?: string }>; outputs: Map<string, { mode?: string }> },
): void {
  for (const kind of ['inputs', 'outputs'] as const) {
    for (const [name, value] of ports[kind]) {
      if (value.kind !== 'data' || value.mode === 'direct' || (kind === 'outputs' && name === 'default')) continue;
      // What a component does not declare is not sent.
      const port = declared?.[kind].get(name);
      if (declared && (!port || port.mode === 'direct')) continue;
      context.problems.add(
        value.place,
        `${name} is used in mode ${value.mode ?? port?.mode ?? '(none)'}; Spark reads and writes in mode direct only.`,
        'mode: direct',
      );
    }
  }
}
