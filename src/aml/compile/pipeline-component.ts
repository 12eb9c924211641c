/** Pipeline components and the steps that use them. */
import {
  componentElsewhere,
  componentFields,
  componentReader,
  localComponent,
  type ComponentFile,
  type LocalComponent,
} from './component.js';
import { readPortInputs, readPortOutputs, type PortInput } from './component-io.js';
import type { Context } from './context.js';
import { child } from './document.js';
import { compileNodes, nodeBase, readNode, type Draft } from './nodes.js';
import { compact, type Tree } from './pending.js';
import { withoutCompute } from './pipeline-checks.js';
import { namedId } from './refs.js';
import { isBinding, raw, readObject } from './schema.js';
import { Scope } from './scope.js';

/** `type: pipeline` components: their steps are compiled like a job's. */
function pipelineComponent(file: ComponentFile): LocalComponent {
  const { context, root, base } = file;
  const read = readObject(
    root,
    { ...componentFields, settings: raw, compute: raw },
    { name: 'a pipeline component', unknown: 'include', elsewhere: [...componentElsewhere, 'jobs'] },
    context.reader(base),
  );
  const { properties, ...spec } = read;
  const inputs = readPortInputs(context, child(root, 'inputs'), base);
  const outputs = readPortOutputs(context, child(root, 'outputs'), base);
  for (const key of ['settings', 'compute']) {
    const node = root.entries.get(key);
    if (node) context.problems.warn(node.key.place, `${key} of a pipeline component counts for nothing; the job's counts.`);
  }
  const jobs = child(root, 'jobs');
  if (jobs && jobs.kind !== 'map')
    context.problems.add(jobs.place, 'jobs is not a mapping.', 'a mapping from the name of a step to the step');
  const scope = new Scope(inputs, outputs);
  const compiled = jobs?.kind === 'map' ? compileNodes(context, jobs, base, scope) : { jobs: {}, drafts: [] };
  inferOptional(context, inputs, compiled.drafts);
  const made = localComponent({ ...file, source: 'YAML.COMPONENT' }, 'pipeline', inputs, outputs, {
    spec: { ...spec, type: 'pipeline', jobs: compiled.jobs },
    properties,
    defaults: { description: read['description'] },
  });
  return { ...made, withoutCompute: withoutCompute(compiled) };
}
componentReader('pipeline', pipelineComponent);

/** A step that runs a pipeline component, local or registered. */
export function pipelineNode(context: Context, draft: Draft): Tree {
  const { read, more } = readNode(context, draft, { settings: raw });
  const component = draft.component;
  if (!component) {
    if (!draft.node.entries.has('component')) {
      context.problems.add(draft.place, `The step ${draft.name} has no component.`, 'component: a pipeline component');
    }
    return undefined;
  }
  const base = nodeBase(context, draft, read, component.source, component.id);
  // A step with a pipeline keeps the text of its compute as it is written, prefix and all; the service does not read it.
  const compute = read['compute'];
  if (typeof compute === 'string' && !isBinding(compute))
    base['computeId'] = compute === 'serverless' && component.kind === 'local' ? compute : namedId(context, 'computes', compute);
  return compact({ ...more, ...base });
}

/**
 * An input of the pipeline that feeds only optional inputs of its steps becomes optional itself; one declared optional must not feed a
 * required input. Steps are looked at in order, as the client does.
 */
function inferOptional(context: Context, inputs: ReadonlyMap<string, PortInput>, drafts: readonly Draft[]): void {
  for (const draft of drafts) {
    // A sweep has a trial, no component: the client does not look at it.
    if (draft.component?.kind !== 'local' || draft.type === 'sweep') continue;
    const declared = draft.component.inputs;
    const bound = new Map<string, string[]>();
    const inside = new Set<string>();
    for (const [name, value] of draft.inputs) {
      const text =
        value.kind === 'binding'
          ? value.text
          : value.kind === 'literal' && typeof value.value === 'string'
            ? value.value
            : undefined;
      // Text around an expression binds nothing; expressions one after the other do, with anything but spaces between them.
      if (text === undefined || !/^\$\{\{\s*parent\S*\s*\}\}$/.test(text)) continue;
      for (const [, expression = ''] of text.matchAll(/\$\{\{\s*(parent\.inputs\S*?)\s*\}\}/g)) {
        const source = /^parent\.inputs.([^.]+)/.exec(expression)?.[1] ?? '';
        if (!inputs.has(source)) continue;
        bound.set(source, [...(bound.get(source) ?? []), name]);
        // Spaces within the braces count as other text.
        if (text.replaceAll(`\${{parent.inputs.${source}}}`, '') !== '') inside.add(source);
      }
    }
    for (const [source, names] of bound) {
      const input = inputs.get(source);
      if (!input) continue;
      const required = names.filter(
        (name) => !(inside.has(source) && name === source) && declared.has(name) && declared.get(name)?.optional !== true,
      );
      if (input.optional === undefined && required.length === 0) {
        input.optional = true;
        input.inferredOptional = true;
      } else if (input.optional === true && required.length > 0) {
        if (input.inferredOptional) delete input.optional;
        else {
          context.problems.add(
            draft.place,
            `The pipeline's optional input ${source} is bound to ${required.map((name) => `${draft.name}.${name}`).join(', ')}, which is required.`,
          );
        }
      }
    }
  }
}
