/** What stays of a run: the attachment `aml.run` (JSON with a schema version) and a Markdown page in the run's summary. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../src/aml/jobs/digest.js';
import type { JobState } from '../../src/aml/jobs/job.js';
import { bestTrials, type Metrics } from '../../src/aml/jobs/metrics.js';
import type { FetchedOutput } from '../../src/aml/jobs/outputs.js';
import type { StepState } from '../../src/aml/jobs/steps.js';
import type { Platform } from '../../src/task/platform.js';
import { sanitize, sanitizeInline } from '../../src/task/sanitize.js';
import { counted, duration, figure, size } from './words.js';

export interface Report {
  job: JobState;
  workspace: { subscriptionId: string; resourceGroup: string; workspace: string };
  attempt: number;
  how: 'submitted' | 'attached';
  end: string;
  waitedMs: number;
  steps: readonly StepState[];
  metrics?: Metrics;
  digest?: Digest;
  /** How it ended in one sentence or two, when the job has not completed. */
  told?: string;
  outputs: readonly FetchedOutput[];
}

const schemaVersion = 1;

const folders = new WeakMap<Platform, string>();

/**
 * Folder for this step's files of a job; they must stay until the agent job ends, because attachments are uploaded late: a later step that
 * attaches to the same job has its own.
 */
export function reportFolder(platform: Platform, job: string): string {
  let folder = folders.get(platform);
  if (folder === undefined) {
    const above = join(platform.temp, 'amlops');
    mkdirSync(above, { recursive: true });
    folders.set(platform, (folder = mkdtempSync(join(above, `${job.slice(0, 100)}-`))));
  }
  return folder;
}

/** Writes both files and hands them to the agent. A pipeline may forbid attachments: nothing depends on them. */
export function publish(platform: Platform, report: Report): void {
  try {
    write(platform, report);
  } catch (error) {
    platform.warn(
      `The page in the run's summary could not be written: ${error instanceof Error ? error.message : String(error)}`,
    );
  }
}

function write(platform: Platform, report: Report): void {
  const folder = reportFolder(platform, report.job.name);
  const json = join(folder, 'aml.run.json');
  writeFileSync(json, `${JSON.stringify(attachment(report), null, 1)}\n`);
  platform.attach('aml.run', `${report.job.name}.json`, json);
  // The agent makes the file's name the page's title.
  const title = /[a-z\d]/i.test(report.job.displayName) ? report.job.displayName : report.job.name;
  const page = join(folder, `Azure ML ${title.replace(/[^\w .-]+/g, '_').slice(0, 60)}.md`);
  writeFileSync(page, markdown(report));
  platform.summary(page);
}

/** The attachment's content. Times are ISO text; durations milliseconds. */
function attachment(report: Report): Record<string, unknown> {
  const { job, steps, digest, metrics } = report;
  const time = (ms: number | undefined) => (ms === undefined ? null : new Date(ms).toISOString());
  return {
    schemaVersion,
    kind: 'aml.run',
    job: {
      name: job.name,
      id: job.armId,
      type: job.type,
      displayName: job.displayName,
      experimentName: job.experimentName,
      status: job.status,
      studioUrl: job.studioUrl ?? null,
      tags: job.tags,
    },
    workspace: report.workspace,
    attempt: report.attempt,
    how: report.how,
    end: report.end,
    waitedMs: Math.round(report.waitedMs),
    steps: steps.map((step) => ({
      name: step.name,
      runId: step.runId,
      status: step.status,
      group: step.group,
      reused: step.reused,
      started: time(step.started),
      ended: time(step.ended),
    })),
    metrics: metrics?.values ?? {},
    metricRemarks: metrics?.remarks ?? [],
    failure: digest
      ? {
          step: digest.step,
          runId: digest.runId,
          cause: digest.cause,
          message: digest.message,
          lines: digest.lines,
          place: digest.place ?? null,
        }
      : null,
    outputs: report.outputs.map(({ name, digest: sha, bytes, files }) => ({ name, digest: sha, bytes, files: files.length })),
  };
}

