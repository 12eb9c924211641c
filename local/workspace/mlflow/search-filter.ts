/** MLflow's search language: `metrics.acc > 0.5 and tags."a b" = 'x'`, and `metrics.acc DESC` for the order. */
import { invalid } from './wire.js';

export interface Condition {
  entity: 'metric' | 'param' | 'tag' | 'attribute' | 'dataset';
  key: string;
  operator: string;
  value: string | number | string[] | null;
}

export interface Order {
  entity: Condition['entity'];
  key: string;
  ascending: boolean;
}

const entities: Record<string, Condition['entity']> = {};
for (const [entity, names] of Object.entries({
  metric: 'metric metrics',
  param: 'param params parameter parameters',
  tag: 'tag tags',
  attribute: 'attribute attributes attr run runs',
  dataset: 'dataset datasets',
}))
  for (const name of names.split(' ')) entities[name] = entity as Condition['entity'];

const token =
  /\s*(?:(?<string>'(?:[^'\\]|\\.|'')*')|(?<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))|(?<operator>!=|>=|<=|=|>|<)|(?<open>\()|(?<close>\))|(?<comma>,)|(?<name>[\w-]+(?:\.(?:`[^`]*`|"[^"]*"|[\w./ -]*[\w/-]|[\w./-]+))?|`[^`]*`|"[^"]*"))/y;

interface Token {
  kind: 'string' | 'number' | 'operator' | 'open' | 'close' | 'comma' | 'name';
  text: string;
}

/** Words that end a key, so that `tags.a b = 1` keeps its blank but `metrics.a AND …` does not take the AND. */
const word = /^(and|in|not|like|ilike|is|null|asc|desc)$/i;

