/** Command steps: with a component, or written out in the pipeline (then they become an anonymous component). */
import { codeOf, commandFields } from './command-job.js';
import { baseFields, readOnlyKeys } from './base-job.js';
import { componentEnvironment, localComponent, prefixed } from './component.js';
import { specDistribution, specResources } from './component-spec.js';
import { checkBindings, type PortInput, type PortOutput } from './component-io.js';
import type { Context } from './context.js';
import { child, textOf } from './document.js';
import {
  commandLimits,
  distribution,
  distributionToRest,
  environmentVariables,
  identity,
  identityToRest,
  limitsToRest,
  queueSettings,
  queueToRest,
  resources,
  resourcesToRest,
  services,
  servicesToRest,
} from './fields.js';
import { nodeBase, readNode, type Draft } from './nodes.js';
import { compact, type Tree, type TreeObject } from './pending.js';
import { raw, readObject } from './schema.js';
import { literalType, type Scope } from './scope.js';

const nodeFields = {
  resources,
  distribution,
  limits: commandLimits,
  environment_variables: environmentVariables,
  queue_settings: queueSettings,
  services,
  identity,
  code: raw,
  command: raw,
  environment: raw,
  // The component's own; a step cannot change it.
  is_deterministic: raw,
  parent_job_name: raw,
};

/** A step that names a component. */
export function commandNode(context: Context, draft: Draft): Tree {
  const { read, more } = readNode(context, draft, nodeFields);
  const component = draft.component;
  if (!component) return undefined;
  return compact({
    ...more,
    ...nodeBase(context, draft, read, component.source, component.id),
    ...settings(read, component.kind === 'local' ? component.defaults : {}),
  });
}

/** The settings of a command step; what it does not say comes from its component. */
function settings(read: TreeObject, defaults: TreeObject): TreeObject {
  return {
    resources: resourcesToRest(read['resources'] ?? defaults['resources'], 'snake'),
    distribution: distributionToRest(read['distribution'] ?? defaults['distribution'], 'snake'),
    limits: limitsToRest(read['limits'], 'Command', 'snake'),
    environment_variables: read['environment_variables'],
    queue_settings: queueToRest(read['queue_settings'], 'snake'),
    services: servicesToRest(read['services'], 'snake'),
    identity: identityToRest(read['identity'], 'snake'),
  };
}

/** A command job as a step: its definition goes into an anonymous component. */
export function inlineCommandNode(context: Context, draft: Draft, scope: Scope): Tree {
  const { node, base } = draft;
  const read = readObject(
    node,
    { ...baseFields, ...commandFields, limits: commandLimits, inputs: raw, outputs: raw },
    {
      name: `the step ${draft.name}`,
      required: ['command', 'environment'],
      elsewhere: [...readOnlyKeys, 'parent_job_name'],
    },
    context.reader(base),
  );
  checkBindings(context, node, 'command', draft.inputs, draft.outputs, 'step');
  const file = { context, root: node, base, source: 'YAML.JOB' as const };
  const component = localComponent(file, 'command', inlineInputs(draft, scope), inlineOutputs(draft, scope), {
    spec: {
      command: textOf(child(node, 'command')),
      code: prefixed(codeOf(context, node, base, true)),
      environment: componentEnvironment(file),
      resources: specResources(read['resources']),
      distribution: specDistribution(read['distribution']),
      description: read['description'],
      tags: read['tags'],
      type: 'command',
    },
    defaults: {},
  });
  draft.component = component;
  const { comment: _comment, ...common } = nodeBase(
    context,
    { ...draft, component: undefined },
    read,
    component.source,
    component.id,
  );
  return compact({ ...common, ...settings(read, {}) });
}

/** Declared inputs that a step's own inputs amount to. */
export function inlineInputs(draft: Draft, scope: Scope): Map<string, PortInput> {
  return new Map(
    [...draft.inputs].map(([name, value]): [string, PortInput] => {
      if (value.kind === 'literal') return [name, { type: literalType(value), default: value.value }];
      const own = value.mode === undefined ? {} : { mode: value.mode };
      if (value.kind === 'data') return [name, { type: value.type, ...own }];
      // A binding written as a mapping keeps its own type and mode; a bare one takes those of what it is bound to.
      if (value.type !== undefined || value.mode !== undefined || value.mapped)
        return [name, { type: value.type ?? 'uri_folder', ...own }];
      return [name, typeOf(scope, value.text)];
    }),
  );
}

/** Of what a port is bound to it takes type and mode, not limits, default or description. */
function typeOf(scope: Scope, text: string): { type: string; mode?: string } {
  const { type, mode } = scope.source(text) ?? { type: 'uri_folder' };
  return { type, ...(mode === undefined ? {} : { mode }) };
}

export function inlineOutputs(draft: Draft, scope: Scope): Map<string, PortOutput> {
  return new Map(
    [...draft.outputs].map(([name, value]): [string, PortOutput] => {
      if (value.kind === 'default') return [name, { type: 'uri_folder' }];
      const own = value.mode === undefined ? {} : { mode: value.mode };
      if (value.kind === 'data') return [name, { type: value.type ?? 'uri_folder', ...own }];
      if (value.mapped) return [name, { type: value.type ?? 'uri_folder', ...own }];
      return [name, typeOf(scope, value.text)];
    }),
  );
}
