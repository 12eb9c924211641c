/** Automated ML, as jobs and as steps. */
import * as parts from './parts.js';
import { Plain, type Yaml, type YamlMap } from './yaml-text.js';
import type { World } from './world.js';

const TASKS: Record<string, string[]> = {
  classification: ['accuracy', 'AUC_weighted', 'auc_weighted', 'norm_macro_recall'],
  regression: ['r2_score', 'normalized_mean_absolute_error', 'spearman_correlation'],
  forecasting: ['normalized_root_mean_squared_error', 'r2_score'],
  text_classification: ['accuracy', 'auc_weighted'],
  text_classification_multilabel: ['accuracy'],
  text_ner: ['accuracy'],
  image_classification: ['accuracy', 'auc_weighted'],
  image_classification_multilabel: ['iou', 'accuracy'],
  image_object_detection: ['mean_average_precision'],
  image_instance_segmentation: ['mean_average_precision'],
};

export function automlTask(world: World, base: string, step: boolean): YamlMap {
  const { random } = world;
  const task = random.pick(Object.keys(TASKS));
  const table = (): Yaml => ({
    type: 'mltable',
    path: random.chance(0.5) ? 'azureml:table:1' : world.named(base, world.data(base, 'table')),
  });
  const text = task.startsWith('text');
  const image = task.startsWith('image');
  const made: YamlMap = {
    task,
    ...(random.chance(0.8) ? { primary_metric: random.pick(TASKS[task] ?? []) } : {}),
    ...(task === 'text_ner' && random.chance(0.8) ? {} : { target_column_name: 'label' }),
    training_data: table(),
    ...(image || text || random.chance(0.4) ? { validation_data: table() } : {}),
    ...random.maybe(0.3, { log_verbosity: () => random.pick(['info', 'Debug', 'not_set']) }),
    ...random.maybe(0.15, {
      outputs: () => ({ best_model: { type: 'mlflow_model', ...random.maybe(0.3, { mode: () => 'upload' }) } }),
      resources: () => (step ? parts.resources(random) : { instance_type: 'x', instance_count: 2 }),
      environment_variables: () => ({ A: 'x' }),
      queue_settings: () => parts.queue(random),
    }),
  };
  if (!text && !image) return { ...made, ...tabular(world, task, table) };
  const searches = random.chance(0.4);
  return {
    ...made,
    limits: random.maybe(0.6, {
      timeout_minutes: () => 60,
      max_trials: () => random.pick<Yaml>([5, '4']),
      max_concurrent_trials: () => 2,
      ...(text ? { max_nodes: () => 2, trial_timeout_minutes: () => 20 } : {}),
    }),
    ...(text ? random.maybe(0.3, { featurization: () => ({ dataset_language: 'eng' }) }) : {}),
    ...random.maybe(0.5, {
      training_parameters: () =>
        random.maybe(0.5, {
          learning_rate: () => random.pick<Yaml>([0.01, 1, '0.5']),
          number_of_epochs: () => random.pick<Yaml>([3, '5']),
          model_name: () => (text ? 'bert-base-cased' : 'seresnext'),
          weight_decay: () => new Plain('1.0'),
          ...(image ? { early_stopping: () => random.pick<Yaml>([true, 'true']), advanced_settings: () => '{}' } : {}),
        }),
    }),
    ...(searches
      ? {
          sweep: {
            sampling_algorithm: random.pick(['random', 'grid']),
            ...random.maybe(0.4, {
              early_termination: () => ({ type: 'bandit', evaluation_interval: 2, slack_factor: 0.2, delay_evaluation: 6 }),
            }),
          },
          search_space: [
            {
              model_name: random.pick<Yaml>([text ? 'bert-base-cased' : 'vitb16r224', { type: 'choice', values: ['a', 'b'] }]),
              learning_rate: random.pick<Yaml>([
                0.01,
                { type: 'uniform', min_value: 0.001, max_value: 0.01 },
                { type: 'choice', values: [1, 0.5] },
              ]),
            },
            ...(random.chance(0.5) ? [{ number_of_epochs: { type: 'choice', values: [1, 2] } }] : []),
          ],
        }
      : {}),
  };
}

function tabular(world: World, task: string, table: () => Yaml): YamlMap {
  const { random } = world;
  return {
    ...random.maybe(0.3, {
      validation_data_size: () => random.pick<Yaml>([0.2, '0.1']),
      n_cross_validations: () => random.pick<Yaml>(['auto', 5, '3']),
      cv_split_column_names: () => ['a'],
      weight_column_name: () => 'w',
      test_data: () => table(),
      test_data_size: () => 0.1,
      limits: () =>
        random.maybe(0.5, {
          timeout_minutes: () => 60,
          trial_timeout_minutes: () => 10,
          max_trials: () => 5,
          max_concurrent_trials: () => 2,
          max_cores_per_trial: () => -1,
          max_nodes: () => 2,
          enable_early_termination: () => random.pick<Yaml>([true, 'false']),
          exit_score: () => random.pick<Yaml>([0.9, 1]),
        }),
      featurization: () =>
        random.pick<Yaml>([
          { mode: 'auto' },
          { mode: 'off' },
          {
            mode: 'custom',
            blocked_transformers: ['label_encoder'],
            column_name_and_types: { a: 'Categorical' },
            transformer_params: { imputer: [{ fields: ['a'], parameters: { strategy: 'median' } }] },
          },
          { mode: 'custom', enable_dnn_featurization: true, dataset_language: 'deu' },
        ]),
      training: () =>
        random.maybe(0.4, {
          enable_stack_ensemble: () => true,
          enable_vote_ensemble: () => false,
          enable_model_explainability: () => random.pick<Yaml>([true, 'yes']),
          ensemble_model_download_timeout_minutes: () => 5,
          allowed_training_algorithms: () =>
            task === 'classification' ? ['logistic_regression', 'LightGBM'] : ['decision_tree'],
          blocked_training_algorithms: () => ['random_forest'],
          stack_ensemble_settings: () => ({ stack_meta_learner_type: 'elastic_net' }),
        }),
      ...(task === 'classification' ? { positive_label: () => 'yes' } : {}),
    }),
    ...(task === 'forecasting'
      ? {
          forecasting: {
            time_column_name: 'date',
            ...random.maybe(0.3, {
              forecast_horizon: () => random.pick<Yaml>(['auto', 12]),
              target_lags: () => random.pick<Yaml>(['auto', 3, [1, 2]]),
              target_rolling_window_size: () => 7,
              time_series_id_column_names: () => random.pick<Yaml>(['id', ['a', 'b']]),
              frequency: () => 'D',
              feature_lags: () => 'auto',
              seasonality: () => random.pick<Yaml>(['auto', 7, 0]),
              use_stl: () => 'season',
              short_series_handling_config: () => 'pad',
              target_aggregate_function: () => 'sum',
              cv_step_size: () => 2,
              country_or_region_for_holidays: () => 'US',
              features_unknown_at_forecast_time: () => ['x'],
            }),
          },
        }
      : {}),
  };
}
