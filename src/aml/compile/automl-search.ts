/** Search spaces of image and text tasks of automated ML: what may be searched over, and in which type (the client's schemas, tried). */
import type { YMap, YNode, YScalar } from './document.js';
import { Problems } from './problems.js';
import { PyFloat } from './python.js';
import { bool, finite, float, int, list, object, readField, scalarInt, str, tagged, union, words, type Field } from './schema.js';
import { plain } from './sweep.js';

const wholeOf = (keys: readonly string[]): Field =>
  object(Object.fromEntries([['type', str], ...keys.map((key) => [key, scalarInt] as const)]), {
    name: 'the search space',
    required: keys,
  });
const wholeUniform = wholeOf(['min_value', 'max_value', 'q']);
const wholeNormal = wholeOf(['mu', 'sigma', 'q']);

const choiceOf = (values: Field): Field =>
  object({ type: words(['choice']), values: list(values) }, { name: 'the search space', required: ['values'] });

/** One value, or a distribution. `choices`: what a choice may be between, the first that fits. */
function searched(single: Field, choices: readonly Field[], others: Record<string, Field> = {}): Field {
  const variants = tagged('type', { choice: union(...choices.map(choiceOf)), ...others }, undefined, (text) =>
    text.toLowerCase(),
  );
  return {
    accepts: `${single.accepts} or a distribution`,
    shape: 'any',
    read(node, reader) {
      const given = reader.bindings ? fromText(node) : node;
      const trial = new Problems();
      const value = readField(given.kind === 'map' ? variants : single, given, { ...reader, bindings: false, problems: trial });
      for (const { place, message, accepted } of trial.list)
        reader.problems.add(place, message, accepted ?? `${single.accepts}, or a mapping such as {type: choice, values: [...]}`);
      return value;
    },
  };
}

const number = searched(finite(float), [scalarInt, finite(float)], plain);
const wholeOfImage = searched(scalarInt, [scalarInt], {
  randint: plain.randint,
  quniform: wholeUniform,
  qloguniform: wholeUniform,
  qnormal: wholeNormal,
  qlognormal: wholeNormal,
});
const wholeOfText = searched(scalarInt, [scalarInt], { randint: plain.randint });
const text = searched(str, [str]);
const truth = searched(bool, [bool]);

/** Settings of training that cannot be searched over. */
const FIXED = new Set([
  'advanced_settings',
  'checkpoint_run_id',
  'checkpoint_frequency',
  'log_training_metrics',
  'log_validation_loss',
]);

/** In: the parameters of a task's training. Out: the field of its `search_space`. */
export function searchSpace(parameters: Readonly<Record<string, Field>>, images: boolean): Field {
  const whole = images ? wholeOfImage : wholeOfText;
  const of = (field: Field): Field =>
    field === float ? number : field === int ? whole : field === bool ? truth : field === str ? text : searched(field, [field]);
  const free = Object.entries(parameters).filter(([key]) => !FIXED.has(key));
  return list(object(Object.fromEntries(free.map(([key, field]) => [key, of(field)])), { name: 'the search space' }));
}

/** In a step also the text that is sent is taken: `choice('a','b')`, `uniform(0.1,1)`, `3`. */
function fromText(node: YNode): YNode {
  if (node.kind !== 'scalar' || node.type !== 'str') return node;
  const { place } = node;
  const [name = '', ...rest] = node.text.split(/[ ,()]+/).filter((part) => part !== '');
  const inferred = (part: string): YScalar => {
    const bare = part.trim();
    if (/^[-+]?\d+$/.test(bare)) return { kind: 'scalar', type: 'int', value: Number(bare), text: bare, place };
    if (bare !== '' && Number.isFinite(Number(bare)))
      return { kind: 'scalar', type: 'float', value: new PyFloat(Number(bare)), text: bare, place };
    if (bare === 'True' || bare === 'False')
      return { kind: 'scalar', type: 'bool', value: bare === 'True', text: bare.toLowerCase(), place };
    const words = bare.replace(/^['"]+|['"]+$/g, '');
    return { kind: 'scalar', type: 'str', value: words, text: words, place };
  };
  if (rest.length === 0) return inferred(name);
  const type = name.toLowerCase();
  const keys = type === 'randint' ? ['upper'] : type.endsWith('normal') ? ['mu', 'sigma'] : ['min_value', 'max_value'];
  if (type.startsWith('q')) keys.push('q');
  if (type !== 'choice' && !(Object.hasOwn(plain, type) && keys.length === rest.length)) return node;
  const entries: YMap['entries'] = new Map();
  const put = (key: string, value: YNode): void => {
    entries.set(key, { key: { kind: 'scalar', type: 'str', value: key, text: key, place }, value });
  };
  put('type', { kind: 'scalar', type: 'str', value: type, text: type, place });
  if (type === 'choice') put('values', { kind: 'seq', items: rest.map(inferred), place });
  else keys.forEach((key, index) => put(key, inferred(rest[index] ?? '')));
  return { kind: 'map', entries, place };
}
