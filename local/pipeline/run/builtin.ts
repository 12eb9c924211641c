/** Steps that the runner carries out itself: checkout, artifacts, test results, Python; scripts become processes of the agent harness. */
import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join, resolve } from 'node:path';
import { findPython } from '../../python.js';
import type { AgentJob } from '../../agent/run-task.js';
import type { ScriptStep, StepIssue, StepResult } from '../../agent/types.js';
import type { RunState } from '../devops/run-state.js';
import type { TimelineRecord } from '../devops/types.js';
import { builtInTasks, type ExpandedStep } from '../expand/types.js';
import { findFiles } from './globs.js';
import { checkout, type SourceFacts } from './source.js';
import { countTests } from './test-results.js';

interface BuiltInContext {
  job: AgentJob;
  run: RunState;
  record: TimelineRecord;
  step: ExpandedStep;
  /** Folder of `self`, folders of the aliases. */
  root: string;
  repositories: Record<string, string>;
  source: SourceFacts;
  /** The job checks out several repositories: each gets a folder of its own. */
  severalCheckouts: boolean;
  print: (line: string) => void;
  issue: (issue: StepIssue) => void;
}

interface BuiltInEnd {
  result: StepResult;
}

type InProcess = (context: BuiltInContext, input: (name: string, ...aliases: string[]) => string) => Promise<BuiltInEnd>;

const done: BuiltInEnd = { result: 'Succeeded' };

function fail({ print, issue }: BuiltInContext, message: string): BuiltInEnd {
  print(`##[error]${message}`);
  issue({ type: 'error', message });
  return { result: 'Failed' };
}

const inJob = ({ job }: BuiltInContext, path: string): string => (isAbsolute(path) ? path : resolve(job.folders.sources, path));

const checkoutStep: InProcess = async (context, input) => {
  const { job, print, source } = context;
  const alias = input('repository') || 'self';
  const self = alias.toLowerCase() === 'self';
  const from = self
    ? context.root
    : Object.entries(context.repositories).find(([name]) => name.toLowerCase() === alias.toLowerCase())?.[1];
  if (from === undefined) return fail(context, `Repository '${alias}' has no folder here: give --repository ${alias}=DIR.`);
  const path = input('path');
  const name = self ? source.repository : alias;
  const target = path
    ? join(job.folders.build, path)
    : context.severalCheckouts
      ? join(job.folders.sources, name)
      : job.folders.sources;
  if (target !== job.folders.build && !target.startsWith(job.folders.build))
    return fail(context, `The path '${path}' leaves the agent's build folder.`);
  const files = await checkout(resolve(from), target);
  print(`Checked out ${files} files of ${name} to ${target}.`);
  if (self && source.git)
    print(`Commit ${source.commit}${source.dirty ? ' with the changes of your working tree' : ''}, ${source.branch}.`);
  return done;
};

