/** Control flow: do_while, parallel_for, if_else (reference azure-ml-rest §1.7; the client compiles them as a private preview). */
import { isPrimitive } from './component-io.js';
import type { Context } from './context.js';
import { child, jsonNode, textOf, type YNode } from './document.js';
import { inputToRest, outputToRest, readInput } from './io.js';
import type { Draft } from './nodes.js';
import { compact, Pending, materialise, type Tree, type TreeObject } from './pending.js';
import { pyJson } from './python.js';
import type { Place } from './problems.js';
import { bool, int, isBinding, object, raw, readObject, union, str } from './schema.js';

const NODE = /^\$\{\{parent\.jobs\.([^.}]+)\}\}$/;

/** Name of the step that a loop runs. */
export function bodyOf(draft: Draft): string | undefined {
  return NODE.exec(textOf(child(draft.node, 'body')) ?? '')?.[1];
}

export function controlNode(context: Context, draft: Draft, drafts: readonly Draft[]): Tree {
  const sent =
    draft.type === 'do_while'
      ? doWhile(context, draft, drafts)
      : draft.type === 'parallel_for'
        ? parallelFor(context, draft, drafts)
        : ifElse(context, draft, drafts);
  return compact({ type: draft.type, ...sent, _source: 'YAML.JOB' });
}

/** The loop's body among the steps. Problems: no such step, or one that cannot be a body. */
function loopBody(context: Context, draft: Draft, drafts: readonly Draft[]): Draft | undefined {
  const node = child(draft.node, 'body');
  const place = node?.place ?? draft.place;
  const name = bodyOf(draft);
  const body = drafts.find((other) => other.name === name);
  const candidates = drafts
    .filter(({ type }) => type === 'command' || type === 'pipeline')
    .map((other) => `\${{parent.jobs.${other.name}}}`);
  if (!body)
    context.problems.add(
      place,
      `The loop ${draft.name} has no body among the steps.`,
      candidates.join(', ') || 'a command or pipeline step',
    );
  else if (body.type !== 'command' && body.type !== 'pipeline') {
    context.problems.add(place, `A step of type ${body.type} cannot be the body of a loop.`, candidates.join(', '));
  } else if (
    drafts.some((other) => other !== draft && ['do_while', 'parallel_for'].includes(other.type) && bodyOf(other) === name)
  ) {
    context.problems.add(place, `The step ${body.name} is the body of more than one loop.`);
  }
  return body;
}

function doWhile(context: Context, draft: Draft, drafts: readonly Draft[]): TreeObject {
  const { node } = draft;
  const read = readObject(
    node,
    {
      type: raw,
      body: raw,
      condition: raw,
      mapping: raw,
      limits: object({ max_iteration_count: int }, { name: 'limits', required: ['max_iteration_count'] }),
    },
    { name: `the loop ${draft.name}`, required: ['body', 'mapping', 'limits'], unknown: 'drop' },
    context.reader(draft.base),
  );
  const body = loopBody(context, draft, drafts);
  const limits = read['limits'] as TreeObject | undefined;
  const count = limits?.['max_iteration_count'];
  if (typeof count === 'number' && (count < 1 || count > 1000)) {
    context.problems.add(child(node, 'limits')?.place ?? draft.place, `max_iteration_count is ${count}.`, '1 to 1000');
  }
  const mapping: TreeObject = {};
  const mapNode = child(node, 'mapping');
  if (mapNode?.kind === 'map' && mapNode.entries.size > 0) {
    const fed = new Map<string, string>();
    for (const [key, entry] of mapNode.entries) {
      const output = port(context, body, key, 'outputs', entry.key.place);
      const items = entry.value.kind === 'seq' ? entry.value.items : [entry.value];
      mapping[output] = items.map((item) => {
        const input = port(context, body, textOf(item) ?? '', 'inputs', item.place);
        checkFeed(context, body, output, input, fed.get(input), item.place);
        fed.set(input, output);
        return input;
      });
    }
  } else if (mapNode)
    context.problems.add(
      mapNode.place,
      mapNode.kind === 'map' ? 'mapping is empty.' : 'mapping is not a mapping.',
      'an output of the body: an input of the body, or a list of them',
    );
  const condition = child(node, 'condition');
  const name = condition && port(context, body, textOf(condition) ?? '', 'outputs', condition.place);
  const type = name === undefined || body?.component?.kind !== 'local' ? undefined : body.component.outputs.get(name)?.type;
  if (condition && type !== undefined && !isPrimitive(type)) {
    context.problems.add(
      condition.place,
      `The condition is the output ${name ?? ''} of type ${type}.`,
      'an output of type boolean, integer, number or string',
    );
  }
  return { body: textOf(child(node, 'body')), condition: name, mapping, limits };
}

