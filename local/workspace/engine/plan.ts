/** A pipeline's nodes, read from the job body or a pipeline component into one checked graph. Nothing is written, nothing runs. */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { ServiceError } from '../errors.js';
import { checkCommand, checkOneMachine, checkPath, instanceCount, invalid, notRunnable } from './checks.js';
import { asObject, asText, either, type Json } from './json.js';
import { expressionsOf, parseBinding, type Binding } from './text.js';

interface NodeInput {
  binding?: Binding;
  /** Literal text, may hold `${{parent.inputs.x}}` within. */
  text?: string;
  data?: { uri: string; type: string };
  mode?: string;
}

interface NodeOutput {
  /** Name of the pipeline's output it is bound to. */
  parentOutput?: string;
  type?: string;
  mode?: string;
  uri?: string;
  assetName?: string;
  assetVersion?: string;
}

export interface Component {
  id: string;
  name: string;
  version: string;
  spec: Json;
}

export interface NodePlan {
  name: string;
  type: 'command' | 'parallel' | 'sweep' | 'pipeline';
  /** The node as submitted. */
  node: Json;
  component: Component;
  computeId?: string;
  inputs: Record<string, NodeInput>;
  outputs: Record<string, NodeOutput>;
  dependsOn: string[];
  /** Nodes of a pipeline component. */
  sub?: PipelinePlan;
}

export interface PipelinePlan {
  nodes: NodePlan[];
  /** Declared outputs: from the job or the component. */
  outputs: Record<string, Json>;
  /** Declared inputs of a pipeline component (defaults). */
  inputs: Record<string, Json>;
}

function readInput(value: unknown): NodeInput {
  const input = asObject(value);
  const mode = asText(input['mode']);
  const uri = asText(input['uri']);
  const type = (asText(either(input, 'job_input_type')) ?? 'literal').toLowerCase();
  if (uri !== undefined && type !== 'literal') {
    const bound = parseBinding(uri);
    return { ...(bound ? { binding: bound } : { data: { uri, type } }), ...(mode !== undefined && { mode }) };
  }
  const text = typeof value === 'object' ? asText(input['value']) : asText(value);
  const binding = parseBinding(text);
  return { ...(binding ? { binding } : { text: text ?? '' }), ...(mode !== undefined && { mode }) };
}

function readOutput(value: unknown): NodeOutput {
  if (typeof value === 'string') {
    const bound = parseBinding(value);
    return bound?.kind === 'parentOutput' ? { parentOutput: bound.name } : {};
  }
  const output = asObject(value);
  const bound = parseBinding(asText(output['value']) ?? asText(output['uri']));
  const found: NodeOutput = {};
  if (bound?.kind === 'parentOutput') found.parentOutput = bound.name;
  const type = asText(either(output, 'job_output_type')) ?? asText(output['type']);
  if (type !== undefined && type.toLowerCase() !== 'literal') found.type = type;
  const mode = asText(output['mode']);
  if (mode !== undefined) found.mode = mode;
  const uri = asText(output['uri']);
  if (uri !== undefined && !bound) found.uri = uri;
  const name = asText(either(output, 'asset_name')) ?? asText(output['name']);
  if (name !== undefined) found.assetName = name;
  const version = asText(either(output, 'asset_version')) ?? asText(output['version']);
  if (version !== undefined) found.assetVersion = version;
  return found;
}

/** The component that a node names. @throws ServiceError 404 as the service words it (azure-ml-observed.md §0) */
export function findComponent(ctx: Ctx, ws: WorkspaceRecord, componentId: string): Component {
  try {
    const found = ctx.assets.resolve(ws, componentId, 'components');
    return {
      id: found.id,
      name: found.name,
      version: found.version,
      spec: found.source ?? asObject(found.properties['componentSpec']),
    };
  } catch (error) {
    if (!(error instanceof ServiceError) || error.status !== 404) throw error;
    const match = /components\/([^/]+)(?:\/(?:versions|labels)\/([^/]+))?/i.exec(componentId);
    throw new ServiceError(
      404,
      'NotFound',
      `key: ${componentId}, Message: Not found component ${match?.[1] ?? componentId} (version: ${match?.[2] ?? ''}).`,
    );
  }
}

/** Nodes in an order in which each comes after those it needs. @throws ServiceError 400 naming the nodes of a cycle */
function sortNodes(nodes: NodePlan[]): NodePlan[] {
  const byName = new Map(nodes.map((node) => [node.name, node]));
  const state = new Map<string, 'open' | 'done'>();
  const sorted: NodePlan[] = [];
  for (const start of nodes) {
    const stack: { node: NodePlan; next: number }[] = [];
    if (!state.has(start.name)) stack.push({ node: start, next: 0 });
    state.set(start.name, state.get(start.name) ?? 'open');
    while (stack.length > 0) {
      const top = stack[stack.length - 1];
      if (!top) break;
      const needed = top.node.dependsOn[top.next++];
      if (needed === undefined) {
        state.set(top.node.name, 'done');
        sorted.push(top.node);
        stack.pop();
        continue;
      }
      const node = byName.get(needed);
      if (!node || state.get(needed) === 'done') continue;
      if (state.get(needed) === 'open') {
        const names = [...stack.map((entry) => entry.node.name), needed];
        throw invalid(`The pipeline's graph has a cycle: ${names.slice(names.indexOf(needed)).join(' -> ')}.`, 'jobs');
      }
      state.set(needed, 'open');
      stack.push({ node, next: 0 });
    }
  }
  return sorted;
}

