/** Sweep steps: a trial component and what is varied. */
import type { Context } from './context.js';
import { identity } from './fields.js';
import { nodeBase, readNode, type Draft } from './nodes.js';
import { asText, compact, isTreeObject, type Tree } from './pending.js';
import { pyStr, type Json } from './python.js';
import { policyToRest, sweepFields } from './sweep.js';

export function sweepNode(context: Context, draft: Draft): Tree {
  const { read, more } = readNode(context, draft, { ...sweepFields, identity });
  for (const key of ['objective', 'limits']) {
    if (!draft.node.entries.has(key))
      context.problems.add(draft.place, `The sweep ${draft.name} has no ${key}.`, sweepFields[key]?.accepts);
  }
  const component = draft.component;
  if (!component) {
    if (!draft.node.entries.has('trial'))
      context.problems.add(draft.place, `The sweep ${draft.name} has no trial.`, 'trial: a command component');
    return undefined;
  }
  return compact({
    ...more,
    ...nodeBase(context, draft, read, component.source),
    limits: floored(read['limits']),
    sampling_algorithm: sampling(read['sampling_algorithm']),
    objective: read['objective'],
    early_termination: policyToRest(read['early_termination'], 'snake'),
    search_space: read['search_space'],
    queue_settings: read['queue_settings'],
    resources: plainResources(read['resources']),
    trial: { componentId: component.id },
  });
}

/** The algorithm's name in lower case, also where it is described. */
function sampling(algorithm: Tree): Tree {
  return isTreeObject(algorithm) ? { ...algorithm, type: asText(algorithm['type']).toLowerCase() } : algorithm;
}

/** Resources of a sweep or automl step go as they are written, a list of Docker arguments as Python's text of it. */
export function plainResources(resources: Tree): Tree {
  if (!isTreeObject(resources) || !Array.isArray(resources['docker_args'])) return resources;
  return { ...resources, docker_args: pyStr(resources['docker_args'] as Json) };
}

/** Times under a minute become one. */
function floored(limits: Tree): Tree {
  if (!isTreeObject(limits)) return limits;
  const result = { ...limits };
  for (const key of ['timeout', 'trial_timeout']) {
    const time = result[key];
    if (typeof time === 'number' && time > 0 && time < 60) result[key] = 60;
  }
  return result;
}
