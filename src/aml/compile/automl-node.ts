/** Automated ML steps: sent as YAML has them, without component and source (recordings in conformance/jobs). */
import { automlFields, fold, TASKS, type Task } from './automl-fields.js';
import { searchTexts, taskOf } from './automl-job.js';
import { baseFields, readOnlyKeys } from './base-job.js';
import { prefixed } from './component.js';
import type { Context } from './context.js';
import { child, textOf, type YNode } from './document.js';
import { isInputBinding, outputToRest, readInput } from './io.js';
import type { Draft } from './nodes.js';
import { asText, compact, isTreeObject, Pending, type Tree, type TreeObject } from './pending.js';
import { PyFloat, pyStr, type Json } from './python.js';
import { computeId } from './refs.js';
import { raw, readObject, what } from './schema.js';
import { plainResources } from './sweep-node.js';

export function autoMLNode(context: Context, draft: Draft): Tree {
  const name = taskOf({ context, root: draft.node }, true);
  if (name === undefined) return undefined;
  const task = TASKS[name] as Task;
  const { fields, required } = automlFields(name);
  const read = readObject(
    draft.node,
    // The client reads test data of any step, and sends none of text tasks.
    { ...baseFields, ...fields, test_data: raw },
    { name: `the step ${draft.name}`, required, elsewhere: readOnlyKeys },
    context.reader(draft.base, true),
  );
  const compute = child(draft.node, 'compute');
  const computeText = textOf(compute);
  const { tags, properties, display_name: display, name: _name, $schema: _schema, outputs: _outputs, resources, ...rest } = read;
  const sent: TreeObject = {
    ...rest,
    name: draft.name,
    type: 'automl',
    task: name,
    display_name: display,
    tags: tags ?? {},
    properties: properties ?? {},
    // A step has another default than a job.
    primary_metric: read['primary_metric'] ?? (name === 'classification' ? 'accuracy' : fold(task.metric)),
    log_verbosity: read['log_verbosity'] ?? (task.family === 'text' ? undefined : 'info'),
    outputs: Object.fromEntries(
      [...draft.outputs]
        .filter(([, value]) => value.kind !== 'default')
        .map(([key, value]) => [key, outputToRest(value, 'snake')]),
    ),
    resources: plainResources(resources),
  };
  if (compute && computeText !== undefined) {
    const id = computeId(context, computeText, compute.place);
    sent['compute'] = id.startsWith('${{') ? id : `azureml:${id}`;
  }
  if (task.family === 'text')
    sent['limits'] = { max_trials: 1, max_nodes: 1, ...(isTreeObject(read['limits']) ? read['limits'] : {}) };
  for (const key of ['training_data', 'validation_data', 'test_data']) {
    const node = child(draft.node, key);
    if (!node) continue;
    if (key !== 'test_data' || task.family === 'table') sent[key] = data(context, node, draft.base);
    else if (task.family === 'image') sent[key] = plainData(context, node, draft.base);
    else {
      delete sent[key];
      context.problems.warn(node.place, 'Tasks on text take no test data: test_data is not sent.');
    }
  }
  const sweep = read['sweep'];
  if (isTreeObject(sweep)) sent['sweep'] = { ...sweep, early_termination: policy(sweep['early_termination']) };
  const sweepNode = child(draft.node, 'sweep');
  if (sweepNode && task.family === 'text') {
    context.problems.add(
      sweepNode.place,
      `A step of task ${name} cannot have sweep; the official client does not send one either.`,
      'a job of its own (type: automl), or a step without sweep',
    );
  }
  const who = read['identity'];
  if (isTreeObject(who) && /^managed/i.test(asText(who['type']))) sent['identity'] = { ...who, type: 'managed_identity' };
  const space = read['search_space'];
  // Of text tasks the mappings are sent, of images their text.
  if (Array.isArray(space) && task.family !== 'text')
    sent['search_space'] = space.map((item) => (isTreeObject(item) ? searchTexts(item) : item));
  const training = read['training'];
  const stack = isTreeObject(training) ? training['stack_ensemble_settings'] : undefined;
  if (isTreeObject(training) && isTreeObject(stack)) {
    const percentage = stack['stack_meta_learner_train_percentage'] ?? new PyFloat(0.2);
    sent['training'] = { ...training, stack_ensemble_settings: { ...stack, stack_meta_learner_train_percentage: percentage } };
  }
  const forecasting = read['forecasting'];
  if (isTreeObject(forecasting)) {
    const texts = LISTS_AS_TEXT.filter((key) => Array.isArray(forecasting[key]));
    const used = Object.entries(forecasting).filter(([key, value]) => !(value === 0 && ZERO_IS_NONE.includes(key)));
    sent['forecasting'] = Object.fromEntries(
      used.map(([key, value]) => [key, texts.includes(key) ? pyStr(value as Json) : value]),
    );
  }
  const parameters = read['training_parameters'];
  if (isTreeObject(parameters)) {
    const switches = Object.entries(SWITCHES).filter(([key]) => typeof parameters[key] === 'string');
    sent['training_parameters'] = {
      ...parameters,
      ...Object.fromEntries(switches.map(([key, kind]) => [key, `${kind}.${asText(parameters[key]).toUpperCase()}`])),
    };
  }
  return compact(sent);
}

