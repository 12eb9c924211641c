/** `--report DIR`: one page of a run that needs nothing else: stages, jobs, steps with their logs, approvals, summaries, attachments. */
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { fileName, readJson } from '../devops/files.js';
import type { Approval, RunDocument, TimelineRecord } from '../devops/types.js';
import { duration, plainText } from './console.js';
import { escapeHtml, markdownToHtml } from './markdown.js';
import type { RunnerState } from './types.js';

/** Longest log that is put into the page; the whole file lies beside it. */
const maxLog = 200_000;

/**
 * Writes `folder/index.html`, with attachments and long logs below `folder/files`.
 * @param runFolder folder of the run (its `run.json`) @returns path of the page
 */
export async function writeReport(runFolder: string, folder: string): Promise<string> {
  const run = await readJson<RunDocument>(join(runFolder, 'run.json'));
  if (!run) throw new Error(`${runFolder} holds no run`);
  await mkdir(join(folder, 'files'), { recursive: true });
  const page = [
    head(run),
    await summaries(run, runFolder),
    stages(run),
    await details(run, runFolder, folder),
    approvals(run),
    await attachments(run, runFolder, folder),
    foot(run),
  ];
  const path = join(folder, 'index.html');
  await writeFile(path, page.join('\n'));
  return path;
}

const e = (text: string): string => escapeHtml(plainText(text));
const marks: Record<string, string> = {
  succeeded: '✓',
  succeededWithIssues: '!',
  failed: '✗',
  canceled: '■',
  skipped: '–',
  abandoned: '?',
};

function took(record: { startTime: string | null; finishTime: string | null }): string {
  return record.startTime && record.finishTime ? duration(Date.parse(record.finishTime) - Date.parse(record.startTime)) : '';
}

function badge(record: TimelineRecord): string {
  const result = record.result ?? record.state;
  return `<span class="badge ${escapeHtml(result)}">${marks[result] ?? '…'} ${escapeHtml(result)}</span>`;
}

