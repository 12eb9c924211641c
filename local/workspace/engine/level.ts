/** One level of a running pipeline: what its nodes get, where their outputs go, where they run. */
import type { Shared } from './execute.js';
import { asObject, asText, either, type Json } from './json.js';
import { type NodePlan, type PipelinePlan } from './plan.js';
import { fillParentInputs, parseBinding } from './text.js';
import { JobFailure, type InputValue, type OutputTarget, type RunOutcome, type Task } from './types.js';
import { lastSegment } from './uris.js';

export interface PipelineSettings {
  defaultCompute?: string;
  continueOnStepFailure: boolean;
  forceRerun: boolean;
  /** Node that runs before all others. */
  onInit?: string;
  /** Node that runs when all others have ended, however they did. */
  onFinalize?: string;
}

/** Everything one level of a pipeline needs while it runs. */
export interface Level {
  task: Task;
  shared: Shared;
  plan: PipelinePlan;
  inputs: ReadonlyMap<string, InputValue>;
  targets: ReadonlyMap<string, OutputTarget>;
  settings: PipelineSettings;
  /** Outputs of nodes that completed. */
  done: Map<string, RunOutcome>;
}

const literalText = (inputs: ReadonlyMap<string, InputValue>): Map<string, string | undefined> =>
  new Map([...inputs].flatMap(([name, value]) => (value.kind === 'literal' ? [[name, value.text] as const] : [])));

/** Values of a node's inputs: bound, given, or the component's default. */
export function nodeInputs(level: Level, node: NodePlan): Map<string, InputValue> {
  const declared = asObject(node.component.spec['inputs']);
  const values = new Map<string, InputValue>();
  const typeOf = (name: string): string => (asText(asObject(declared[name])['type']) ?? '').toLowerCase();
  const isData = (type: string): boolean => /^(uri_file|uri_folder|mltable|\w+_model)$/.test(type);
  const modeOf = (name: string, own?: string): { mode?: string } => {
    const mode = own ?? asText(asObject(declared[name])['mode']);
    return mode === undefined ? {} : { mode: mode.replaceAll('_', '') };
  };
  for (const [name, input] of Object.entries(node.inputs)) {
    let value: InputValue = input.data ? { kind: 'data', ...input.data } : bound(level, node, input.binding, input.text);
    // Text where the component wants data is a reference.
    if (value.kind === 'literal' && isData(typeOf(name)) && value.text)
      value = { kind: 'data', uri: value.text, type: typeOf(name) };
    values.set(name, value.kind === 'data' ? { ...value, ...modeOf(name, input.mode ?? value.mode) } : value);
  }
  for (const [name, declaration] of Object.entries(declared)) {
    if (values.has(name) || [...values.keys()].some((key) => key.startsWith(`${name}.`))) continue;
    const fallback = asText(asObject(declaration)['default']);
    const optional = /^true$/i.test(asText(asObject(declaration)['optional']) ?? '');
    if (fallback === undefined && !optional && typeOf(name) !== '' && !(name in asObject(either(node.node, 'search_space'))))
      throw new JobFailure(`Node '${node.name}': the required input '${name}' has no value.`);
    values.set(name, { kind: 'literal', text: fallback });
  }
  return values;
}

function bound(
  level: Level,
  node: NodePlan,
  binding: NodePlan['inputs'][string]['binding'],
  text: string | undefined,
): InputValue {
  if (!binding)
    return { kind: 'literal', text: text === undefined ? undefined : fillParentInputs(text, literalText(level.inputs)) };
  if (binding.kind === 'parentInput') {
    const value = level.inputs.get(binding.name);
    if (value) return value;
    const fallback = asText(asObject(level.plan.inputs[binding.name])['default']);
    return { kind: 'literal', text: fallback };
  }
  if (binding.kind === 'nodeOutput') {
    const value = level.done.get(binding.node)?.outputs.get(binding.name);
    if (value) return value;
    throw new JobFailure(
      `Node '${node.name}' is bound to output '${binding.name}' of '${binding.node}', which has none of that name.`,
    );
  }
  if (binding.kind === 'nodeInput') {
    const source = level.plan.nodes.find(({ name }) => name === binding.node);
    const value = source && nodeInputs(level, source).get(binding.name);
    if (value) return value;
  }
  throw new JobFailure(`Node '${node.name}' has a binding that means nothing here.`);
}

/** Where a node's outputs go: its own words, else those of the pipeline output it is bound to, else the default place. */
export function nodeTargets(level: Level, node: NodePlan): Map<string, OutputTarget> {
  const declared = asObject(node.component.spec['outputs']);
  const targets = new Map<string, OutputTarget>();
  for (const name of new Set([...Object.keys(declared), ...Object.keys(node.outputs)])) {
    const own = node.outputs[name] ?? {};
    const upper = own.parentOutput === undefined ? undefined : level.targets.get(own.parentOutput);
    const spec = asObject(declared[name]);
    const mode = own.mode ?? upper?.mode ?? asText(spec['mode'])?.replaceAll('_', '');
    const uri = own.uri ?? upper?.uri;
    const assetName = own.assetName ?? upper?.assetName;
    const assetVersion = own.assetVersion ?? upper?.assetVersion;
    targets.set(name, {
      type: (own.type ?? asText(spec['type']) ?? upper?.type ?? 'uri_folder').toLowerCase(),
      ...(mode !== undefined && { mode }),
      ...(uri !== undefined && { uri }),
      ...(assetName !== undefined && { assetName }),
      ...(assetVersion !== undefined && { assetVersion }),
    });
  }
  return targets;
}

/** Name of the compute of a node; undefined = serverless. */
export function computeOf(level: Level, node: NodePlan): string | undefined {
  const own = node.computeId === undefined ? undefined : fillParentInputs(node.computeId, literalText(level.inputs));
  const bindingLeft = own !== undefined && parseBinding(own) !== undefined;
  const chosen = own !== undefined && !bindingLeft && own !== '' ? own : (level.settings.defaultCompute ?? level.task.compute);
  return chosen === undefined ? undefined : lastSegment(chosen.replace(/^azureml:/, ''));
}

/** Settings of a level: its own, else those of the level above. */
export function settingsOf(own: Json, above?: PipelineSettings, compute?: string): PipelineSettings {
  const flag = (name: string, otherwise: boolean): boolean => {
    const text = asText(either(own, name));
    return text === undefined ? otherwise : /^true$/i.test(text);
  };
  const defaultCompute = asText(either(own, 'default_compute')) ?? compute ?? above?.defaultCompute;
  const onInit = asText(either(own, 'on_init'));
  const onFinalize = asText(either(own, 'on_finalize'));
  return {
    continueOnStepFailure: flag('continue_on_step_failure', above?.continueOnStepFailure ?? false),
    forceRerun: flag('force_rerun', above?.forceRerun ?? false),
    ...(defaultCompute !== undefined && { defaultCompute }),
    ...(onInit !== undefined && { onInit }),
    ...(onFinalize !== undefined && { onFinalize }),
  };
}
