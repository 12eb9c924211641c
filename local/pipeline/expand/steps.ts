/** Steps in the normal form: every shorthand is a task (sheet azure-pipelines-yaml 2.4 "Normalisation of output"). */
import type { Context, Slot } from './context.js';
import { any, loose, nonEmpty, object, put, type Reader, text, unexpected, unique } from './shapes.js';
import { includeList } from './templates.js';
import { builtInTasks, type Normal, type NormalMapping } from './types.js';
import { entries, type Entry, items, settle } from './unravel.js';

const target: Reader = object({
  properties: { container: text, commands: text, settableVariables: settableVariables },
  scalar: 'container',
});

function settableVariables(context: Context, slot: Slot): Normal | undefined {
  return any(context, slot);
}

const common: Record<string, Reader> = {
  name: text,
  displayName: text,
  condition: text,
  continueOnError: text,
  enabled: text,
  timeoutInMinutes: nonEmpty,
  retryCountOnTaskFailure: text,
  target,
  env: loose(text),
};

interface Shorthand {
  task: string;
  /** The input that the value of the first key becomes. */
  input: string;
  /** Inputs that are always set, before and after that one. */
  before?: Record<string, string>;
  after?: Record<string, string>;
  /** Keys that become inputs, by their name there. */
  inputs: Record<string, string>;
}

function same(...names: string[]): Record<string, string> {
  return Object.fromEntries(names.map((name) => [name, name]));
}

const powershellInputs = same(
  'workingDirectory',
  'failOnStderr',
  'errorActionPreference',
  'warningPreference',
  'informationPreference',
  'verbosePreference',
  'debugPreference',
  'progressPreference',
  'ignoreLASTEXITCODE',
);

const shorthands: Record<string, Shorthand> = {
  script: { task: 'CmdLine@2', input: 'script', inputs: same('workingDirectory', 'failOnStderr') },
  bash: {
    task: 'Bash@3',
    input: 'script',
    before: { targetType: 'inline' },
    inputs: same('workingDirectory', 'failOnStderr'),
  },
  pwsh: {
    task: 'PowerShell@2',
    input: 'script',
    before: { targetType: 'inline' },
    after: { pwsh: 'true' },
    inputs: powershellInputs,
  },
  powershell: { task: 'PowerShell@2', input: 'script', before: { targetType: 'inline' }, inputs: powershellInputs },
  checkout: {
    task: builtInTasks.checkout,
    input: 'repository',
    inputs: same(
      'clean',
      'fetchDepth',
      'fetchFilter',
      'fetchTags',
      'lfs',
      'path',
      'persistCredentials',
      'sparseCheckoutDirectories',
      'sparseCheckoutPatterns',
      'submodules',
      'workspaceRepo',
    ),
  },
  download: { task: builtInTasks.download, input: 'alias', inputs: same('artifact', 'patterns') },
  downloadBuild: { task: 'DownloadBuildArtifacts@0', input: 'alias', inputs: same('artifact', 'patterns', 'path') },
  publish: { task: builtInTasks.publish, input: 'path', inputs: { artifact: 'artifactName' } },
  upload: { task: builtInTasks.publish, input: 'path', inputs: { artifact: 'artifactName' } },
  getPackage: { task: 'DownloadPackage@1', input: 'alias', inputs: same('path') },
  reviewApp: { task: 'ReviewApp@0', input: 'resourceName', inputs: {} },
};

/** A list of steps: directives and templates are carried out. */
export const steps: Reader = (context, slot) => {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind !== 'sequence') return unexpected(context, node);
  const result: Normal[] = context.mark([], node.place);
  for (const item of items(context, node, slot.frame, { directives: true })) {
    const found = step(context, item);
    if (Array.isArray(found)) result.push(...found);
    else if (found !== undefined) result.push(found);
  }
  return result;
};

/** One step, or the list that a template reference stands for. */
export const step: Reader = (context, slot) => {
  const node = settle(context, slot);
  if (!node) return undefined;
  if (node.kind !== 'mapping') return unexpected(context, node);
  const found = [...unique(context, entries(context, node, slot.frame, { directives: true }))];
  const [first] = found;
  if (!first) {
    context.error(node.place, 'Expected a step');
    return undefined;
  }
  if (first.key === 'template') return includeList(context, found, 'steps', slot.frame);
  const result: NormalMapping = context.mark({}, node.place);
  if (first.key === 'task') return task(context, result, found);
  const shorthand = Object.hasOwn(shorthands, first.key) ? shorthands[first.key] : undefined;
  if (shorthand) return expandShorthand(context, result, found, shorthand);
  context.error(first.place, `Unexpected value '${first.key}'`);
  return undefined;
};

function task(context: Context, result: NormalMapping, found: Entry[]): NormalMapping {
  let inputs: Normal | undefined;
  let inputsEntry: Entry | undefined;
  for (const entry of found) {
    if (entry.key === 'task') put(context, result, 'task', text(context, entry.value), entry);
    else if (entry.key === 'inputs') {
      inputs = loose(text)(context, entry.value);
      inputsEntry = entry;
    } else setCommon(context, result, entry);
  }
  if (inputsEntry) put(context, result, 'inputs', inputs, inputsEntry);
  return result;
}

function expandShorthand(
  context: Context,
  result: NormalMapping,
  found: Entry[],
  shorthand: Shorthand,
): NormalMapping | undefined {
  const [first] = found as [Entry];
  put(context, result, 'task', shorthand.task, first);
  const inputs: NormalMapping = context.mark({ ...shorthand.before }, first.place);
  const value = text(context, first.value);
  if (value === undefined) return undefined;
  put(context, inputs, shorthand.input, value, first);
  Object.assign(inputs, shorthand.after);
  const off = value === 'none' && ['checkout', 'download'].includes(first.key);
  if (first.key === 'getPackage' && !context.packages.has((value as string).toLowerCase())) {
    context.error(first.value.node.place, `Cannot find package resource for ${value as string}`);
  }
  for (const entry of found.slice(1)) {
    const input = Object.hasOwn(shorthand.inputs, entry.key) ? shorthand.inputs[entry.key] : undefined;
    if (input !== undefined) put(context, inputs, input, text(context, entry.value), entry);
    else setCommon(context, result, entry);
  }
  if (off) put(context, result, 'condition', 'false', first);
  put(context, result, 'inputs', inputs, first);
  return result;
}

function setCommon(context: Context, result: NormalMapping, entry: Entry): void {
  const reader = Object.hasOwn(common, entry.key) ? common[entry.key] : undefined;
  if (reader) put(context, result, entry.key, reader(context, entry.value), entry);
  else context.error(entry.place, `Unexpected value '${entry.key}'`);
}