/** What a round hands to the next: one output to each input, and no file or folder to a value. */
function checkFeed(
  context: Context,
  body: Draft | undefined,
  output: string,
  input: string,
  before: string | undefined,
  place: Place,
): void {
  if (before !== undefined && before !== output)
    context.problems.add(place, `The input ${input} is given both ${before} and ${output}.`, 'one output for each input');
  if (body?.component?.kind !== 'local') return;
  const [from, to] = [body.component.outputs.get(output)?.type, body.component.inputs.get(input)?.type];
  if (from !== undefined && to !== undefined && !isPrimitive(from) && isPrimitive(to))
    context.problems.add(
      place,
      `The output ${output} of type ${from} cannot be given to ${input}, a ${to}.`,
      'an input for data',
    );
}

/** The name of an input or output of the body: `${{parent.jobs.BODY.outputs.x}}`, or the name itself. */
function port(context: Context, body: Draft | undefined, text: string, side: 'inputs' | 'outputs', place: Place): string {
  const match = /^\$\{\{.*\.jobs\.([^.}]+)\.(inputs|outputs)\.([^}]+)\}\}$/.exec(text);
  const name = match ? (match[3] ?? '') : text;
  if (!body) return name;
  const known = body.component?.kind === 'local' ? [...body.component[side].keys()] : [...body[side].keys()];
  const right = !match || (match[1] === body.name && match[2] === side);
  if (!right || (body.component?.kind === 'local' && !known.includes(name))) {
    context.problems.add(
      place,
      `${JSON.stringify(text)} is not one of the ${side} of the loop's body.`,
      known.map((one) => `\${{parent.jobs.${body.name}.${side}.${one}}}`).join(', ') || 'none',
    );
  }
  return name;
}

function parallelFor(context: Context, draft: Draft, drafts: readonly Draft[]): TreeObject {
  const { node } = draft;
  const read = readObject(
    node,
    { type: raw, body: raw, items: raw, max_concurrency: int, outputs: raw },
    { name: `the loop ${draft.name}`, required: ['body', 'items'], unknown: 'drop' },
    context.reader(draft.base),
  );
  const body = loopBody(context, draft, drafts);
  const items = child(node, 'items');
  const outputs = Object.fromEntries(
    [...draft.outputs]
      .filter(([, value]) => value.kind !== 'default')
      .map(([name, value]) => [name, outputToRest(value, 'snake')]),
  );
  return {
    body: textOf(child(node, 'body')),
    items: items && itemsText(context, draft, body, items),
    max_concurrency: read['max_concurrency'],
    ...(Object.keys(outputs).length > 0 ? { outputs } : {}),
  };
}

