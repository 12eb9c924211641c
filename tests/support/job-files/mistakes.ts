/** What goes wrong in files: keys in other spelling, missing, unknown or twice; values of other types. Many of these the client still takes. */
import { ODD, Plain, isMap, type Yaml, type YamlMap } from './yaml-text.js';
import type { Random } from './random.js';

interface Spot {
  holder: YamlMap;
  key: string;
}

function spots(value: Yaml | undefined, into: Spot[] = []): Spot[] {
  if (Array.isArray(value)) value.forEach((item) => spots(item, into));
  else if (isMap(value))
    for (const [key, item] of Object.entries(value)) {
      if (item !== undefined && key !== '<<') into.push({ holder: value, key });
      spots(item, into);
    }
  return into;
}

const KINDS: Record<string, (spot: Spot, random: Random) => void> = {
  drop: ({ holder, key }) => void delete holder[key],
  odd: ({ holder, key }, random) => void (holder[key] = new Plain(random.pick(ODD))),
  nothing: ({ holder, key }) => void (holder[key] = new Plain('')),
  list: ({ holder, key }) => void (holder[key] = [holder[key] ?? null]),
  mapping: ({ holder, key }) => void (holder[key] = { a: holder[key] }),
  empty: ({ holder, key }, random) => void (holder[key] = random.pick<Yaml>([[], {}, ''])),
  text: ({ holder, key }) => void (holder[key] = typeof holder[key] === 'number' ? String(holder[key]) : 'text'),
  expression: ({ holder, key }, random) =>
    void (holder[key] = random.pick(['${{parent.inputs.p}}', '${{inputs.p}}', '${{parent.jobs.x.outputs.y}}', '${{name}}'])),
  case: ({ holder, key }, random) =>
    rename(
      holder,
      key,
      random.pick([
        key.toUpperCase(),
        key.charAt(0).toUpperCase() + key.slice(1),
        key.replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      ]),
    ),
  valueCase: ({ holder, key }, random) => {
    const value = holder[key];
    if (typeof value === 'string')
      holder[key] = random.chance(0.5) ? value.toUpperCase() : value.charAt(0).toUpperCase() + value.slice(1);
  },
  unknown: ({ holder }) => void (holder['unheard_of'] = 1),
  key: ({ holder, key }, random) => rename(holder, key, random.pick(['1', 'on', 'a b', 'ü', `${key}s`])),
  swap: ({ holder, key }) => {
    const [other] = Object.keys(holder).filter((one) => one !== key);
    if (other !== undefined) [holder[key], holder[other]] = [holder[other], holder[key]];
  },
};

function rename(holder: YamlMap, key: string, to: string): void {
  const entries = Object.entries(holder);
  for (const [name] of entries) delete holder[name];
  for (const [name, value] of entries) holder[name === key ? to : name] = value;
}

/** Makes one mistake somewhere in a file. */
export function mistake(value: YamlMap, random: Random): string {
  const { holder, key } = random.pick(spots(value));
  const kind = random.pick(Object.keys(KINDS));
  KINDS[kind]?.({ holder, key }, random);
  return `${kind} ${key}`;
}