interface PlanOptions {
  ctx: Ctx;
  ws: WorkspaceRecord;
  /** Called for each named compute; throws when there is none. */
  checkCompute: (computeId: string, where: string) => void;
}

/**
 * Reads the nodes of one level of a pipeline, and of the pipeline components below it.
 * @throws ServiceError 400 cyclic graph, dangling binding, path that leaves its folder · 404 missing component, environment, code · 501 node types that are not built
 */
export async function planPipeline(
  options: PlanOptions,
  jobs: Json,
  declared: { inputs: Record<string, Json>; outputs: Record<string, Json> },
  where = 'jobs',
  depth = 0,
): Promise<PipelinePlan> {
  if (depth > 20) throw invalid('Pipeline components are nested more than 20 deep.', where);
  const nodes: NodePlan[] = [];
  for (const [name, raw] of Object.entries(jobs))
    nodes.push(await planNode(options, name, asObject(raw), `${where}.${name}`, depth));
  const names = new Set(nodes.map((node) => node.name));
  for (const node of nodes)
    for (const needed of node.dependsOn)
      if (!names.has(needed))
        throw invalid(
          `Node '${node.name}' is bound to '${needed}', which is not a node of this pipeline.`,
          `${where}.${node.name}`,
        );
  return { nodes: sortNodes(nodes), ...declared };
}

async function planNode(options: PlanOptions, name: string, node: Json, where: string, depth: number): Promise<NodePlan> {
  const { ctx, ws } = options;
  const type = (asText(node['type']) ?? 'command').toLowerCase();
  if (!['command', 'parallel', 'sweep', 'pipeline'].includes(type)) throw notRunnable(type, `node '${name}'`);
  const trial = node['trial'];
  const componentId = asText(node['componentId']) ?? (typeof trial === 'string' ? trial : asText(asObject(trial)['componentId']));
  if (componentId === undefined) throw invalid(`Node '${name}' names no component (componentId).`, where);
  const component = findComponent(ctx, ws, componentId);
  const inputs: Record<string, NodeInput> = {};
  for (const [key, value] of Object.entries(asObject(node['inputs']))) {
    inputs[key] = readInput(value);
    checkPath(inputs[key].data?.uri, `${where}.inputs.${key}`);
  }
  const outputs: Record<string, NodeOutput> = {};
  for (const [key, value] of Object.entries(asObject(node['outputs']))) {
    outputs[key] = readOutput(value);
    checkPath(outputs[key].uri, `${where}.outputs.${key}`);
  }
  const computeId = asText(node['computeId']) ?? asText(node['compute']);
  if (computeId !== undefined) options.checkCompute(computeId, where);
  const plan: NodePlan = {
    name,
    type: type as NodePlan['type'],
    node,
    component,
    inputs,
    outputs,
    dependsOn: [
      ...new Set(Object.values(inputs).flatMap(({ binding }) => (binding?.kind === 'nodeOutput' ? [binding.node] : []))),
    ],
    ...(computeId !== undefined && { computeId }),
  };
  const specType = (asText(component.spec['type']) ?? 'command').toLowerCase();
  if (type === 'pipeline' || specType === 'pipeline') {
    const { spec } = component;
    plan.type = 'pipeline';
    plan.sub = await planPipeline(
      options,
      asObject(spec['jobs']),
      { inputs: asObject(spec['inputs']) as Record<string, Json>, outputs: asObject(spec['outputs']) as Record<string, Json> },
      `${where}.jobs`,
      depth + 1,
    );
    return plan;
  }
  await checkLeaf(ctx, ws, plan, specType, where);
  return plan;
}

async function checkLeaf(ctx: Ctx, ws: WorkspaceRecord, plan: NodePlan, specType: string, where: string): Promise<void> {
  const { spec } = plan.component;
  if (!['command', 'parallel'].includes(specType)) throw notRunnable(specType, `node '${plan.name}'`);
  if (specType === 'parallel') {
    plan.type = 'parallel';
    const task = { ...asObject(spec['task']), ...asObject(plan.node['task']) };
    await checkCommand(ctx, ws, `Node '${plan.name}'`, { environment: asText(task['environment']), code: asText(task['code']) });
    checkPath(asText(task['entry_script']), `${where}.task.entry_script`);
    return;
  }
  checkOneMachine({ ...spec, ...plan.node }, `Node '${plan.name}'`, instanceCount(spec, plan.node));
  await checkCommand(ctx, ws, `Node '${plan.name}'`, { environment: asText(spec['environment']), code: asText(spec['code']) });
  const known = {
    inputs: asObject(spec['inputs']),
    outputs: asObject(spec['outputs']),
    search_space: asObject(plan.node['search_space']),
  };
  for (const name of expressionsOf(asText(spec['command']) ?? '')) {
    const [context = '', ...path] = name.split('.');
    const table = known[context as keyof typeof known] as Json | undefined;
    const key = path.join('.');
    const has =
      table &&
      (key in table ||
        (path[0] ?? '') in table ||
        key in plan.inputs ||
        key in plan.outputs ||
        (context === 'inputs' && key in known.search_space));
    if (!has)
      throw invalid(
        `Node '${plan.name}': \${{${name}}} in the command names nothing that the component has.`,
        `${where}.command`,
      );
  }
}
