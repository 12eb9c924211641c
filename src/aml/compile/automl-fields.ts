/** YAML schemas of automated ML: ten tasks, three families (recordings in conformance/jobs; azure-ml-rest §1.1). */
import { identity, queueSettings, resources, samplingAlgorithm, earlyTermination } from './fields.js';
import {
  bool,
  dict,
  float,
  int,
  list,
  nullable,
  object,
  raw,
  readField,
  str,
  toSnake,
  union,
  words,
  type Field,
} from './schema.js';
import { searchSpace } from './automl-search.js';

const list_ = (text: string): string[] => text.split(' ');
const CLASSIFICATION_METRICS = list_('AUCWeighted Accuracy NormMacroRecall AveragePrecisionScoreWeighted PrecisionScoreWeighted');
const REGRESSION_METRICS = list_('SpearmanCorrelation NormalizedRootMeanSquaredError R2Score NormalizedMeanAbsoluteError');
const COMMON_MODELS = list_(
  'ElasticNet GradientBoosting DecisionTree KNN LassoLars SGD RandomForest ExtremeRandomTrees LightGBM XGBoostRegressor',
);
const CLASSIFIERS = list_(
  'LogisticRegression SGD MultinomialNaiveBayes BernoulliNaiveBayes SVM LinearSVM KNN DecisionTree RandomForest ExtremeRandomTrees LightGBM GradientBoosting XGBoostClassifier',
);
const FORECASTERS = [
  ...list_('AutoArima Prophet Naive SeasonalNaive Average SeasonalAverage ExponentialSmoothing Arimax TCNForecaster'),
  ...COMMON_MODELS,
];
const TRANSFORMERS = list_(
  'TextTargetEncoder OneHotEncoder CatTargetEncoder TfIdf WoETargetEncoder LabelEncoder WordEmbedding NaiveBayes CountVectorizer HashOneHotEncoder',
);
const IMAGE_SCHEDULERS = list_('None WarmupCosine Step');
const TEXT_SCHEDULERS = list_('None Linear Cosine CosineWithRestarts Polynomial Constant ConstantWithWarmup');
const MODEL_SIZES = list_('None Small Medium Large ExtraLarge');
const OPTIMIZERS = list_('None Sgd Adam Adamw');
const VALIDATION_METRICS = list_('None Coco Voc CocoVoc');
const META_LEARNERS = list_(
  'None LogisticRegression LogisticRegressionCV LightGBMClassifier ElasticNet ElasticNetCV LightGBMRegressor LinearRegression',
);
const VERBOSITIES = list_('NotSet Debug Info Warning Error Critical');

type Family = 'table' | 'text' | 'image';
export interface Task {
  rest: string;
  family: Family;
  metrics: string[];
  metric: string;
}

export const TASKS: Record<string, Task> = {
  classification: { rest: 'Classification', family: 'table', metrics: CLASSIFICATION_METRICS, metric: 'AUCWeighted' },
  regression: { rest: 'Regression', family: 'table', metrics: REGRESSION_METRICS, metric: 'NormalizedRootMeanSquaredError' },
  forecasting: { rest: 'Forecasting', family: 'table', metrics: REGRESSION_METRICS, metric: 'NormalizedRootMeanSquaredError' },
  text_classification: { rest: 'TextClassification', family: 'text', metrics: CLASSIFICATION_METRICS, metric: 'Accuracy' },
  text_classification_multilabel: {
    rest: 'TextClassificationMultilabel',
    family: 'text',
    metrics: ['Accuracy'],
    metric: 'Accuracy',
  },
  text_ner: { rest: 'TextNER', family: 'text', metrics: ['Accuracy'], metric: 'Accuracy' },
  image_classification: { rest: 'ImageClassification', family: 'image', metrics: CLASSIFICATION_METRICS, metric: 'Accuracy' },
  image_classification_multilabel: {
    rest: 'ImageClassificationMultilabel',
    family: 'image',
    metrics: [...CLASSIFICATION_METRICS, 'IOU'],
    metric: 'IOU',
  },
  image_object_detection: {
    rest: 'ImageObjectDetection',
    family: 'image',
    metrics: ['MeanAveragePrecision'],
    metric: 'MeanAveragePrecision',
  },
  image_instance_segmentation: {
    rest: 'ImageInstanceSegmentation',
    family: 'image',
    metrics: ['MeanAveragePrecision'],
    metric: 'MeanAveragePrecision',
  },
};

