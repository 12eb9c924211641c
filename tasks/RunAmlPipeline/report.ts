/** What stays of a run: the attachment `aml.run` (JSON with a schema version) and a Markdown page in the run's summary. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Digest } from '../../src/aml/jobs/digest.js';
import type { JobState } from '../../src/aml/jobs/job.js';
import type { Metrics } from '../../src/aml/jobs/metrics.js';
import type { FetchedOutput } from '../../src/aml/jobs/outputs.js';
import type { StepState } from '../../src/aml/jobs/steps.js';
import type { Platform } from '../../src/task/platform.js';
import { sanitize, sanitizeInline } from '../../src/task/sanitize.js';
import { duration } from './view.js';

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
  outputs: readonly FetchedOutput[];
}

export const schemaVersion = 1;

/** Folder for the files of one job; they must stay until the agent job ends (attachments are uploaded late). */
export function reportFolder(platform: Platform, job: string): string {
  const folder = join(platform.temp, 'amlops', job);
  mkdirSync(folder, { recursive: true });
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
  const page = join(folder, `Azure ML ${report.job.displayName.replace(/[^\w .-]+/g, '_').slice(0, 60)}.md`);
  writeFileSync(page, markdown(report));
  platform.summary(page);
}

/** The attachment's content. Times are ISO text; durations milliseconds. */
export function attachment(report: Report): Record<string, unknown> {
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
    waitedMs: report.waitedMs,
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
export function md(text: string): string {
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

export function markdown(report: Report): string {
  const { job, steps, digest, metrics, outputs } = report;
  const lines = [`## ${md(job.displayName)}: ${md(job.status || report.end)}`, ''];
  lines.push('| | |', '| --- | --- |', `| job | ${md(job.name)} |`, `| workspace | ${md(report.workspace.workspace)} |`);
  if (job.experimentName) lines.push(`| experiment | ${md(job.experimentName)} |`);
  lines.push(`| waited | ${duration(report.waitedMs)} |`);
  if (job.studioUrl) lines.push(`| studio | [open](${target(job.studioUrl)}) |`);
  lines.push('');
  if (digest) {
    lines.push(
      digest.itself ? `### Failed: ${digest.cause}` : `### Failed in ${md(digest.step)}: ${digest.cause}`,
      '',
      md(digest.message),
      '',
      md(digest.advice),
      '',
    );
    if (digest.place) lines.push(`At ${md(digest.place.path)}, line ${digest.place.line}.`, '');
    if (digest.lines.length > 0) {
      // An indented block cannot be left from inside.
      lines.push(
        'Last lines of its log:',
        '',
        ...digest.lines.map((line) => `    ${sanitize(line).join(' ').slice(0, 500)}`),
        '',
      );
    }
  }
  const leaves = steps.filter(({ group }) => !group);
  if (leaves.length > 0) {
    lines.push('| step | state | time |', '| --- | --- | --- |');
    for (const { name, status, reused, started, ended } of leaves.slice(0, 200)) {
      const time = started !== undefined && ended !== undefined && !reused ? duration(ended - started) : '';
      lines.push(`| ${md(name)} | ${reused ? 'reused' : md(status)} | ${time} |`);
    }
    lines.push('');
  }
  const values = Object.entries(metrics?.values ?? {});
  if (values.length > 0) {
    lines.push('| metric | value |', '| --- | ---: |');
    for (const [name, value] of values.slice(0, 200)) lines.push(`| ${md(name)} | ${value} |`);
    lines.push('');
  }
  if (outputs.length > 0) {
    lines.push('| output | files | bytes | digest |', '| --- | ---: | ---: | --- |');
    for (const output of outputs)
      lines.push(`| ${md(output.name)} | ${output.files.length} | ${output.bytes} | ${output.digest} |`);
    lines.push('');
  }
  return `${lines.join('\n')}\n`;
}
