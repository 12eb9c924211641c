/** What a completed job gives to the pipeline: steps, metrics, outputs. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { Failure, sentence } from '../../src/azure/errors.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { bestTrials, metricSources, settledMetrics, type Metrics } from '../../src/aml/jobs/metrics.js';
import { outlast } from '../../src/aml/jobs/outlast.js';
import { checkNames, fetchOutput, insideOf, locateOutput, outputNames, type FetchedOutput } from '../../src/aml/jobs/outputs.js';
import { StepReader, type StepState } from '../../src/aml/jobs/steps.js';
import type { Platform } from '../../src/task/platform.js';
import type { Inputs } from './inputs.js';
import { reportFolder, type Report } from './report.js';
import { wantsAll } from './downloads.js';
import { counted, figure, size } from './words.js';

/** An output variable becomes an environment variable of later steps, which have a limit. */
const longestVariable = 24_000;

/** A sweep of a hundred trials would say a hundred times that the loss of a trial is no number. */
const mostRemarks = 10;

/** The steps as the wait left them; read now when it did not look at them. */
export async function stepsOf(workspace: Workspace, { job, steps }: Report, platform: Platform): Promise<readonly StepState[]> {
  if (steps.length > 0 || /^(command|spark)$/i.test(job.type)) return steps;
  return lasting(workspace, job, platform, () => new StepReader(workspace, job.name).read(platform.cancelled));
}

/** Sets `metrics` and `metricsFile`. Metrics that cannot be read do not fail a job that has completed: the gates that need them will say so. */
export async function giveMetrics(workspace: Workspace, report: Report, platform: Platform): Promise<Metrics> {
  const sources = metricSources(report.job, report.steps);
  let metrics: Metrics = { values: {}, remarks: [] };
  try {
    const options = { clock: platform.clock, signal: platform.cancelled };
    metrics = await lasting(workspace, report.job, platform, () => settledMetrics(workspace, sources, options));
  } catch (error) {
    platform.cancelled.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    platform.warn(
      `The metrics could not be read, so the output variable metrics is empty. ${sentence(error.message)} ${error.details.advice ?? ''}`,
    );
  }
  for (const name of bestTrials(report.job, report.steps)) platform.info(`Best trial: ${name}.`);
  for (const remark of metrics.remarks.slice(0, mostRemarks)) platform.info(`Metric ${remark}.`);
  const unsaid = metrics.remarks.length - mostRemarks;
  if (unsaid > 0) platform.info(`The same of ${counted(unsaid, 'more metric')}: see the attachment aml.run.`);
  const names = Object.keys(metrics.values);
  if (names.length > 0) {
    const shown = names.slice(0, 50);
    const width = Math.min(40, Math.max(...shown.map((name) => name.length)));
    platform.info('Metrics:');
    for (const name of shown) platform.info(`  ${name.padEnd(width)}  ${figure(metrics.values[name] ?? Number.NaN)}`);
    if (names.length > shown.length) platform.info(`  and ${names.length - shown.length} more: see metricsFile`);
  }
  const text = JSON.stringify(metrics.values);
  try {
    const file = join(reportFolder(platform, report.job.name), 'metrics.json');
    writeFileSync(file, text);
    platform.output('metricsFile', file);
  } catch (error) {
    // A disk that is full makes no failure of a job that has completed.
    const what = error instanceof Error ? error.message : String(error);
    platform.warn(`The metrics could not be written to a file, so the output variable metricsFile is empty: ${what}`);
  }
  if (text.length <= longestVariable) platform.output('metrics', text);
  else platform.warn(`There are ${names.length} metrics, too many for the output variable metrics: read them from metricsFile.`);
  return metrics;
}

/** Fetches what was asked for into one folder an output, and sets `outputsPath`. */
export async function fetchOutputs(
  inputs: Inputs,
  workspace: Workspace,
  { job }: Report,
  platform: Platform,
): Promise<FetchedOutput[]> {
  const every = wantsAll(inputs);
  const names = [...new Set(every ? outputNames(job) : inputs.downloadOutputs)];
  const base = platform.variable('Pipeline.Workspace') ?? platform.variable('Agent.BuildDirectory') ?? platform.temp;
  const folder = resolve(inputs.downloadPath ?? join(base, 'aml', job.name));
  // Each has a folder of its own.
  checkNames(names, process.platform, 'The job has outputs');
  const fetched: FetchedOutput[] = [];
  for (const name of names) {
    let located;
    try {
      located = await lasting(workspace, job, platform, () => locateOutput(workspace, job, name, platform.cancelled));
    } catch (error) {
      // Who asks for all does not ask for what was never written.
      if (!every || !(error instanceof Failure) || error.code !== 'OutputNotFound') throw error;
      platform.info(`Output ${name}: nothing was written to it.`);
      continue;
    }
    const place = insideOf(folder, name);
    const output = await lasting(workspace, job, platform, () => fetchOutput(located, place, platform.cancelled));
    fetched.push(output);
    if (output.files.length === 0) {
      if (every) platform.info(`Output ${name}: nothing was written to it.`);
      else platform.warn(`Output ${name} is empty: nothing was written to it.`);
      continue;
    }
    platform.info(
      `Output ${name}: ${counted(output.files.length, 'file')}, ${size(output.bytes)}, in ${output.folder} (${output.digest})`,
    );
  }
  platform.output('outputsPath', folder);
  return fetched;
}

/** The job has completed: an outage of minutes at its end is no failure. */
function lasting<T>(workspace: Workspace, { name }: { name: string }, platform: Platform, body: () => Promise<T>): Promise<T> {
  return outlast(workspace, name, { clock: platform.clock, signal: platform.cancelled }, body);
}
