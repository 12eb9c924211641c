/** What the service checks after expansion: graph, conditions, and what must exist (sheet azure-pipelines-yaml 1.3, 1.4, 1.6). */
import { ExpressionError, isRuntimeExpression, type RuntimeSlot, validateRuntime } from '../expressions/runtime.js';
import type { Context } from './context.js';
import { jobName } from './graph.js';
import type { Catalogue, ExpandedDocument, ExpandedJob, ExpandedStage, ExpandedStep, ExpandedVariable } from './types.js';

export function validate(context: Context, document: ExpandedDocument): void {
  const catalogue = context.options.catalogue;
  groups(context, document.variables, catalogue);
  for (const variable of document.variables ?? []) {
    if (!isRuntimeExpression(variable.value ?? '')) continue;
    const reason = mistake(variable.value ?? '', 'rootVariable');
    if (reason !== undefined)
      context.error(context.placeOf(variable, 'value'), `An error occurred while loading the YAML build pipeline. ${reason}`);
  }
  graph(
    context,
    document.stages.map((stage) => ({ name: stage.stage, dependsOn: stage.dependsOn, part: stage })),
    {
      sequential: true,
      what: 'stage',
      subject: (name) => `Stage ${name}`,
      noRoot: 'The pipeline must contain at least one stage with no dependencies.',
      twice: (name) => `The stage name ${name} appears more than once. Stage names must be unique within a pipeline.`,
    },
  );
  for (const stage of document.stages) validateStage(context, stage, catalogue);
}

/** Names of stages, jobs and steps: letters, digits and `_`, no digit first. No name is allowed as well. */
function checkName(context: Context, part: object, property: string, name: string | undefined, subject: string): void {
  if (name === undefined || /^([A-Za-z_]\w*)?$/.test(name)) return;
  context.error(
    context.placeOf(part, property),
    `${subject} has an invalid name. Valid names may only contain alphanumeric characters and '_' and may not start with a number.`,
  );
}

function validateStage(context: Context, stage: ExpandedStage, catalogue: Catalogue | undefined): void {
  checkName(context, stage, 'stage', stage.stage, `Stage ${stage.stage}`);
  condition(context, stage, 'stageCondition', `Stage ${stage.stage}`);
  groups(context, stage.variables, catalogue);
  const jobs = stage.jobs ?? [];
  graph(
    context,
    jobs.map((job) => ({ name: jobName(job), dependsOn: job.dependsOn, part: job })),
    {
      sequential: false,
      what: 'job',
      subject: (name) => `Stage ${stage.stage} job ${name}`,
      noRoot: `Stage ${stage.stage} must contain at least one job with no dependencies.`,
      twice: (name) => `Stage ${stage.stage} job ${name} appears more than once. Job names must be unique within a stage.`,
    },
  );
  for (const job of jobs) {
    const kind = job.deployment === undefined ? 'job' : 'deployment';
    checkName(context, job, kind, jobName(job), `Stage ${stage.stage} job ${jobName(job)}`);
    condition(context, job, 'jobCondition', `Job ${jobName(job)}`);
    groups(context, job.variables, catalogue);
    environment(context, job, catalogue);
    for (const steps of stepLists(job)) validateSteps(context, job, steps, catalogue);
  }
}

/** The lists of steps of a job: its own, or one a hook. */
export function stepLists(job: ExpandedJob): ExpandedStep[][] {
  const found: ExpandedStep[][] = job.steps ? [job.steps] : [];
  const { runOnce, rolling, canary } = job.strategy ?? {};
  for (const hooks of [runOnce, rolling, canary]) {
    if (!hooks) continue;
    for (const hook of [
      hooks.preDeploy,
      hooks.deploy,
      hooks.routeTraffic,
      hooks.postRouteTraffic,
      hooks.on?.success,
      hooks.on?.failure,
    ]) {
      if (hook?.steps) found.push(hook.steps);
    }
  }
  return found;
}