/** Members that the client sends as Python writes them. */
const LISTS_AS_TEXT = ['time_series_id_column_names', 'features_unknown_at_forecast_time'];
/** Zero of these counts as not said, in a step. */
const ZERO_IS_NONE = ['forecast_horizon', 'seasonality', 'target_lags', 'target_rolling_window_size'];
const SWITCHES = { log_training_metrics: 'LogTrainingMetrics', log_validation_loss: 'LogValidationLoss' };

/** A binding stays text; anything else is the text that Python makes of the mapping. */
function data(context: Context, node: YNode, base: string): Tree {
  const text = textOf(node);
  // Text is sent as it stands.
  if (text !== undefined && (isInputBinding(text) || text.startsWith('azureml:'))) return text;
  const type = child(node, 'type');
  if (type && textOf(type)?.toLowerCase() !== 'mltable')
    context.problems.add(type.place, `${what(type)} is no table.`, 'mltable');
  const value = readInput(context, node, base, true);
  if (!value || value.kind === 'literal') {
    context.problems.add(
      node.place,
      'This is no table.',
      '${{parent.inputs.x}}, ${{parent.jobs.step.outputs.x}} or type: mltable with a path',
    );
    return undefined;
  }
  const uri = value.kind === 'binding' ? value.text : value.uri;
  const write = (path: string): string =>
    pyStr({ type: value.type ?? 'mltable', path, ...(value.mode === undefined ? {} : { mode: value.mode }) });
  return uri instanceof Pending ? new Pending(async (writing) => write(asText(await uri.resolve(writing)))) : write(asText(uri));
}

/** Test data of images, which the client leaves as a mapping. */
function plainData(context: Context, node: YNode, base: string): Tree {
  const value = readInput(context, node, base, true);
  if (value?.kind !== 'data') return textOf(node) ?? data(context, node, base);
  return compact({ type: value.type, path: prefixed(value.uri), mode: value.mode });
}

function policy(value: Tree): Tree {
  if (!isTreeObject(value)) return value;
  const median = asText(value['type']).toLowerCase() === 'median_stopping';
  const common = {
    evaluation_interval: value['evaluation_interval'] ?? (median ? 1 : 0),
    delay_evaluation: value['delay_evaluation'] ?? 0,
  };
  if (asText(value['type']).toLowerCase() !== 'bandit') return { ...value, ...common };
  return {
    ...value,
    ...common,
    slack_factor: value['slack_factor'] ?? new PyFloat(0),
    slack_amount: value['slack_amount'] ?? new PyFloat(0),
  };
}
