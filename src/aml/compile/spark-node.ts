/** Spark components and steps. */
import { baseFields, readOnlyKeys } from './base-job.js';
import { checkInputsUsed, codeOf } from './command-job.js';
import { inlineInputs, inlineOutputs } from './command-node.js';
import {
  componentCode,
  componentElsewhere,
  componentEnvironment,
  componentFields,
  componentReader,
  localComponent,
  prefixed,
  type ComponentFile,
  type LocalComponent,
} from './component.js';
import { checkBindings, readPortInputs, readPortOutputs } from './component-io.js';
import type { Context } from './context.js';
import { code } from './assets.js';
import { child, textOf } from './document.js';
import { identity, identityToRest, sparkResources } from './fields.js';
import { nodeBase, readNode, type Draft } from './nodes.js';
import { compact, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { list, raw, readObject, str } from './schema.js';
import type { Scope } from './scope.js';
import {
  checkConf,
  checkModes,
  checkPlace,
  checkSpark,
  confToSpec,
  entryToRest,
  namedConf,
  NO_IMAGE,
  overlay,
  readConf,
  SPARK_FILES,
  sparkFields,
  withInstances,
  type SparkConf,
} from './spark.js';

/** A `type: spark` component. */
function sparkComponent(file: ComponentFile): LocalComponent {
  const { context, root, base } = file;
  const read = readObject(
    root,
    { ...componentFields, ...sparkFields, additional_includes: list(str) },
    { name: 'a spark component', unknown: 'include', required: ['entry'], elsewhere: componentElsewhere },
    context.reader(base),
  );
  const inputs = readPortInputs(context, child(root, 'inputs'), base);
  const outputs = readPortOutputs(context, child(root, 'outputs'), base);
  const conf = readConf(read['conf']);
  checkSpark(context, root, base, conf, false);
  checkBindings(context, root, 'args', inputs, outputs);
  // Without code the folder of the component is its code.
  const own = child(root, 'code') || child(root, 'additional_includes');
  const snapshot = own ? componentCode(file) : prefixed(code(context, '.', base, root.place, { component: true }));
  const { properties, ...spec } = read;
  return localComponent(file, 'spark', inputs, outputs, {
    spec: {
      ...spec,
      code: snapshot,
      environment: componentEnvironment(file, undefined, NO_IMAGE),
      conf: some(confToSpec(conf)),
      properties,
      type: 'spark',
    },
    properties,
    defaults: { ...staticParts(read), conf: conf as unknown as Tree },
  });
}
componentReader('spark', sparkComponent);

const some = (tree: TreeObject): Tree => (Object.keys(tree).length > 0 ? tree : undefined);

/** Parts that a step always has from its component. */
function staticParts(read: TreeObject): TreeObject {
  return Object.fromEntries(['entry', 'args', ...SPARK_FILES].map((key) => [key, read[key]]));
}

const nodeFields = { ...sparkFields, resources: sparkResources, identity };

/** A step that names a Spark component. */
export function sparkNode(context: Context, draft: Draft): Tree {
  const { read, more } = readNode(context, draft, nodeFields);
  const component = draft.component;
  if (!component) return undefined;
  checkPlace(context, draft.node, read);
  const defaults = component.kind === 'local' ? component.defaults : undefined;
  // The configuration's keys may stand in the step itself, too; those under conf win.
  const named = Object.keys(more).filter((key) => Object.hasOwn(namedConf, key));
  const own = Object.fromEntries(named.map((key) => [key, more[key]]));
  for (const key of named) delete more[key];
  const written = isTreeObject(read['conf']) ? read['conf'] : {};
  const conf = overlay(readConf({ ...own, ...written }), defaults?.['conf'] as unknown as SparkConf | undefined);
  // What a registered component brings is not known here.
  if (component.kind === 'local') {
    checkConf(context, draft.node, conf);
    checkModes(context, draft, component);
  }
  const resources = read['resources'];
  const lower =
    isTreeObject(resources) && typeof resources['instance_type'] === 'string'
      ? { ...resources, instance_type: resources['instance_type'].toLowerCase() }
      : resources;
  return compact({
    ...more,
    ...nodeBase(context, draft, read, component.source, component.id),
    ...body(defaults ?? staticParts(read), conf, read, lower),
  });
}

function body(parts: TreeObject, conf: SparkConf, read: TreeObject, resources: Tree): TreeObject {
  return {
    ...Object.fromEntries(SPARK_FILES.map((key) => [key, parts[key]])),
    args: parts['args'],
    entry: entryToRest(parts['entry'], 'snake'),
    conf: some(confToSpec(conf)),
    resources,
    identity: sparkIdentity(read, 'snake'),
  };
}

/** Without an identity: the compute's own on attached Spark, the user's on serverless Spark. */
export function sparkIdentity(read: TreeObject, style: 'camel' | 'snake'): Tree {
  const own = read['identity'];
  if (own !== undefined) return identityToRest(own, style);
  if (read['compute'] !== undefined) return identityToRest({ type: 'managed' }, style);
  return read['resources'] === undefined ? undefined : identityToRest({ type: 'user_identity' }, style);
}

/** A Spark job as a step: its definition goes into an anonymous component. */
export function inlineSparkNode(context: Context, draft: Draft, scope: Scope): Tree {
  const { node, base } = draft;
  const read = readObject(
    node,
    { ...baseFields, ...sparkFields, resources: sparkResources, inputs: raw, outputs: raw },
    { name: `the step ${draft.name}`, required: ['entry'], elsewhere: [...readOnlyKeys] },
    context.reader(base),
  );
  checkPlace(context, node, read);
  checkModes(context, draft);
  const args = child(node, 'args');
  if (args) checkInputsUsed(context, textOf(args) ?? '', draft.inputs, args.place, 'args');
  const conf = withInstances(readConf(read['conf']));
  checkSpark(context, node, base, conf, true);
  const file = { context, root: node, base, source: 'YAML.JOB' as const };
  const component = localComponent(file, 'spark', inlineInputs(draft, scope), inlineOutputs(draft, scope), {
    spec: {
      ...staticParts(read),
      code: prefixed(codeOf(context, node, base, true)),
      environment: componentEnvironment(file, undefined, NO_IMAGE),
      conf: some(confToSpec(conf)),
      properties: read['properties'],
      description: read['description'],
      tags: read['tags'],
      type: 'spark',
    },
    properties: read['properties'],
    defaults: {},
  });
  const { comment: _comment, ...common } = nodeBase(context, draft, read, component.source, component.id);
  draft.component = component;
  return compact({ ...common, ...body(staticParts(read), conf, read, read['resources']) });
}