const publish: InProcess = async (context, input) => {
  const { run, print } = context;
  const path = inJob(context, input('path', 'targetPath') || context.job.folders.build);
  const name = input('artifactName', 'artifact') || `${context.record.identifier.split('.').slice(0, 2).join('.')}`;
  if (/[\\/:*?"<>|]/.test(name))
    return fail(
      context,
      `Artifact name is not valid: ${name}. It cannot contain '\\', '/', '"', ':', '<', '>', '|', '*', and '?'`,
    );
  if (!existsSync(path)) return fail(context, `Path does not exist: ${path}`);
  if (run.run.artifacts.some((artifact) => artifact.name.toLowerCase() === name.toLowerCase()))
    return fail(context, `Artifact ${name} already exists for build ${run.id}.`);
  print(`Artifact '${name}': ${await run.publish(name, path, context.record.id)}`);
  return done;
};

async function downloadInto(context: BuiltInContext, artifact: string, target: string, patterns: string): Promise<BuiltInEnd> {
  const { run, print } = context;
  const wanted = run.run.artifacts.filter(({ name }) => !artifact || name.toLowerCase() === artifact.toLowerCase());
  if (artifact && wanted.length === 0) return fail(context, `Artifact ${artifact} was not found for build ${run.id}.`);
  for (const { name, path } of wanted) {
    const from = join(run.folder, path);
    const files = await findFiles(from, (patterns || '**').split('\n'));
    const into = artifact ? target : join(target, name);
    for (const file of files) {
      await mkdir(dirname(join(into, file)), { recursive: true });
      await cp(join(from, file), join(into, file));
    }
    print(`Artifact '${name}': ${files.length} files to ${into}`);
  }
  if (wanted.length === 0) print('The run has no artifacts yet.');
  return done;
}

const download: InProcess = async (context, input) => {
  const source = input('alias') || 'current';
  if (source.toLowerCase() !== 'current')
    return fail(context, `download: ${source}: artifacts of other pipelines are not here; only 'current' can be downloaded.`);
  const workspace = context.job.folders.build;
  const artifact = input('artifact', 'artifactName');
  const path = input('path');
  const target = path ? inJob(context, path) : artifact ? join(workspace, artifact) : workspace;
  return await downloadInto(context, artifact, target, input('patterns'));
};

const downloadPipelineArtifact: InProcess = async (context, input) => {
  const source = input('buildType', 'source') || 'current';
  if (source.toLowerCase() !== 'current')
    return fail(context, `source: ${source}: artifacts of other runs are not here; only 'current' can be downloaded.`);
  const path = input('targetPath', 'path', 'downloadPath');
  return await downloadInto(
    context,
    input('artifactName', 'artifact'),
    path ? inJob(context, path) : context.job.folders.build,
    input('itemPattern', 'patterns'),
  );
};

const publishTestResults: InProcess = async (context, input) => {
  const format = input('testResultsFormat', 'testRunner') || 'JUnit';
  if (format.toLowerCase() !== 'junit') return fail(context, `testResultsFormat ${format} is not read here, only JUnit.`);
  const patterns = (input('testResultsFiles') || '**/TEST-*.xml').split('\n');
  const folder = inJob(context, input('searchFolder') || '.');
  const relative = patterns.filter((line) => !isAbsolute(line.trim()));
  const files = (await findFiles(folder, relative)).map((file) => join(folder, file));
  files.push(...patterns.map((line) => line.trim()).filter((line) => isAbsolute(line) && existsSync(line)));
  if (files.length === 0) {
    context.print(`##[warning]No test result files matching ${patterns.join(', ')} were found.`);
    return input('failTaskOnMissingResultsFile').toLowerCase() === 'true'
      ? fail(context, 'No test result files were found.')
      : done;
  }
  let failed = 0;
  for (const [index, file] of files.entries()) {
    const counts = countTests(await readFile(file, 'utf8'));
    failed += counts.failed;
    context.print(`${basename(file)}: ${counts.total} tests, ${counts.failed} failed, ${counts.skipped} skipped`);
    await context.run.attach(
      context.record,
      'amlops.testResults',
      `${index + 1}-${input('testRunTitle') || basename(file)}.xml`,
      file,
    );
  }
  if (failed > 0 && input('failTaskOnFailedTests').toLowerCase() === 'true')
    return fail(context, `There are ${failed} failed tests.`);
  return done;
};

const usePythonVersion: InProcess = async (context, input) => {
  const spec = input('versionSpec') || '3.x';
  const python = await findPython();
  const wanted = spec.split('.').filter((part) => part !== 'x' && part !== '*');
  if (!/^[\d.x*]+$/.test(spec) || wanted.some((part, index) => part !== python.version.split('.')[index]))
    return fail(
      context,
      `Version spec ${spec} does not match the Python of this machine (${python.version}, ${python.executable}). Set AMLOPS_PYTHON to another one.`,
    );
  context.job.prependedPaths.push(dirname(python.executable));
  context.job.variables.set('pythonLocation', { value: dirname(python.executable) });
  context.print(`Python ${python.version}: ${python.executable}`);
  return done;
};

const inProcess: Record<string, InProcess> = {
  [builtInTasks.checkout.toLowerCase()]: checkoutStep,
  [builtInTasks.publish.toLowerCase()]: publish,
  [builtInTasks.download.toLowerCase()]: download,
  'publishpipelineartifact@1': publish,
  'downloadpipelineartifact@2': downloadPipelineArtifact,
  'publishtestresults@2': publishTestResults,
  'usepythonversion@0': usePythonVersion,
};

const scripts = new Set(['cmdline@2', 'bash@3']);

/** Lower-case names of all steps that are not tasks of an extension. */
export const builtInSteps: ReadonlySet<string> = new Set([...Object.keys(inProcess), ...scripts]);

export const isScript = (step: ExpandedStep): boolean => scripts.has(step.task.toLowerCase());

/** Runs a step in this process; undefined when it is not one of these. */
export async function runInProcess(context: BuiltInContext): Promise<BuiltInEnd | undefined> {
  const run = inProcess[context.step.task.toLowerCase()];
  if (!run) return undefined;
  const inputs = new Map(Object.entries(context.step.inputs ?? {}).map(([name, value]) => [name.toLowerCase(), value]));
  const input = (...names: string[]): string => {
    for (const name of names) {
      const value = inputs.get(name.toLowerCase());
      if (value !== undefined) return context.job.variables.expand(value).trim();
    }
    return '';
  };
  return await run(context, input);
}

/** A script step as a process: the script is a file in the agent's temporary folder, as with the real tasks. */
export async function scriptProcess(
  job: AgentJob,
  step: ExpandedStep,
): Promise<Pick<ScriptStep, 'file' | 'args' | 'cwd'> & { errors?: string }> {
  const inputs = new Map(
    Object.entries(step.inputs ?? {}).map(([name, value]) => [name.toLowerCase(), job.variables.expand(value)]),
  );
  const bash = step.task.toLowerCase() === 'bash@3';
  const windows = process.platform === 'win32';
  const cwdInput = inputs.get('workingdirectory')?.trim();
  const cwd = cwdInput ? resolve(job.folders.sources, cwdInput) : job.folders.sources;
  const errors = inputs.get('failonstderr')?.toLowerCase() === 'true' ? join(job.folders.temp, `${randomUUID()}.err`) : undefined;
  const id = randomUUID();
  if (!bash && windows) {
    const file = join(job.folders.temp, `${id}.cmd`);
    await writeFile(file, `@echo off\r\n${(inputs.get('script') ?? '').replace(/\r?\n/g, '\r\n')}\r\n`);
    return { file: process.env['ComSpec'] ?? 'cmd.exe', args: ['/D', '/E:ON', '/V:OFF', '/S', '/C', `CALL "${file}"`], cwd };
  }
  const byPath = bash && (inputs.get('targettype') ?? 'filePath').toLowerCase() === 'filepath';
  const body = byPath
    ? `. '${resolve(job.folders.sources, inputs.get('filepath') ?? '').replaceAll("'", "'\\''")}' ${inputs.get('arguments') ?? ''}`
    : (inputs.get('script') ?? '');
  const file = join(job.folders.temp, `${id}.sh`);
  await writeFile(file, `${errors ? `exec 2> >(tee -a '${errors}' >&2)\n` : ''}${body}\n`);
  return { file: 'bash', args: ['--noprofile', '--norc', file], cwd, ...(errors ? { errors } : {}) };
}