function validateSteps(
  context: Context,
  job: ExpandedJob,
  steps: readonly ExpandedStep[],
  catalogue: Catalogue | undefined,
): void {
  const seen = new Set<string>();
  for (const step of steps) {
    const name = step.name ?? '';
    if (name !== '' && seen.has(name.toLowerCase())) {
      context.error(
        context.placeOf(step, 'name'),
        `Job ${jobName(job)}: The step name ${name} appears more than once. Step names must be unique within a job.`,
      );
    }
    seen.add(name.toLowerCase());
    checkName(context, step, 'name', name, `Job ${jobName(job)}: Step ${name}`);
    condition(context, step, 'stepCondition', `Job ${jobName(job)}: Step ${name}`);
    task(context, job, step, catalogue);
  }
}

function mistake(text: string, slot: RuntimeSlot): string | undefined {
  try {
    validateRuntime(text, slot);
    return undefined;
  } catch (error) {
    if (error instanceof ExpressionError) return error.message;
    throw error;
  }
}

function condition(context: Context, part: { condition?: string }, slot: RuntimeSlot, subject: string): void {
  const text = part.condition;
  if (text === undefined || text.trim() === '') return;
  const reason = mistake(text, slot);
  if (reason !== undefined)
    context.error(
      context.placeOf(part, 'condition'),
      `${subject} specifies condition ${text} which is not valid. Reason: ${reason}`,
    );
}

function groups(context: Context, variables: readonly ExpandedVariable[] | undefined, catalogue: Catalogue | undefined): void {
  if (!catalogue?.variableGroups) return;
  for (const variable of variables ?? []) {
    const { group } = variable;
    if (group === undefined) continue;
    const known = catalogue.variableGroups.some(({ name }) => name.toLowerCase() === group.toLowerCase());
    // the service leaves the name out
    if (!known) context.error(context.placeOf(variable, 'group'), 'Variable group  was not found or is not authorized for use.');
  }
}

function environment(context: Context, job: ExpandedJob, catalogue: Catalogue | undefined): void {
  const wanted = job.environment;
  if (!catalogue?.environments || wanted?.name === undefined || wanted.name === '') return;
  const known = catalogue.environments.find(({ name }) => name.toLowerCase() === wanted.name?.toLowerCase());
  if (!known) {
    context.error(
      context.placeOf(job, 'environment'),
      `Job ${jobName(job)}: Environment ${wanted.name} could not be found. The environment does not exist or has not been authorized for use.`,
    );
    return;
  }
  const resource = wanted.resourceName;
  if (resource === undefined || resource === '') return;
  const names = (known.resources ?? []).map((item) => (typeof item === 'string' ? item : item.name).toLowerCase());
  if (!names.includes(resource.toLowerCase())) {
    context.error(
      context.placeOf(job, 'environment'),
      `Job ${jobName(job)}: Resource ${resource} does not exist in environment ${wanted.name}.`,
    );
  }
}

/** Tasks that the service has without an extension, as far as pipelines of this field use them. */
const inBox = new Set(
  (
    'ArchiveFiles Bash CmdLine PowerShell CopyFiles DeleteFiles ExtractFiles PublishBuildArtifacts DownloadBuildArtifacts ' +
    'PublishPipelineArtifact DownloadPipelineArtifact PublishTestResults PublishCodeCoverageResults UsePythonVersion UseDotNet ' +
    'NodeTool UseNode Npm PipAuthenticate TwineAuthenticate PythonScript AzureCLI AzurePowerShell AzureKeyVault AzureResourceManagerTemplateDeployment ' +
    'AzureResourceGroupDeployment AzureFileCopy AzureWebApp AzureFunctionApp AzureRmWebAppDeployment Docker DockerCompose HelmDeploy HelmInstaller Kubernetes ' +
    'KubernetesManifest DotNetCoreCLI DotNetCoreInstaller NuGetCommand NuGetAuthenticate Maven Gradle Go GoTool VSTest VSBuild MSBuild ' +
    'InvokeRESTAPI AzureFunction ManualValidation Delay DownloadSecureFile DownloadPackage UniversalPackages GitHubRelease CondaEnvironment ' +
    'AzureMLJobWaitTask Cache ReviewApp InstallSSHKey SSH DownloadGitHubRelease ShellScript BatchScript IISWebAppDeploymentOnMachineGroup'
  )
    .toLowerCase()
    .split(' '),
);

