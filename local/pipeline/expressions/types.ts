/** What runtime expressions (`condition:`, `$[ ]`) see. Sheet azure-pipelines-yaml 1.3 to 1.5. */

/** Result of a finished stage or job. `Abandoned`: its condition could not be evaluated. */
export type NodeResult = 'Succeeded' | 'SucceededWithIssues' | 'Failed' | 'Skipped' | 'Canceled' | 'Abandoned';

/** A finished stage or job that others may depend on. */
export interface DependencyFacts {
  result: NodeResult;
  /** Output variables by their key in this position (see `outputKey`), e.g. `promote.modelVersion`. */
  outputs?: Record<string, string>;
}

export interface RuntimeContext {
  /** Every variable the position sees; names fold case. */
  variables?: Record<string, string>;
  /**
   * For a job: the jobs of its stage that it depends on. For a stage condition: the stages it depends on.
   * Absent in positions without dependencies (steps).
   */
  dependencies?: Record<string, DependencyFacts>;
  /** For jobs: stage → job → facts. */
  stageDependencies?: Record<string, Record<string, DependencyFacts>>;
  /** `pipeline.startTime` and the like. */
  pipeline?: Record<string, string>;
  /** `resources.pipeline.alias.runID`, only in root variables. */
  resources?: Record<string, unknown>;
  /** The run is being cancelled (`canceled()`). */
  canceled?: boolean;
  /** For step conditions: the result of the job so far. */
  jobStatus?: 'Succeeded' | 'SucceededWithIssues' | 'Failed' | 'Canceled';
  /** `counter(prefix, seed)`; absent: the seed is returned. */
  counter?: (prefix: string, seed: number) => number;
}

/** Where an expression stands; decides which names are legal (sheet 1.3) and how status functions answer (1.4). */
export type RuntimeSlot = 'rootVariable' | 'jobVariable' | 'stageCondition' | 'jobCondition' | 'stepCondition';