/** snake_case words of YAML to the words of REST. */
const REST = new Map<string, string>(
  [
    ...CLASSIFICATION_METRICS,
    ...REGRESSION_METRICS,
    'IOU',
    'MeanAveragePrecision',
    ...CLASSIFIERS,
    ...FORECASTERS,
    ...TRANSFORMERS,
    ...IMAGE_SCHEDULERS,
    ...TEXT_SCHEDULERS,
    ...MODEL_SIZES,
    ...VALIDATION_METRICS,
    ...VERBOSITIES,
    ...list_('Auto Distributed NonDistributed Imputer Enable Disable'),
  ].map((name) => [fold(name), name]),
);

/** The client's folding of names: `XGBoostClassifier` to xg_boost_classifier, `AUC_weighted` to auc_weighted. */
export function fold(text: string): string {
  return toSnake(
    text
      .replace(/_/g, ' ')
      .replace(/ ([a-z])/g, '_$1')
      .replace(/ /g, '_'),
  ).replace(/__+/g, '_');
}
export const restName = (word: string): string => REST.get(fold(word)) ?? word;

/** A word of a list, in any of its spellings; the value is the folded one. */
function named(names: readonly string[]): Field {
  const inner = words(names.map(fold), 'exact');
  return {
    ...inner,
    read: (node, reader) =>
      readField(
        inner,
        node.kind === 'scalar' && node.type === 'str' ? { ...node, value: fold(node.text), text: fold(node.text) } : node,
        reader,
      ),
  };
}

const column = object({ fields: list(str), parameters: dict(nullable(union(float, str))) }, { name: 'the transformer' });
const tableFeaturization = object(
  {
    mode: words(['auto', 'off', 'custom']),
    blocked_transformers: list(named(TRANSFORMERS)),
    column_name_and_types: dict(str),
    transformer_params: dict(list(column)),
    enable_dnn_featurization: bool,
    dataset_language: str,
  },
  { name: 'featurization' },
);
const stackEnsemble = object(
  { stack_meta_learner_type: words(META_LEARNERS, 'snake'), stack_meta_learner_train_percentage: float },
  { name: 'stack_ensemble_settings', required: ['stack_meta_learner_type'] },
);
/** A field that the client sends of a step and fails on in a job, of any shape or of one only. */
function ofSteps(field: Field, message: string, accepts: string, shape?: 'map'): Field {
  return {
    ...field,
    read(node, reader) {
      if (reader.bindings || (shape !== undefined && node.kind !== shape)) return field.read(node, reader);
      reader.problems.add(node.place, message, accepts);
      return undefined;
    },
  };
}
const training = (models: readonly string[]): Field =>
  object(
    {
      enable_dnn_training: bool,
      enable_model_explainability: bool,
      enable_onnx_compatible_models: bool,
      enable_stack_ensemble: bool,
      stack_ensemble_settings: ofSteps(
        stackEnsemble,
        'An automl job takes no stack_ensemble_settings; the official client cannot send them either.',
        'a step of a pipeline with type: automl, or no settings',
      ),
      enable_vote_ensemble: bool,
      ensemble_model_download_timeout_minutes: int,
      training_mode: named(['Auto', 'Distributed', 'NonDistributed']),
      allowed_training_algorithms: list(named(models)),
      blocked_training_algorithms: list(named(models)),
    },
    { name: 'training' },
  );
const auto = words(['auto']);
const forecasting = object(
  {
    country_or_region_for_holidays: str,
    cv_step_size: int,
    forecast_horizon: union(auto, int),
    target_lags: union(auto, int, list(int)),
    target_rolling_window_size: union(auto, int),
    time_column_name: str,
    time_series_id_column_names: union(str, list(str)),
    frequency: str,
    feature_lags: words(['none', 'auto']),
    seasonality: union(auto, int),
    short_series_handling_config: words(['none', 'auto', 'pad', 'drop']),
    use_stl: words(['none', 'season', 'seasontrend']),
    target_aggregate_function: words(['none', 'sum', 'max', 'min', 'mean']),
    features_unknown_at_forecast_time: union(str, list(str)),
  },
  { name: 'forecasting' },
);
const limits = (...keys: string[]): Field =>
  object(
    Object.fromEntries(keys.map((key) => [key, key === 'exit_score' ? float : key === 'enable_early_termination' ? bool : int])),
    { name: 'limits' },
  );
/** A job names the algorithm; a step may describe it. */
const sampling = ofSteps(
  samplingAlgorithm,
  'An automl job names its sampling algorithm; no mapping is taken here.',
  'random, grid or bayesian',
  'map',
);
const sweep = object(
  { sampling_algorithm: sampling, early_termination: earlyTermination },
  { name: 'sweep', required: ['sampling_algorithm'] },
);

