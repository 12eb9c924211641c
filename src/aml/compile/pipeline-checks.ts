/** What must hold for a pipeline as a whole: computes of its steps, and the jobs that run first and last. */
import { child, textOf, type YMap } from './document.js';
import type { Context } from './context.js';
import type { CompiledNodes, Draft } from './nodes.js';
import { asText, isTreeObject } from './pending.js';
import type { Place } from './problems.js';

export interface StepPlace {
  name: string;
  place: Place;
}

/** Steps that name no compute, those of local pipelines below included (with the names above them). */
export function withoutCompute({ jobs, drafts }: CompiledNodes): StepPlace[] {
  return drafts.flatMap((draft) => {
    const step = jobs[draft.name];
    if (!isTreeObject(step)) return [];
    const type = asText(step['type']);
    if (type === 'pipeline') {
      const below = draft.component?.kind === 'local' ? (draft.component.withoutCompute ?? []) : [];
      return below.map(({ name, place }) => ({ name: `${draft.name}.${name}`, place }));
    }
    if (['do_while', 'parallel_for', 'if_else'].includes(type)) return [];
    const placed = step['computeId'] !== undefined || step['compute'] !== undefined;
    return placed || (type === 'spark' && step['resources'] !== undefined) ? [] : [{ name: draft.name, place: draft.place }];
  });
}

/** `on_init` and `on_finalize`: steps of this pipeline that nothing is bound to, besides at least one other. */
export function checkFirstAndLast(context: Context, settings: YMap | undefined, drafts: readonly Draft[]): void {
  const named = (['on_init', 'on_finalize'] as const).flatMap((key) => {
    const node = child(settings, key);
    const name = textOf(node);
    return node && name !== undefined ? [{ key, name, place: node.place }] : [];
  });
  const names = named.map(({ name }) => name);
  const [first, last] = named;
  if (!first) return;
  if (first.name === last?.name)
    context.problems.add(last.place, `on_init and on_finalize are both ${last.name}.`, 'two different steps');
  if (drafts.every(({ name }) => names.includes(name)))
    context.problems.add(first.place, 'Besides on_init and on_finalize the pipeline has no step.', 'at least one other step');
  for (const { key, name, place } of named) {
    const draft = drafts.find((one) => one.name === name);
    if (!draft) context.problems.add(place, `${key}: there is no step ${name}.`, drafts.map((one) => one.name).join(', '));
    else if (['do_while', 'parallel_for', 'if_else'].includes(draft.type))
      context.problems.add(place, `${key}: ${name} is a loop or condition.`, 'a step that runs something');
    else if (binds(draft, '') || drafts.some((other) => binds(other, name)))
      context.problems.add(
        place,
        `${key}: ${name} is connected with other steps.`,
        'a step without inputs from steps, whose outputs no step takes',
      );
  }
}

function binds(draft: Draft, step: string): boolean {
  return [...draft.inputs.values()].some(
    (value) => value.kind === 'binding' && value.text.startsWith(`\${{parent.jobs.${step}${step === '' ? '' : '.'}`),
  );
}