function head(run: RunDocument): string {
  const state = run.runner as RunnerState | null;
  const facts: [string, string][] = [
    ['Pipeline', state?.entry ?? ''],
    ['Run', `${run.id} (${run.buildNumber})`],
    ['Branch', run.sourceBranch],
    ['Commit', run.sourceVersion],
    ['Requested by', run.requestedFor.displayName],
    ['Started', run.startTime],
    ['Took', took(run)],
    ['Tags', run.tags.join(', ')],
  ];
  const rows = facts.filter(([, value]) => value).map(([name, value]) => `<tr><th>${name}</th><td>${e(value)}</td></tr>`);
  const result = run.status === 'completed' ? run.result : run.status;
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>Run ${run.id}: ${escapeHtml(result)}</title><style>${style}</style></head><body><main>
<h1>Run ${run.id} <span class="badge ${escapeHtml(result)}">${marks[result] ?? ''} ${escapeHtml(result)}</span></h1>
<table class="facts">${rows.join('')}</table>`;
}

function children(run: RunDocument, parent: TimelineRecord | null, type?: string): TimelineRecord[] {
  return run.records
    .filter((record) => record.parentId === (parent?.id ?? null) && (type === undefined || record.type === type))
    .sort((a, b) => a.order - b.order);
}

function stages(run: RunDocument): string {
  const boxes = children(run, null, 'Stage').map((stage) => {
    const attempt = stage.attempt > 1 ? ` <small>attempt ${stage.attempt}</small>` : '';
    return `<a class="stage ${escapeHtml(stage.result ?? stage.state)}" href="#${stage.id}"><b>${e(stage.name)}</b>${attempt}<br>${badge(stage)} ${took(stage)}</a>`;
  });
  return `<h2>Stages</h2><div class="stages">${boxes.join('')}</div>`;
}

async function summaries(run: RunDocument, runFolder: string): Promise<string> {
  const found: string[] = [];
  for (const attachment of run.attachments.filter(({ type }) => type === 'Distributedtask.Core.Summary')) {
    const path = join(runFolder, attachment.path);
    if (!existsSync(path)) continue;
    const record = run.records.find(({ id }) => id === attachment.recordId);
    const title = record ? `${record.identifier.split('.')[0] ?? ''}: ${record.name}` : attachment.name;
    found.push(
      `<section class="summary"><h3>${e(title)}</h3>${markdownToHtml(plainLines(await readFile(path, 'utf8')))}</section>`,
    );
  }
  return found.length > 0 ? `<h2>Summary</h2>${found.join('\n')}` : '';
}

const plainLines = (text: string): string => text.split(/\r?\n/).map(plainText).join('\n');

async function details(run: RunDocument, runFolder: string, folder: string): Promise<string> {
  const html: string[] = ['<h2>Logs</h2>'];
  for (const stage of children(run, null, 'Stage')) {
    html.push(`<h3 id="${stage.id}">${e(stage.name)} ${badge(stage)} ${took(stage)}</h3>${issues(stage)}`);
    for (const phase of children(run, stage, 'Phase'))
      for (const job of children(run, phase)) {
        html.push(`<div class="job"><h4>${e(job.name)} ${badge(job)} ${took(job)}</h4>${issues(job)}`);
        for (const step of children(run, job, 'Task')) html.push(await stepHtml(step, runFolder, folder));
        html.push('</div>');
      }
  }
  return html.join('\n');
}

function issues(record: TimelineRecord): string {
  const lines = record.issues.map(({ type, message }) => `<li class="${type}">${e(message).replaceAll('\n', '<br>')}</li>`);
  return lines.length > 0 ? `<ul class="issues">${lines.join('')}</ul>` : '';
}

async function stepHtml(step: TimelineRecord, runFolder: string, folder: string): Promise<string> {
  const path = step.log ? join(runFolder, 'logs', `${step.log.id}.log`) : undefined;
  const text = path && existsSync(path) ? plainLines(await readFile(path, 'utf8')) : '';
  let shown = text;
  let note = '';
  if (text.length > maxLog) {
    await writeFile(join(folder, 'files', `${step.log?.id ?? 0}.log`), text);
    shown = text.slice(-maxLog);
    note = `<p>Only the end is shown; <a href="files/${step.log?.id ?? 0}.log">the whole log</a>.</p>`;
  }
  const open = step.result === 'failed' ? ' open' : '';
  return `<details${open}><summary>${badge(step)} ${e(step.name)} <small>${took(step)}</small></summary>${issues(step)}${note}<pre>${escapeHtml(shown)}</pre></details>`;
}

function approvals(run: RunDocument): string {
  if (run.suites.length === 0) return '';
  const rows = run.suites.flatMap((suite) =>
    suite.checkRuns.map((check) => {
      const approval = run.approvals.find(({ id }) => id === check.id);
      const { resource, type } = check.checkConfigurationRef;
      const node = suite.context['GraphNode'] as { Name?: string; Attempt?: number } | undefined;
      return `<tr><td>${e(node?.Name ?? '')}${(node?.Attempt ?? 1) > 1 ? ` (${node?.Attempt})` : ''}</td><td>${e(`${resource.type} ${resource.name}`)}</td><td>${e(type.name)}</td><td>${e(check.status)}</td><td>${approval ? answers(approval) : e(check.resultMessage)}</td></tr>`;
    }),
  );
  return `<h2>Checks and approvals</h2><table><tr><th>Stage</th><th>Resource</th><th>Check</th><th>Result</th><th>Who, when, what they said</th></tr>${rows.join('')}</table>`;
}

function answers(approval: Approval): string {
  const given = approval.steps.filter((step) => step.actualApprover ?? step.lastModifiedBy);
  return given
    .map(
      (step) =>
        `${e((step.actualApprover ?? step.lastModifiedBy)?.displayName ?? '')}, ${e(step.lastModifiedOn)}${step.comment ? `: “${e(step.comment)}”` : ''}`,
    )
    .join('<br>');
}

async function attachments(run: RunDocument, runFolder: string, folder: string): Promise<string> {
  const rows: string[] = [];
  for (const [index, attachment] of run.attachments.entries()) {
    if (attachment.type === 'Distributedtask.Core.Summary' || !existsSync(join(runFolder, attachment.path))) continue;
    // Never a name that a browser would run: what was attached is foreign.
    const name = `${index + 1}-${fileName(attachment.name)}.txt`;
    await cp(join(runFolder, attachment.path), join(folder, 'files', name));
    const record = run.records.find(({ id }) => id === attachment.recordId);
    rows.push(
      `<tr><td>${e(attachment.type)}</td><td><a href="files/${encodeURIComponent(name)}">${e(attachment.name)}</a></td><td>${e(record?.identifier ?? '')}</td></tr>`,
    );
  }
  const artifacts = run.artifacts.map(({ name, path }) => `<li>${e(name)}: <code>${e(join(runFolder, path))}</code></li>`);
  return [
    rows.length > 0 ? `<h2>Attachments</h2><table><tr><th>Type</th><th>Name</th><th>Step</th></tr>${rows.join('')}</table>` : '',
    artifacts.length > 0 ? `<h2>Artifacts</h2><ul>${artifacts.join('')}</ul>` : '',
  ].join('\n');
}

function foot(run: RunDocument): string {
  return `<footer>amlops run, ${escapeHtml(run.finishTime ?? run.startTime)}</footer></main></body></html>`;
}

const style = `
:root{color-scheme:light dark;--line:#8884;--ok:#107c10;--warn:#b35c00;--bad:#c50f1f;--dim:#767676}
body{font:15px/1.5 system-ui,sans-serif;margin:0;background:Canvas;color:CanvasText}main{max-width:1100px;margin:0 auto;padding:24px}
h1{font-size:26px}h2{margin-top:36px;border-bottom:1px solid var(--line)}table{border-collapse:collapse}th,td{text-align:left;padding:4px 12px 4px 0;vertical-align:top}
section table{margin:10px 0}section table td,section table th{border:1px solid var(--line);padding:4px 8px}.facts th{color:var(--dim);font-weight:500}
.badge{font-size:13px;font-weight:600;color:var(--dim);white-space:nowrap}.badge.succeeded{color:var(--ok)}.badge.succeededWithIssues,.badge.partiallySucceeded,.badge.canceled{color:var(--warn)}
.badge.failed,.badge.abandoned{color:var(--bad)}.stages{display:flex;flex-wrap:wrap;gap:12px}.stage{border:1px solid var(--line);border-left:4px solid var(--dim);border-radius:6px;padding:8px 14px;text-decoration:none;color:inherit}
.stage.succeeded{border-left-color:var(--ok)}.stage.failed{border-left-color:var(--bad)}.stage.succeededWithIssues,.stage.canceled{border-left-color:var(--warn)}
.summary,.job{border:1px solid var(--line);border-radius:6px;padding:4px 16px 12px;margin:12px 0}details{margin:4px 0}summary{cursor:pointer}
pre{background:#8881;padding:12px;overflow:auto;max-height:480px;font-size:12.5px;white-space:pre-wrap;overflow-wrap:anywhere}.issues .error{color:var(--bad)}.issues .warning{color:var(--warn)}footer{margin-top:48px;color:var(--dim)}`;
