/** Expressions inside job texts: `${{inputs.x}}`, `${{outputs.x}}`, `${{search_space.x}}`, `$[[ optional ]]` (azure-ml-rest.md §1.8). */
import { Failure } from '../../../src/azure/errors.js';

const expression = /\$\{\{\s*([^{}]*?)\s*\}\}/g;
const optional = /\$\[\[([\s\S]*?)\]\]/g;

interface Values {
  /** Value of each input; undefined = an optional input without a value. */
  inputs: ReadonlyMap<string, string | undefined>;
  outputs: ReadonlyMap<string, string>;
  searchSpace?: ReadonlyMap<string, string>;
}

function lookUp(name: string, values: Values): { known: boolean; value?: string | undefined } {
  const [context = '', ...path] = name.split('.');
  // `inputs.group.member` names a member of an input group; groups arrive flattened under that very name.
  const key = path.join('.');
  const table = { inputs: values.inputs, outputs: values.outputs, search_space: values.searchSpace }[context];
  return table?.has(key) ? { known: true, value: table.get(key) } : { known: false };
}

/**
 * The command line with its expressions filled in, raw as Azure ML does it (no quoting). `$[[…]]` vanishes when an input in it has no value.
 * @throws Failure `InvalidExpression` for a name that the job does not have
 */
export function fillCommand(command: string, values: Values): string {
  const fill = (text: string): string =>
    text.replace(expression, (_, name: string) => {
      const { known, value } = lookUp(name, values);
      if (!known)
        throw new Failure(`\${{${name}}} in the command names nothing that the job has.`, {
          code: 'InvalidExpression',
          advice: `Inputs: ${[...values.inputs.keys()].join(', ') || 'none'}; outputs: ${[...values.outputs.keys()].join(', ') || 'none'}.`,
        });
      return value ?? '';
    });
  const kept = command.replace(optional, (_, part: string) => {
    const absent = [...part.matchAll(expression)].some(([, name = '']) => {
      const { known, value } = lookUp(name, values);
      return !known || value === undefined;
    });
    return absent ? '' : part;
  });
  return fill(kept);
}

/** Names used in a command, for checks at submission: `inputs.x`, `outputs.y`, … outside `$[[…]]`. */
export function expressionsOf(command: string): string[] {
  return [...command.replace(optional, '').matchAll(expression)].map(([, name = '']) => name);
}

/** Output paths know `${{name}}` (the job's), `${{output_name}}` and `${{default_datastore}}`. */
export function fillOutputPath(path: string, known: { name: string; outputName: string; defaultDatastore: string }): string {
  return path.replace(expression, (whole, name: string) => {
    const value = { name: known.name, output_name: known.outputName, default_datastore: known.defaultDatastore }[name];
    return value ?? whole;
  });
}

export type Binding =
  | { kind: 'parentInput'; name: string }
  | { kind: 'parentOutput'; name: string }
  | { kind: 'nodeOutput'; node: string; name: string }
  | { kind: 'nodeInput'; node: string; name: string };

/** What a node's input or output is bound to, when its whole text is one expression; undefined for plain text. */
export function parseBinding(text: string | undefined): Binding | undefined {
  const match = /^\s*\$\{\{\s*parent\.([^{}]+?)\s*\}\}\s*$/.exec(text ?? '');
  if (!match) return undefined;
  const [context, first = '', direction, ...rest] = (match[1] ?? '').split('.');
  const tail = [direction, ...rest].filter((part) => part !== undefined).join('.');
  if (context === 'inputs') return { kind: 'parentInput', name: tail ? `${first}.${tail}` : first };
  if (context === 'outputs') return { kind: 'parentOutput', name: first };
  if (context === 'jobs' && direction === 'outputs') return { kind: 'nodeOutput', node: first, name: rest.join('.') };
  if (context === 'jobs' && direction === 'inputs') return { kind: 'nodeInput', node: first, name: rest.join('.') };
  return undefined;
}

/** Fills `${{parent.inputs.x}}` inside a longer text (`prefix-${{parent.inputs.x}}`). */
export function fillParentInputs(text: string, inputs: ReadonlyMap<string, string | undefined>): string {
  return text.replace(expression, (whole, name: string) => {
    const key = /^parent\.inputs\.(.+)$/.exec(name)?.[1];
    return key !== undefined && inputs.has(key) ? (inputs.get(key) ?? '') : whole;
  });
}

/** ISO 8601 duration (`PT1H30M`, `P1D`) in seconds; plain digits are seconds. @throws Failure `InvalidDuration` */
export function seconds(duration: string | number): number {
  if (typeof duration === 'number' || /^\d+(\.\d+)?$/.test(duration)) return Number(duration);
  const match = /^P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?$/i.exec(duration);
  if (!match || duration.length < 3)
    throw new Failure(`'${duration}' is not a duration such as PT30M.`, { code: 'InvalidDuration' });
  const [, d = 0, h = 0, m = 0, s = 0] = match;
  return Number(d) * 86_400 + Number(h) * 3_600 + Number(m) * 60 + Number(s);
}