/** Items as JSON text, in Python's spelling; data in them is resolved like any input. */
function itemsText(context: Context, draft: Draft, body: Draft | undefined, given: YNode): Tree {
  const text = textOf(given);
  const node = text === undefined ? given : jsonNode(text, given.place);
  if (node === undefined) {
    if (isBinding(text)) return text;
    context.problems.add(
      given.place,
      'items is neither JSON nor a binding.',
      'a list or mapping of mappings, the same as JSON text, or ${{parent.inputs.x}}',
    );
    return text;
  }
  const members: [string | undefined, YNode][] =
    node.kind === 'seq'
      ? node.items.map((item) => [undefined, item])
      : node.kind === 'map'
        ? [...node.entries].map(([key, { value }]) => [key, value])
        : [];
  if (members.length === 0) context.problems.add(node.place, 'items is empty.', 'a list or mapping of mappings');
  const first = members[0]?.[1];
  const keys = first?.kind === 'map' ? [...first.entries.keys()] : [];
  const declared = body?.component?.kind === 'local' ? body.component.inputs : undefined;
  const built = members.map(([key, item]): [string | undefined, Tree] => {
    if (item.kind !== 'map') {
      context.problems.add(item.place, 'An item is a mapping from inputs of the body to values.');
      return [key, undefined];
    }
    if (item.entries.size !== keys.length || keys.some((name) => !item.entries.has(name))) {
      context.problems.add(item.place, 'All items must have the same keys.', keys.join(', '));
    }
    const assets: TreeObject = {};
    const values: TreeObject = {};
    for (const [name, entry] of item.entries) {
      if (declared && !declared.has(name))
        context.problems.add(entry.key.place, `The loop's body has no input ${name}.`, [...declared.keys()].join(', '));
      const value = readInput(context, entry.value, draft.base, true);
      if (value?.kind === 'literal') values[name] = value.value;
      else if (value?.kind === 'binding' && !value.mapped) values[name] = value.text;
      else if (value) {
        // The type last, as in the client's text.
        const { job_input_type: type, ...rest } = inputToRest(value, 'snake') as TreeObject;
        assets[name] = { ...rest, job_input_type: type };
      }
    }
    return [key, { ...assets, ...values }];
  });
  const tree: Tree =
    node.kind === 'map' ? Object.fromEntries(built.map(([key, value]) => [key ?? '', value])) : built.map(([, value]) => value);
  return new Pending(async (writing) => pyJson(await materialise(tree, writing), false));
}

function ifElse(context: Context, draft: Draft, drafts: readonly Draft[]): TreeObject {
  const { node } = draft;
  const read = readObject(
    node,
    { type: raw, condition: union(bool, str), true_block: raw, false_block: raw },
    { name: `the step ${draft.name}`, required: ['condition'], unknown: 'drop' },
    context.reader(draft.base),
  );
  const condition = read['condition'];
  const conditionNode = child(node, 'condition');
  if (conditionNode && typeof condition !== 'boolean' && !isBinding(condition)) {
    context.problems.add(conditionNode.place, 'This is no condition.', '${{parent.jobs.STEP.outputs.OUTPUT}}, true or false');
  }
  const blocks = (['true_block', 'false_block'] as const).map((key) => block(context, child(node, key), drafts));
  const [yes = [], no = []] = blocks;
  if (yes.length === 0 && no.length === 0)
    context.problems.add(draft.place, `${draft.name} has neither true_block nor false_block.`, '${{parent.jobs.STEP}}');
  const both = yes.filter((name) => no.includes(name));
  if (both.length > 0) context.problems.add(draft.place, `${both.join(', ')} stands in both blocks.`);
  const single = (names: string[]): Tree => (names.length === 0 ? undefined : names.length === 1 ? names[0] : names);
  return { condition, true_block: single(yes), false_block: single(no) };
}

function block(context: Context, node: YNode | undefined, drafts: readonly Draft[]): string[] {
  if (!node) return [];
  return (node.kind === 'seq' ? node.items : [node]).map((item) => {
    const text = textOf(item) ?? '';
    const name = NODE.exec(text.replace(/\s+(?=\}\}$)|(?<=^\$\{\{)\s+/g, ''))?.[1];
    if (name === undefined || !drafts.some((draft) => draft.name === name)) {
      context.problems.add(
        item.place,
        `${JSON.stringify(text)} is no step of this pipeline.`,
        drafts.map((draft) => `\${{parent.jobs.${draft.name}}}`).join(', '),
      );
    }
    return text;
  });
}
