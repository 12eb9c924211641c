/**
 * The expanded document: what the service's preview returns, in the normal form of the conformance data
 * (stages → jobs → steps, every scalar a string). The runner and the linter read nothing else.
 */

/** What exists in the project. Without a catalogue nothing is checked for existence. */
export interface Catalogue {
  environments?: { name: string; resources?: (string | { name: string; type?: string })[] }[];
  variableGroups?: { name: string; variables?: Record<string, unknown> }[];
  serviceConnections?: { name: string }[];
  /** Installed tasks by name (`RunAmlPipeline`), besides the built-in ones. */
  tasks?: string[];
  unknownTasksAreErrors?: boolean;
}

export interface ExpandOptions {
  /** Folder that is the root of the `self` repository. */
  root: string;
  /** Queue-time parameters: strings; JSON text for objects. */
  parameters?: Record<string, string>;
  /** Predefined and queue-time variables that are known at compile time. */
  variables?: Record<string, string>;
  /** Repository alias (any case) → folder that holds its content. */
  repositories?: Record<string, string>;
  catalogue?: Catalogue;
}

/** A place in a file as the service writes it: `/templates/x.yml` or `/templates/x.yml@alias`, 1-based. */
export interface Position {
  file: string;
  line: number;
  column: number;
}

/** Any value of the normal form. */
export type Normal = string | Normal[] | NormalMapping;
export interface NormalMapping {
  [key: string]: Normal;
}

export interface ExpandedVariable {
  name?: string;
  value?: string;
  group?: string;
  readonly?: string;
}

export interface ExpandedStep {
  /** `CmdLine@2`, `RunAmlPipeline@1`, or a task id (`checkout`, `download`, `publish`: see `builtInTasks`). */
  task: string;
  name?: string;
  displayName?: string;
  condition?: string;
  enabled?: string;
  continueOnError?: string;
  timeoutInMinutes?: string;
  retryCountOnTaskFailure?: string;
  target?: NormalMapping;
  env?: Record<string, string>;
  inputs?: Record<string, string>;
}

/** The ids that `checkout`, `download` and `publish` become. */
export const builtInTasks = {
  checkout: '6d15af64-176c-496d-b583-fd2ae21d4df4@1',
  download: '30f35852-3f7e-4c0c-9a88-e127b4f97211@1',
  publish: 'ecdc45f6-832d-4ad9-b52b-ee49e94659be@1',
} as const;

interface ExpandedHook {
  steps?: ExpandedStep[];
  pool?: string | NormalMapping;
}

/** The life-cycle hooks of a deployment strategy. */
export interface ExpandedHooks {
  preDeploy?: ExpandedHook;
  deploy?: ExpandedHook;
  routeTraffic?: ExpandedHook;
  postRouteTraffic?: ExpandedHook;
  on?: { success?: ExpandedHook; failure?: ExpandedHook };
  maxParallel?: string;
  increments?: Normal;
}

interface ExpandedStrategy {
  runOnce?: ExpandedHooks;
  rolling?: ExpandedHooks;
  canary?: ExpandedHooks;
  /** A mapping leg → variables, or the text of a `$[ ]` expression. */
  matrix?: Record<string, Record<string, string>> | string;
  parallel?: string;
  maxParallel?: string;
}

export interface ExpandedJob {
  /** Set for plain jobs ('' when written without a name) … */
  job?: string;
  /** … or for deployment jobs. */
  deployment?: string;
  displayName?: string;
  dependsOn?: string[];
  condition?: string;
  strategy?: ExpandedStrategy;
  continueOnError?: string;
  timeoutInMinutes?: string;
  cancelTimeoutInMinutes?: string;
  pool?: string | NormalMapping;
  variables?: ExpandedVariable[];
  environment?: { name?: string; resourceName?: string; resourceId?: string; resourceType?: string; tags?: string };
  container?: NormalMapping;
  services?: NormalMapping;
  workspace?: NormalMapping;
  uses?: NormalMapping;
  steps?: ExpandedStep[];
  templateContext?: Normal;
}

export interface ExpandedStage {
  /** '' when written without a name. */
  stage: string;
  displayName?: string;
  dependsOn?: string[];
  condition?: string;
  variables?: ExpandedVariable[];
  pool?: string | NormalMapping;
  lockBehavior?: string;
  trigger?: string;
  isSkippable?: string;
  group?: string;
  templateContext?: Normal;
  jobs?: ExpandedJob[];
}

export interface ExpandedDocument {
  name?: string;
  trigger?: NormalMapping;
  pr?: NormalMapping;
  schedules?: Normal[];
  resources?: NormalMapping;
  pool?: string | NormalMapping;
  variables?: ExpandedVariable[];
  lockBehavior?: string;
  appendCommitMessageToRunName?: string;
  stages: ExpandedStage[];
}

/** A file that took part, in the order of reading. `repository` is `self` or the alias as declared. */
export interface UsedFile {
  repository: string;
  path: string;
  /** Where it was read from on this machine. */
  location: string;
  /** Used through `extends` (required-template checks count only these). */
  extended: boolean;
}

export interface ExpandedPipeline {
  document: ExpandedDocument;
  /** Values of the root parameters, as text (objects as JSON). */
  parameters: Record<string, string>;
  /** The root `parameters` block as written; the text form repeats it. */
  parametersBlock?: Normal;
  files: UsedFile[];
  /** What the service accepts but a person should know, e.g. an unknown task without a catalogue. */
  warnings: { message: string; position?: Position }[];
  /**
   * Where an object of the document (stage, job, step, `inputs`, list…) or one of its properties came from.
   * @returns undefined for what the expander made up (e.g. the stage `__default`)
   */
  positionOf(node: object, property?: string): Position | undefined;
}

/** One message of the service, with its place where it has one. */
export interface PipelineMessage {
  text: string;
  position?: Position;
  /** The text tells its place itself, as messages of the YAML parser do. */
  placed?: boolean;
}

/** Expansion or validation failed. `message` is the joined text as the service writes it. */
export class PipelineError extends Error {
  readonly messages: readonly PipelineMessage[];
  constructor(messages: readonly PipelineMessage[]) {
    super(messages.map(formatMessage).join('\n'));
    this.name = 'PipelineError';
    this.messages = messages;
  }
}

/** `/file.yml (Line: L, Col: C): text`, or the text alone. */
export function formatMessage({ text, position, placed }: PipelineMessage): string {
  return position && !placed ? `${position.file} (Line: ${position.line}, Col: ${position.column}): ${text}` : text;
}
