/** `type: automl` jobs. */
import { automlFields, fold, restName, TASKS, type Task } from './automl-fields.js';
import { compute, readJob, usesUserIdentity, type JobBody, type JobFile } from './base-job.js';
import { child, textOf, type YNode } from './document.js';
import { duration, identityToRest, restyle, styled } from './fields.js';
import { readInput, readOutputs, outputToRest } from './io.js';
import { asText, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { PyFloat, pyFloat, pyStr } from './python.js';
import { nearest, oneOf } from './problems.js';
import { mapValues, policyToRest } from './sweep.js';

/** The task of an automated ML job (as it is spelled) or step (in any of its spellings). Problems: missing or unknown. */
export function taskOf(job: Pick<JobFile, 'context' | 'root'>, isStep = false): string | undefined {
  const node = child(job.root, 'task');
  const given = textOf(node) ?? '';
  const text = isStep ? fold(given) : given;
  if (Object.hasOwn(TASKS, text)) return text;
  const near = nearest(fold(given), Object.keys(TASKS));
  job.context.problems.add(
    node?.place ?? job.root.place,
    `${node ? `${JSON.stringify(text)} is no task` : 'The key task is missing'}.${near ? ` Did you mean ${near}?` : ''}`,
    oneOf(Object.keys(TASKS)),
  );
  return undefined;
}

/** A service as it is written, its type in lower case. */
function lowerType(service: Tree): Tree {
  if (!isTreeObject(service) || service['type'] === undefined) return service;
  return { ...service, type: asText(service['type']).toLowerCase() };
}

/** Compiles an automated ML job. Problems go to the context. */
export function autoMLJob(job: JobFile): JobBody {
  const { context, root, base } = job;
  const name = taskOf(job);
  if (name === undefined) return { type: 'AutoML', needsAmlToken: false, properties: {} };
  const task = TASKS[name] as Task;
  const { fields, required } = automlFields(name);
  const read = readJob(job, fields, { name: `an automl ${name} job`, required });
  const data = (key: string): Tree => {
    const node = child(root, key);
    return node && mlTable(job, node);
  };
  const outputs = readOutputs(context, child(root, 'outputs'), base, 'job');
  const unused = task.family === 'image' ? child(root, 'test_data') : undefined;
  if (unused) context.problems.warn(unused.place, 'Tasks on images take no test data: test_data is not sent.');
  return {
    type: 'AutoML',
    needsAmlToken: usesUserIdentity(read),
    properties: {
      description: read['description'],
      tags: read['tags'] ?? {},
      properties: read['properties'] ?? {},
      isArchived: false,
      computeId: compute(job),
      jobType: 'AutoML',
      environmentId: read['environment_id'],
      environmentVariables: read['environment_variables'],
      identity: identityToRest(read['identity'], 'camel'),
      // The type of an output of automated ML is the service's to know: the client sends none of its own.
      outputs: Object.fromEntries(
        [...outputs].map(([key, value]) => [
          key,
          outputToRest(value.kind === 'data' ? { ...value, type: 'uri_folder' } : value, 'camel'),
        ]),
      ),
      // Sent as the client sends them, in snake_case.
      resources: plainResources(read['resources']),
      queueSettings: read['queue_settings'],
      services: isTreeObject(read['services']) ? mapValues(read['services'], lowerType) : undefined,
      taskDetails: {
        taskType: task.rest,
        // Entities stand in the rows themselves: the client sends no column for them.
        targetColumnName: name === 'text_ner' ? undefined : read['target_column_name'],
        trainingData: data('training_data'),
        validationData: data('validation_data'),
        testData: task.family === 'image' ? undefined : data('test_data'),
        logVerbosity: restName(asText(read['log_verbosity']) || 'info'),
        ...(['text_ner', 'text_classification_multilabel'].includes(name)
          ? {}
          : { primaryMetric: restName(asText(read['primary_metric']) || task.metric) }),
        ...(task.family === 'table' ? table(read) : task.family === 'text' ? text(read) : image(read)),
      },
    },
  };
}

function plainResources(value: Tree): Tree {
  if (!isTreeObject(value)) return value;
  const { properties: _properties, ...rest } = value;
  return rest;
}

/** A table as `{uri, jobInputType}`. */
function mlTable({ context, base }: JobFile, node: YNode): Tree {
  const value = readInput(context, node, base, false);
  if (value?.kind !== 'data' || !value.given) {
    context.problems.add(node.place, 'This is no table.', 'type: mltable with a path');
    return undefined;
  }
  if (value.type !== 'mltable' && child(node, 'type'))
    context.problems.add(child(node, 'type')?.place ?? node.place, `The data is of type ${value.type}.`, 'mltable');
  return { uri: value.uri, jobInputType: 'mltable' };
}

/** Minutes as a duration; the sign stands first here, as the client writes it for this type of job. */
function minutes(value: Tree): Tree {
  if (typeof value !== 'number') return undefined;
  return value < 0 ? `-${asText(duration(-value * 60))}` : duration(value * 60);
}

function limitsToRest(value: Tree, more: TreeObject): Tree {
  const { timeout_minutes: timeout, trial_timeout_minutes: trial, ...rest } = isTreeObject(value) ? value : {};
  return { ...more, ...restyle(rest, 'camel'), timeout: minutes(timeout), trialTimeout: minutes(trial) };
}

/** `auto`, a number or a list, each in its own wrapping. */
function chosen(value: Tree): Tree {
  if (value === undefined) return undefined;
  if (value === 'auto') return { mode: 'Auto' };
  return Array.isArray(value) ? { mode: 'Custom', values: value } : { mode: 'Custom', value };
}

/** As `chosen`; a count below two means nothing, and goes bare, as the client sends it. */
function folds(value: Tree): Tree {
  return typeof value === 'number' && value < 2 ? value : chosen(value);
}

/** As `chosen`; zero and nothing are left out, as the client does it. */
function chosenIfAny(value: Tree): Tree {
  return value === 0 || (Array.isArray(value) && value.length === 0) ? undefined : chosen(value);
}

function table(read: TreeObject): TreeObject {
  const forecasting = read['forecasting'];
  return {
    weightColumnName: read['weight_column_name'],
    cvSplitColumnNames: read['cv_split_column_names'],
    nCrossValidations: folds(read['n_cross_validations']),
    validationDataSize: read['validation_data_size'],
    testDataSize: read['test_data_size'],
    positiveLabel: read['positive_label'],
    featurizationSettings: featurization(read['featurization']),
    limitSettings:
      read['limits'] === undefined ? undefined : limitsToRest(read['limits'], { sweepConcurrentTrials: 0, sweepTrials: 0 }),
    trainingSettings: trainingToRest(read['training']),
    forecastingSettings: isTreeObject(forecasting) ? forecastingToRest(forecasting) : undefined,
  };
}

function featurization(value: Tree): Tree {
  if (!isTreeObject(value)) return undefined;
  const { blocked_transformers: blocked, transformer_params: parameters, mode, ...rest } = value;
  return {
    mode: mode ?? 'auto',
    blockedTransformers: Array.isArray(blocked) ? blocked.map((item) => restName(asText(item))) : undefined,
    transformerParams: isTreeObject(parameters)
      ? Object.fromEntries(Object.entries(parameters).map(([key, item]) => [restName(key), item]))
      : {},
    ...restyle(rest, 'camel'),
  };
}

function trainingToRest(value: Tree): Tree {
  if (!isTreeObject(value)) return undefined;
  const {
    ensemble_model_download_timeout_minutes: timeout,
    training_mode: mode,
    allowed_training_algorithms: allowed,
    blocked_training_algorithms: blocked,
    ...rest
  } = value;
  const names = (list: Tree): Tree => (Array.isArray(list) ? list.map((item) => restName(asText(item))) : undefined);
  return {
    ...restyle(rest, 'camel'),
    ensembleModelDownloadTimeout: minutes(timeout),
    trainingMode: mode === undefined ? undefined : restName(asText(mode)),
    allowedTrainingAlgorithms: names(allowed),
    blockedTrainingAlgorithms: names(blocked),
  };
}

function forecastingToRest(value: TreeObject): Tree {
  const result = restyle(value, 'camel');
  for (const key of ['forecastHorizon', 'targetRollingWindowSize', 'seasonality']) result[key] = chosenIfAny(result[key]);
  const lags = result['targetLags'];
  result['targetLags'] = chosenIfAny(typeof lags === 'number' && lags !== 0 ? [lags] : lags);
  for (const key of ['timeSeriesIdColumnNames', 'featuresUnknownAtForecastTime']) {
    if (typeof result[key] === 'string') result[key] = [result[key]];
  }
  return result;
}

function searching(read: TreeObject): TreeObject {
  const sweep = read['sweep'];
  const space = read['search_space'];
  return {
    sweepSettings: isTreeObject(sweep)
      ? {
          samplingAlgorithm: isTreeObject(sweep['sampling_algorithm'])
            ? sweep['sampling_algorithm']['type']
            : sweep['sampling_algorithm'],
          earlyTermination: policyToRest(sweep['early_termination'], 'camel'),
        }
      : undefined,
    searchSpace: Array.isArray(space)
      ? space.map((item) => (isTreeObject(item) ? wireNames(searchTexts(item)) : item))
      : undefined,
  };
}

/** Distributions as text: `choice(1,2)`, `uniform(0.1,1.0)`. */
export function searchTexts(space: TreeObject): TreeObject {
  return Object.fromEntries(
    Object.entries(space).map(([key, value]) => [
      key,
      isTreeObject(value) ? distributionText(value) : value instanceof PyFloat ? positional(value) : pyStr(value as string),
    ]),
  );
}

/** A float without an exponent, as search spaces have it: `5e-06` is 0.000005. */
function positional({ value }: PyFloat): string {
  const match = /^(-?)(\d+)(?:\.(\d+))?e([-+]\d+)$/.exec(pyFloat(value));
  if (!match) return pyFloat(value);
  const [, sign = '', whole = '', part = '', power = '0'] = match;
  const point = whole.length + Number(power);
  const digits = whole + part;
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`;
  return point >= digits.length
    ? `${sign}${digits}${'0'.repeat(point - digits.length)}`
    : `${sign}${digits.slice(0, point)}.${digits.slice(point)}`;
}

function distributionText(value: TreeObject): string {
  const type = asText(value['type']).toLowerCase();
  const number = (item: Tree): string =>
    typeof item === 'string' ? `'${item}'` : item instanceof PyFloat ? positional(item) : pyStr(item as number);
  if (type === 'choice') return `choice(${(Array.isArray(value['values']) ? value['values'] : []).map(number).join(',')})`;
  const keys = type === 'randint' ? ['upper'] : type.endsWith('normal') ? ['mu', 'sigma'] : ['min_value', 'max_value'];
  if (type.startsWith('q')) keys.push('q');
  return `${type}(${keys.map((key) => number(value[key])).join(',')})`;
}

/** Fixed parameters: words of lists in REST's spelling. */
function parameters(value: Tree): Tree {
  if (!isTreeObject(value)) return undefined;
  const listed = [
    'learning_rate_scheduler',
    'optimizer',
    'model_size',
    'validation_metric_type',
    'log_training_metrics',
    'log_validation_loss',
  ];
  return wireNames(
    Object.fromEntries(
      Object.entries(value).map(([key, item]) => [key, listed.includes(key) ? parameterName(key, asText(item)) : item]),
    ),
  );
}

/** camelCase, with the service's own case of learning rates. */
function wireNames(value: TreeObject): TreeObject {
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [styled(key, 'camel').replace(/^(step|warmupCosine)Lr/, '$1LR'), item]),
  );
}

const parameterName = (key: string, word: string): string =>
  key === 'optimizer' ? word.charAt(0).toUpperCase() + word.slice(1) : restName(word);

function text(read: TreeObject): TreeObject {
  return {
    featurizationSettings: isTreeObject(read['featurization']) ? restyle(read['featurization'], 'camel') : undefined,
    limitSettings: limitsToRest(read['limits'], { maxTrials: 1, maxNodes: 1 }),
    fixedParameters: parameters(read['training_parameters']),
    ...searching(read),
  };
}

function image(read: TreeObject): TreeObject {
  return {
    validationDataSize: read['validation_data_size'],
    testDataSize: read['test_data_size'],
    limitSettings: limitsToRest(read['limits'], {}),
    modelSettings: parameters(read['training_parameters']),
    ...searching(read),
  };
}