function task(context: Context, job: ExpandedJob, step: ExpandedStep, catalogue: Catalogue | undefined): void {
  const [reference = '', version = ''] = step.task.split('@');
  if (/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i.test(reference)) return;
  const name = (reference.split('.').at(-1) ?? '').toLowerCase();
  if (inBox.has(name) || catalogue?.tasks?.some((known) => known.toLowerCase() === name)) return;
  const text =
    `A task is missing. The pipeline references a task called '${reference}'. This usually indicates the task isn't installed, and you may be ` +
    'able to install it from the Marketplace: https://marketplace.visualstudio.com. ' +
    `(Task version ${version}, job '${jobName(job)}', step '${step.name ?? ''}'.)`;
  if (catalogue?.unknownTasksAreErrors) context.error(context.placeOf(step, 'task'), text);
  else if (catalogue?.tasks) {
    const position = context.placeOf(step, 'task');
    context.warnings.push(position ? { message: text, position } : { message: text });
  }
}

interface GraphWords {
  /** Without `dependsOn` a node waits for the one before it. */
  sequential: boolean;
  what: 'stage' | 'job';
  subject(name: string): string;
  noRoot: string;
  twice(name: string): string;
}

/** Order of the messages (last section, 1): no root (alone), then edges of cycles, then unknown names. */
function graph(
  context: Context,
  nodes: readonly { name: string; dependsOn: string[] | undefined; part: object }[],
  words: GraphWords,
): void {
  const seen = new Set<string>();
  for (const { name, part } of nodes) {
    if (name !== '' && seen.has(name.toLowerCase())) context.error(context.placeOf(part, words.what), words.twice(name));
    seen.add(name.toLowerCase());
  }
  const edges = nodes.map(
    ({ dependsOn }, index) => dependsOn ?? (words.sequential && index > 0 ? [nodes[index - 1]?.name ?? ''] : []),
  );
  if (nodes.length > 0 && edges.every((edge) => edge.length > 0)) {
    const part = nodes[0]?.part;
    context.error(part && context.placeOf(part, 'dependsOn'), words.noRoot);
    return;
  }
  const waiting = edges.map((edge, index) => {
    const explicit = nodes[index]?.dependsOn !== undefined;
    return new Set(explicit ? edge.map((name) => name.toLowerCase()).filter((name) => seen.has(name)) : []);
  });
  const done = new Set<number>();
  for (let found = true; found;) {
    found = false;
    waiting.forEach((set, index) => {
      if (done.has(index) || set.size > 0) return;
      done.add(index);
      found = true;
      const name = nodes[index]?.name.toLowerCase() ?? '';
      for (const other of waiting) other.delete(name);
    });
  }
  waiting.forEach((set, index) => {
    const name = nodes[index]?.name ?? '';
    for (const dependency of set) {
      const written = nodes.find((node) => node.name.toLowerCase() === dependency)?.name ?? dependency;
      const part = nodes[index]?.part;
      context.error(
        part && context.placeOf(part, 'dependsOn'),
        `${words.subject(name)} depends on ${words.what} ${written} which creates a cycle in the dependency graph.`,
      );
    }
  });
  nodes.forEach(({ name, dependsOn, part }) => {
    for (const dependency of dependsOn ?? []) {
      if (!seen.has(dependency.toLowerCase()))
        context.error(
          context.placeOf(part, 'dependsOn'),
          `${words.subject(name)} depends on unknown ${words.what} ${dependency}.`,
        );
    }
  });
}
