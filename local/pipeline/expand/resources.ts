/** `trigger`, `pr`, `schedules` and `resources`. */
import type { Context, Slot } from './context.js';
import { any, list, nonEmpty, object, readObject, type Reader, staticText, text, unexpected, unique } from './shapes.js';
import type { Normal, NormalMapping } from './types.js';
import { entries, items, settle } from './unravel.js';

const patterns = object({
  properties: {
    include: list(text, { orScalar: true, directives: 'asWritten' }),
    exclude: list(text, { orScalar: true, directives: 'asWritten' }),
  },
  directives: 'asWritten',
});

const triggerProperties = { batch: text, branches: patterns, paths: patterns, tags: patterns };
const prProperties = { autoCancel: text, branches: patterns, paths: patterns, drafts: text };

/** `none` → `{enabled: false}`, a list → branches to include. Values expand here, directives do not. */
function triggerOf(properties: Record<string, Reader>): Reader {
  return (context, slot) => readTrigger(context, slot, properties);
}

export const trigger = triggerOf(triggerProperties);
export const pr = triggerOf(prProperties);

function readTrigger(context: Context, slot: Slot, properties: Record<string, Reader>): Normal | undefined {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind === 'scalar') {
    if (node.text === 'none') return context.mark({ enabled: 'false' }, node.place);
    if (node.empty || node.text === '') return context.mark({}, node.place);
    return unexpected(context, node);
  }
  if (node.kind === 'sequence') {
    const include = list(text, { directives: 'asWritten' })(context, { node, frame: slot.frame });
    return include && context.mark({ branches: { include } }, node.place);
  }
  return readObject(context, node, slot, { properties, directives: 'asWritten' });
}

export const schedules: Reader = list(
  object({
    properties: { cron: nonEmpty, displayName: text, branches: patterns, always: text, batch: text },
    first: 'cron',
  }),
);

const repository = object({
  properties: {
    repository: staticText,
    type: staticText,
    name: staticText,
    endpoint: text,
    ref: text,
    trigger,
  },
  first: 'repository',
  open: true,
  directives: false,
});

const repositories: Reader = (context, slot) => {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind !== 'sequence') return unexpected(context, node);
  const result: NormalMapping[] = context.mark([], node.place);
  for (const item of items(context, node, slot.frame, { directives: false })) {
    const found = repository(context, item) as NormalMapping | undefined;
    if (!found) continue;
    result.push(found);
    const alias = found['repository'];
    if (typeof alias !== 'string') continue;
    const name = typeof found['name'] === 'string' ? found['name'] : alias;
    const ref = typeof found['ref'] === 'string' ? found['ref'] : 'refs/heads/main';
    context.repositories.set(alias.toLowerCase(), { alias, name, ref });
  }
  return result;
};

/** A list of resources of one kind: known keys, the first of which names it. */
function one(first: string, keys: string[], open = false): Reader {
  return object({ properties: Object.fromEntries([first, ...keys].map((key) => [key, any])), first, open });
}

function kind(first: string, keys: string[]): Reader {
  return list(one(first, keys));
}

/** A container resource, also as the value of a parameter. */
export const container = one('container', [], true);
export const containers = list(container);

const packageList = kind('package', ['type', 'connection', 'name', 'version', 'tag', 'trigger']);
const packages: Reader = (context, slot) => {
  const found = packageList(context, slot);
  for (const item of Array.isArray(found) ? found : []) {
    const alias = (item as NormalMapping)['package'];
    if (typeof alias === 'string') context.packages.add(alias.toLowerCase());
  }
  return found;
};

export const resources: Reader = (context: Context, slot) => {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind === 'sequence') return any(context, slot);
  if (node.kind !== 'mapping') return unexpected(context, node);
  const readers: Record<string, Reader> = {
    repositories,
    packages,
    containers,
    pipelines: kind('pipeline', ['project', 'source', 'version', 'branch', 'tags', 'trigger']),
    builds: kind('build', ['type', 'connection', 'source', 'version', 'branch', 'trigger']),
    webhooks: kind('webhook', ['connection', 'type', 'filters']),
  };
  const result: NormalMapping = context.mark({}, node.place);
  for (const entry of unique(context, entries(context, node, slot.frame, { directives: true }))) {
    const reader = Object.hasOwn(readers, entry.key) ? readers[entry.key] : undefined;
    const value = reader?.(context, entry.value);
    if (!reader) context.error(entry.place, `Unexpected value '${entry.key}'`);
    else if (value !== undefined) {
      result[entry.key] = value;
      context.markProperty(result, entry.key, entry.place);
    }
  }
  return result;
};
