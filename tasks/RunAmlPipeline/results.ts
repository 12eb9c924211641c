/** What a completed job gives to the pipeline: steps, metrics, outputs. */
import { writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { passesByItself } from '../../src/azure/advice.js';
import { Failure } from '../../src/azure/errors.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { metricSources, settledMetrics, type Metrics } from '../../src/aml/jobs/metrics.js';
import { fetchOutput, insideOf, locateOutput, outputNames, type FetchedOutput } from '../../src/aml/jobs/outputs.js';
import { StepReader, type StepState } from '../../src/aml/jobs/steps.js';
import type { Platform } from '../../src/task/platform.js';
import type { Inputs } from './inputs.js';
import { reportFolder, type Report } from './report.js';
import { wantsAll } from './downloads.js';
import { counted } from './view.js';

/** An output variable becomes an environment variable of later steps, which have a limit. */
const longestVariable = 24_000;

/** The steps as the wait left them; read now when it did not look at them. */
export async function stepsOf(workspace: Workspace, { job, steps }: Report, platform: Platform): Promise<readonly StepState[]> {
  if (steps.length > 0 || /^(command|spark)$/i.test(job.type)) return steps;
  return new StepReader(workspace, job.name).read(platform.cancelled);
}

/** Sets `metrics` and `metricsFile`. Metrics that cannot be read do not fail a job that has completed: the gates that need them will say so. */
export async function giveMetrics(workspace: Workspace, report: Report, platform: Platform): Promise<Metrics> {
  const sources = metricSources(report.job, report.steps);
  let metrics: Metrics = { values: {}, remarks: [] };
  try {
    metrics = await settledMetrics(workspace, sources, { clock: platform.clock, signal: platform.cancelled });
  } catch (error) {
    platform.cancelled.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    platform.warn(
      `The metrics could not be read, so the output variable metrics is empty. ${error.message} ${error.details.advice ?? ''}`,
    );
  }
  for (const remark of metrics.remarks) platform.info(`Metric ${remark}.`);
  const names = Object.keys(metrics.values);
  if (names.length > 0) {
    const shown = names.slice(0, 50).map((name) => `${name} = ${metrics.values[name]}`);
    const more = names.length > shown.length ? `, and ${names.length - shown.length} more in metricsFile` : '';
    platform.info(`Metrics: ${shown.join(', ')}${more}`);
  }
  const text = JSON.stringify(metrics.values);
  const file = join(reportFolder(platform, report.job.name), 'metrics.json');
  writeFileSync(file, text);
  platform.output('metricsFile', file);
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
  const names = every ? outputNames(job) : inputs.downloadOutputs;
  const base = platform.variable('Pipeline.Workspace') ?? platform.variable('Agent.BuildDirectory') ?? platform.temp;
  const folder = resolve(inputs.downloadPath ?? join(base, 'aml', job.name));
  const fetched: FetchedOutput[] = [];
  for (const name of names) {
    let located;
    try {
      located = await locateOutput(workspace, job, name, platform.cancelled);
    } catch (error) {
      // Who asks for all does not ask for what was never written.
      if (!every || !(error instanceof Failure) || error.code !== 'OutputNotFound') throw error;
      platform.info(`Output ${name}: nothing was written to it.`);
      continue;
    }
    const place = insideOf(folder, name);
    let output = await tried(() => fetchOutput(located, place, platform.cancelled));
    output ??= await fetchOutput(located, place, platform.cancelled);
    fetched.push(output);
    if (output.files.length === 0) {
      if (every) platform.info(`Output ${name}: nothing was written to it.`);
      else platform.warn(`Output ${name} is empty: nothing was written to it.`);
      continue;
    }
    platform.info(
      `Output ${name}: ${counted(output.files.length, 'file')}, ${output.bytes} bytes, ${output.digest}, in ${output.folder}`,
    );
  }
  platform.output('outputsPath', folder);
  return fetched;
}

/** One more try after what passes by itself: a download has no effect in Azure. */
async function tried<T>(body: () => Promise<T>): Promise<T | undefined> {
  try {
    return await body();
  } catch (error) {
    if (!passesByItself(error)) throw error;
    return undefined;
  }
}