function tokens(filter: string): Token[] {
  const found: Token[] = [];
  token.lastIndex = 0;
  while (token.lastIndex < filter.trimEnd().length) {
    const at = token.lastIndex;
    const match = token.exec(filter);
    if (!match?.groups) throw invalid(`Invalid filter '${filter}': cannot read it from position ${at + 1} on.`);
    const [kind, text] = Object.entries(match.groups).find(([, value]) => value !== undefined) as [Token['kind'], string];
    if (kind === 'name' && / /.test(text) && !/[`"]/.test(text)) {
      // A bare key holds blanks only by mistake of the expression: give back what follows the first.
      const first = text.slice(0, text.indexOf(' '));
      token.lastIndex -= text.length - first.length;
      found.push({ kind, text: first });
    } else found.push({ kind, text });
  }
  return found;
}

const unquote = (text: string): string => {
  const quote = text[0];
  if (quote === "'") return text.slice(1, -1).replaceAll("''", "'").replace(/\\(.)/g, '$1');
  return quote === '"' || quote === '`' ? text.slice(1, -1) : text;
};

/** A key without an entity before it is an attribute. */
function split(text: string): { entity: Condition['entity']; key: string } {
  const dot = text.indexOf('.');
  if (dot < 0 || /^[`"]/.test(text)) return { entity: 'attribute', key: unquote(text) };
  const entity = entities[text.slice(0, dot).toLowerCase()];
  if (!entity)
    throw invalid(`Invalid entity type '${text.slice(0, dot)}'. Valid values are metrics, params, tags, attributes, datasets.`);
  return { entity, key: unquote(text.slice(dot + 1)) };
}

/** Errors: INVALID_PARAMETER_VALUE that says where. */
export function parseFilter(filter: string | undefined): Condition[] {
  if (filter === undefined || filter.trim() === '') return [];
  const all = tokens(filter);
  const conditions: Condition[] = [];
  let at = 0;
  const bad = (why: string): Error => invalid(`Invalid filter '${filter}': ${why}.`);
  const next = (what: string): Token => {
    const found = all[at++];
    if (!found) throw bad(`${what} is expected at its end`);
    return found;
  };
  for (;;) {
    const name = next('a key');
    if (name.kind !== 'name' || word.test(name.text)) throw bad(`a key is expected instead of ${name.text}`);
    const { entity, key } = split(name.text);
    let operator = next('a comparison').text.toUpperCase();
    if (operator === 'NOT' || operator === 'IS') {
      const second = next('a comparison').text.toUpperCase();
      operator += ` ${second}`;
      if (operator === 'IS NOT') operator += ` ${next('NULL').text.toUpperCase()}`;
    }
    let value: Condition['value'] = null;
    if (operator === 'IN' || operator === 'NOT IN') {
      if (next('(').kind !== 'open') throw bad('( is expected after IN');
      const values: string[] = [];
      for (;;) {
        const entry = next('a value');
        if (entry.kind !== 'string') throw bad('IN takes quoted values');
        values.push(unquote(entry.text));
        const after = next(')');
        if (after.kind === 'close') break;
        if (after.kind !== 'comma') throw bad(', or ) is expected in the list');
      }
      value = values;
    } else if (!operator.startsWith('IS ')) {
      const entry = next('a value');
      if (entry.kind === 'number') value = Number(entry.text);
      else if (entry.kind === 'string' || /^["`]/.test(entry.text)) value = unquote(entry.text);
      else throw bad(`a number or a quoted text is expected instead of ${entry.text}`);
    }
    check(entity, key, operator, value, bad);
    conditions.push({ entity, key, operator, value });
    const and = all[at++];
    if (!and) return conditions;
    if (and.kind !== 'name' || !/^and$/i.test(and.text)) throw bad(`AND is expected instead of ${and.text}`);
  }
}

const numeric = new Set([
  'start_time',
  'end_time',
  'created',
  'creation_time',
  'last_update_time',
  'creation_timestamp',
  'last_updated_timestamp',
  'version_number',
]);
const isNumeric = ({ entity, key }: { entity: string; key: string }): boolean =>
  entity === 'metric' || (entity === 'attribute' && numeric.has(key.toLowerCase()));

function check(entity: string, key: string, operator: string, value: Condition['value'], bad: (why: string) => Error): void {
  const allowed = isNumeric({ entity, key })
    ? ['=', '!=', '>', '>=', '<', '<=']
    : ['=', '!=', 'LIKE', 'ILIKE', 'IN', 'NOT IN', ...(entity === 'dataset' ? [] : ['IS NULL', 'IS NOT NULL'])];
  if (!allowed.includes(operator) && !(entity === 'attribute' && key.startsWith('version')))
    throw bad(`${operator} cannot be used with ${entity} ${key}`);
  if (isNumeric({ entity, key }) && typeof value !== 'number') throw bad(`${entity} ${key} is compared with a number`);
  if (!isNumeric({ entity, key }) && typeof value === 'number' && !(entity === 'attribute' && key.startsWith('version')))
    throw bad(`${entity} ${key} is compared with a quoted text`);
}

const like = (pattern: string, flags: string): RegExp =>
  new RegExp(
    `^${pattern
      .replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
      .replaceAll('%', '[\\s\\S]*')
      .replaceAll('_', '[\\s\\S]')}$`,
    flags,
  );

/** Does a value (undefined: there is none) satisfy a condition? */
export function satisfies(actual: string | number | undefined, { operator, value }: Condition): boolean {
  if (operator === 'IS NULL') return actual === undefined;
  if (operator === 'IS NOT NULL') return actual !== undefined;
  if (actual === undefined) return false;
  switch (operator) {
    case '=':
      return typeof value === 'number' ? Number(actual) === value : String(actual) === value;
    case '!=':
      return typeof value === 'number' ? Number(actual) !== value : String(actual) !== value;
    case '>':
      return Number(actual) > Number(value);
    case '>=':
      return Number(actual) >= Number(value);
    case '<':
      return Number(actual) < Number(value);
    case '<=':
      return Number(actual) <= Number(value);
    case 'LIKE':
      return like(String(value), '').test(String(actual));
    case 'ILIKE':
      return like(String(value), 'i').test(String(actual));
    case 'IN':
      return (value as string[]).includes(String(actual));
    default:
      return !(value as string[]).includes(String(actual));
  }
}

export function parseOrder(clauses: string[]): Order[] {
  return clauses.map((clause) => {
    const match = /^\s*(.+?)(?:\s+(asc|desc))?\s*$/i.exec(clause);
    if (!match) throw invalid(`Invalid order_by clause '${clause}'.`);
    const said = match[1] ?? '';
    // One key a clause; a key with blanks or commas is quoted.
    if (/[\s,]/.test(said) && !/^(?:\w+\.)?(?:`[^`]*`|"[^"]*")$/.test(said))
      throw invalid(`Invalid order_by clause '${clause}': one key, then ASC or DESC, is expected.`);
    return { ...split(said), ascending: (match[2] ?? 'asc').toLowerCase() === 'asc' };
  });
}

/** Sorts by the clauses; what has no value comes last either way, NaN before it. */
export function sortBy<T>(items: T[], orders: Order[], valueOf: (item: T, order: Order) => string | number | undefined): T[] {
  const rank = (value: string | number | undefined): number => (value === undefined ? 2 : Number.isNaN(value) ? 1 : 0);
  return [...items].sort((a, b) => {
    for (const order of orders) {
      const [left, right] = [valueOf(a, order), valueOf(b, order)];
      const [l, r] = [rank(left), rank(right)];
      if (l !== r) return l - r;
      if (l === 0 && left !== right)
        return ((left as string | number) < (right as string | number) ? -1 : 1) * (order.ascending ? 1 : -1);
    }
    return 0;
  });
}