const textParameters: Record<string, Field> = {
  gradient_accumulation_steps: int,
  learning_rate: float,
  learning_rate_scheduler: named(TEXT_SCHEDULERS),
  model_name: str,
  number_of_epochs: int,
  training_batch_size: int,
  validation_batch_size: int,
  warmup_ratio: float,
  weight_decay: float,
};
const kinds = (text: string, field: Field): Record<string, Field> => Object.fromEntries(list_(text).map((key) => [key, field]));
const imageParameters: Record<string, Field> = {
  ...kinds('ams_gradient distributed early_stopping enable_onnx_normalization nesterov', bool),
  ...kinds('beta1 beta2 learning_rate momentum step_lr_gamma warmup_cosine_lr_cycles weight_decay', float),
  ...kinds(
    'checkpoint_frequency early_stopping_delay early_stopping_patience evaluation_frequency gradient_accumulation_step layers_to_freeze number_of_epochs number_of_workers random_seed step_lr_step_size training_batch_size validation_batch_size warmup_cosine_lr_warmup_epochs',
    int,
  ),
  ...kinds('advanced_settings checkpoint_run_id model_name', str),
  learning_rate_scheduler: named(IMAGE_SCHEDULERS),
  optimizer: named(OPTIMIZERS),
};
const classifierParameters = {
  ...imageParameters,
  ...kinds('training_crop_size validation_crop_size validation_resize_size weighted_loss', int),
};
const detectorParameters: Record<string, Field> = {
  ...imageParameters,
  ...kinds('box_detections_per_image image_size max_size min_size', int),
  ...kinds(
    'box_score_threshold nms_iou_threshold tile_overlap_ratio tile_predictions_nms_threshold validation_iou_threshold',
    float,
  ),
  multi_scale: bool,
  tile_grid_size: str,
  model_size: named(MODEL_SIZES),
  validation_metric_type: named(VALIDATION_METRICS),
  log_training_metrics: str,
  log_validation_loss: str,
};

function parametersOf(task: string, family: Family): Record<string, Field> {
  if (family === 'text') return textParameters;
  return task.startsWith('image_classification') ? classifierParameters : detectorParameters;
}

/** The keys that a task's YAML may have besides those of every job. */
export function automlFields(task: string): { fields: Record<string, Field>; required: string[] } {
  const { family, metrics } = TASKS[task] as Task;
  const common: Record<string, Field> = {
    task: str,
    primary_metric: named(metrics),
    log_verbosity: named(VERBOSITIES),
    target_column_name: str,
    training_data: raw,
    validation_data: raw,
    environment_id: str,
    environment_variables: dict(str),
    outputs: raw,
    resources,
    queue_settings: queueSettings,
    identity,
  };
  const required = ['task', 'training_data', ...(task === 'text_ner' ? [] : ['target_column_name'])];
  if (family === 'table') {
    const models = task === 'classification' ? CLASSIFIERS : task === 'forecasting' ? FORECASTERS : COMMON_MODELS;
    return {
      required,
      fields: {
        ...common,
        limits: limits(
          'enable_early_termination',
          'exit_score',
          'max_concurrent_trials',
          'max_cores_per_trial',
          'max_nodes',
          'max_trials',
          'timeout_minutes',
          'trial_timeout_minutes',
        ),
        featurization: tableFeaturization,
        validation_data_size: float,
        cv_split_column_names: list(str),
        n_cross_validations: union(auto, int),
        weight_column_name: str,
        test_data: raw,
        test_data_size: float,
        training: training(models),
        ...(task === 'classification' ? { positive_label: str } : {}),
        ...(task === 'forecasting' ? { forecasting } : {}),
      },
    };
  }
  const parameters = parametersOf(task, family);
  const searching = {
    sweep,
    search_space: searchSpace(parameters, family === 'image'),
    training_parameters: object(parameters, { name: 'training_parameters' }),
  };
  if (family === 'text') {
    return {
      required,
      fields: {
        ...common,
        ...searching,
        limits: limits('max_concurrent_trials', 'max_trials', 'max_nodes', 'timeout_minutes', 'trial_timeout_minutes'),
        featurization: object({ dataset_language: str }, { name: 'featurization' }),
      },
    };
  }
  return {
    required,
    fields: {
      ...common,
      ...searching,
      limits: limits('max_concurrent_trials', 'max_trials', 'timeout_minutes'),
      validation_data_size: float,
      // Not sent by a job.
      test_data: raw,
    },
  };
}