/** Foreign text in Markdown: no HTML, no links, no tables of its own, one line. */
function md(text: string): string {
  return (
    sanitizeInline(text)
      .slice(0, 500)
      .replace(/&/g, '&amp;')
      .replace(/</g, '&lt;')
      .replace(/>/g, '&gt;')
      .replace(/[\\`*_{}[\]()#+!|~]/g, (character) => `\\${character}`)
      // What Markdown makes links of by itself: addresses with or without a scheme, mail, mentions.
      .replace(/\b(?:https?|ftp|mailto|xmpp):/gi, (scheme) => `${scheme.slice(0, -1)}&#58;`)
      .replace(/\bwww\./gi, (start) => `${start.slice(0, -1)}&#46;`)
      .replace(/@/g, '&#64;')
  );
}

/** An address as the target of a link: nothing in it ends the link. */
function target(url: string): string {
  return url.replace(/[\s()<>"'\\`[\]|]/g, (character) => `%${character.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** What heads the page, by how the wait ended. */
const ends: Record<string, string> = {
  canceled: 'Cancelled in Azure',
  lost: 'Deleted in Azure',
  limit: 'Time limit reached',
};
const mostRows = 200;

/** The page: what happened, where and what to do first, then the way to the studio, then numbers. */
export function markdown(report: Report): string {
  const { job, digest } = report;
  const failed = digest ? `Failed${digest.itself ? '' : ` in ${md(digest.step)}`} (${digest.cause})` : undefined;
  const lines = [`## ${md(job.displayName)}: ${failed ?? ends[report.end] ?? md(job.status || 'no answer')}`, ''];
  if (digest) {
    lines.push(`**${md(digest.message)}**`, '');
    if (digest.place) lines.push(`At ${md(digest.place.path)}, line ${digest.place.line}.`, '');
    lines.push(md(digest.advice), '');
  } else if (report.told) lines.push(md(report.told), '');
  if (job.studioUrl) lines.push(`[Open in Azure Machine Learning studio](${target(job.studioUrl)})`, '');
  if (digest && digest.lines.length > 0) {
    // An indented block cannot be left from inside.
    lines.push('Last lines of its log:', '', ...digest.lines.map((line) => `    ${cut(sanitize(line).join(' '))}`), '');
  }
  lines.push(...stepRows(report), ...metricRows(report), ...outputRows(report), ...factRows(report));
  return `${lines.join('\n')}\n`;
}

function cut(line: string): string {
  return line.length > 500 ? `${line.slice(0, 499)}…` : line;
}

/** A job without steps is told of by the heading. Steps that the job never came to are named too. */
function stepRows({ job, steps, end }: Report): string[] {
  const leaves = steps.filter(({ group, runId }) => !group && runId !== job.name);
  const known = new Set(steps.map(({ name }) => name));
  const best = new Set(bestTrials(job, steps));
  const rows = leaves.map(({ name, status, reused, started, ended }) => {
    const time = started !== undefined && ended !== undefined && !reused ? duration(ended - started) : '';
    return `| ${md(name)}${best.has(name) ? ' (best trial)' : ''} | ${reused ? 'Reused' : md(status)} | ${time} |`;
  });
  if (leaves.length > 0 && end !== 'completed') {
    for (const name of job.nodes) if (!known.has(name)) rows.push(`| ${md(name)} | Not started | |`);
  }
  return table(['| step | state | time |', '| --- | --- | --- |'], rows, 'step');
}

function metricRows({ metrics }: Report): string[] {
  const values = Object.entries(metrics?.values ?? {});
  const rows = values.map(([name, value]) => `| ${md(name)} | ${figure(value)} |`);
  const remarks = (metrics?.remarks ?? []).slice(0, 10).flatMap((remark) => [`Metric ${md(remark)}.`, '']);
  return [...table(['| metric | value |', '| --- | ---: |'], rows, 'metric'), ...remarks];
}

function outputRows({ outputs }: Report): string[] {
  const rows = outputs.map(({ name, files, bytes, digest }) => `| ${md(name)} | ${files.length} | ${size(bytes)} | ${digest} |`);
  return table(['| downloaded output | files | size | digest |', '| --- | ---: | ---: | --- |'], rows, 'output');
}

function factRows({ job, workspace, how, attempt, waitedMs }: Report): string[] {
  const rows = [`| job | ${md(job.name)} |`, `| workspace | ${md(workspace.workspace)} |`];
  if (job.experimentName) rows.push(`| experiment | ${md(job.experimentName)} |`);
  if (how === 'attached') rows.push('| this step | attached to the job, which was there already |');
  if (attempt > 1) rows.push(`| attempt | ${attempt} |`);
  rows.push(`| this step waited | ${duration(waitedMs)} |`);
  return table(['| about | |', '| --- | --- |'], rows, 'row');
}

function table(head: readonly string[], rows: readonly string[], thing: string): string[] {
  if (rows.length === 0) return [];
  const more = rows.length - mostRows;
  return [...head, ...rows.slice(0, mostRows), '', ...(more > 0 ? [`${counted(more, `more ${thing}`)}.`, ''] : [])];
}
