/**
 * `--report DIR`: one page of a run that needs nothing else: what went wrong, stages and why, who approved what, summaries, logs,
 * attachments, artifacts. Everything foreign is escaped; the page loads nothing and runs nothing.
 */
import { existsSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { readJson } from '../devops/files.js';
import type { Approval, RecordIssue, RunDocument, TimelineRecord } from '../devops/types.js';
import { duration, plainText } from './console.js';
import { escapeHtml, markdownToHtml } from './markdown.js';
import { artifactRows, attachmentRows } from './report-files.js';
import { e, placeOf, table, type View } from './report-parts.js';
import { reportStyle } from './report-style.js';
import { countTests } from './test-results.js';
import type { RunnerState } from './types.js';

/** Longest log that is put into the page; the whole file lies beside it. */
const maxLog = 200_000;
const generator = 'amlops run';

/**
 * Writes `folder/index.html`, with attachments, artifacts and long logs below `folder/files`; what an earlier report left there goes.
 * @param runFolder folder of the run (its `run.json`) @returns path of the page
 */
export async function writeReport(runFolder: string, folder: string): Promise<string> {
  const run = await readJson<RunDocument>(join(runFolder, 'run.json'));
  if (!run) throw new Error(`${runFolder} holds no run`);
  const path = join(folder, 'index.html');
  if (existsSync(path) && (await readFile(path, 'utf8')).includes(`<meta name="generator" content="${generator}">`))
    await rm(join(folder, 'files'), { recursive: true, force: true });
  await mkdir(join(folder, 'files'), { recursive: true });
  const view: View = { run, runFolder, folder, every: [...run.records, ...Object.values(run.previous).flat()] };
  const sections = [
    { id: 'problems', title: 'What went wrong', html: problems(view) },
    { id: 'stages', title: 'Stages', html: stages(view) },
    { id: 'checks', title: 'Checks and approvals', html: checks(view) },
    { id: 'summaries', title: 'Summaries', html: await summaries(view) },
    { id: 'tests', title: 'Tests', html: await tests(view) },
    { id: 'logs', title: 'Logs', html: await logs(view) },
    { id: 'attachments', title: 'Attachments', html: await attachmentRows(view) },
    { id: 'artifacts', title: 'Artifacts', html: await artifactRows(view) },
  ].filter(({ html }) => html);
  const nav = sections.map(({ id, title }) => `<a href="#${id}">${title}</a>`).join('');
  const body = sections.map(({ id, title, html }) => `<section id="${id}"><h2>${title}</h2>${html}</section>`);
  await writeFile(path, [head(run), `<nav>${nav}</nav>`, ...body, foot(run)].join('\n'));
  return path;
}

const lines = (text: string): string => text.split(/\r?\n/).map(plainText).join('\n');
const when = (iso: string | null | undefined): string => (iso ? `${iso.slice(0, 10)} ${iso.slice(11, 19)} UTC` : '');
const marks: Record<string, string> = {
  succeeded: '✓',
  succeededWithIssues: '!',
  partiallySucceeded: '!',
  failed: '✗',
  canceled: '■',
  skipped: '–',
  abandoned: '?',
};
/** As a person says it. */
const words: Record<string, string> = {
  succeededWithIssues: 'succeeded with issues',
  partiallySucceeded: 'partially succeeded',
  inProgress: 'not ended',
  pending: 'not started',
  timedOut: 'timed out',
};

function badge(result: string): string {
  return `<span class="badge ${escapeHtml(result)}">${marks[result] ?? '…'} ${escapeHtml(words[result] ?? result)}</span>`;
}

const resultOf = (record: TimelineRecord): string => record.result ?? record.state;

function took(record: { startTime: string | null; finishTime: string | null }): string {
  return record.startTime && record.finishTime ? duration(Date.parse(record.finishTime) - Date.parse(record.startTime)) : '';
}

function head(run: RunDocument): string {
  const state = run.runner as RunnerState | null;
  const parameters = Object.entries(run.templateParameters).map(([name, value]) => `${name}: ${value}`);
  const facts: [string, string][] = [
    ['Run', `${run.id} (${run.buildNumber})`],
    ['Branch', run.sourceBranch],
    ['Commit', run.sourceVersion],
    ['Requested by', run.requestedFor.displayName],
    ['Started', when(run.startTime)],
    ['Took', took(run)],
    ['Parameters', parameters.join('\n')],
  ];
  const rows = facts
    .filter(([, value]) => value)
    .map(([name, value]) => `<div><dt>${name}</dt><dd>${value.split('\n').map(e).join('<br>')}</dd></div>`);
  const tags = run.tags.map((tag) => `<li>${e(tag)}</li>`).join('');
  const result = run.status === 'completed' ? run.result : run.status;
  const name = state?.entry ?? 'pipeline';
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<meta name="generator" content="${generator}">
<title>Run ${run.id} ${escapeHtml(words[result] ?? result)}: ${e(name)}</title><style>${reportStyle}</style></head><body><main>
<header class="${escapeHtml(result)}"><h1>${e(name)} ${badge(result)}</h1><dl>${rows.join('')}</dl>${tags ? `<ul class="tags">${tags}</ul>` : ''}</header>`;
}

function children(records: TimelineRecord[], parent: TimelineRecord | null, type?: string): TimelineRecord[] {
  return records
    .filter((record) => record.parentId === (parent?.id ?? null) && (type === undefined || record.type === type))
    .sort((a, b) => a.order - b.order);
}

const reasonOf = ({ run }: View, stage: TimelineRecord): string =>
  (run.runner as RunnerState | null)?.stages[stage.identifier]?.reason ?? '';

const jobReason = ({ run }: View, stage: TimelineRecord, phase: TimelineRecord): string =>
  (run.runner as RunnerState | null)?.stages[stage.identifier]?.jobs[phase.identifier.split('.').at(-1) ?? '']?.reason ?? '';

/** The errors of what failed, each with the way to its log. */
function problems(view: View): string {
  const { run } = view;
  const found: string[] = [];
  const say = (record: TimelineRecord, path: string[], texts: string[]): void => {
    const shown = texts.length > 0 ? texts : [`It ended as ${words[resultOf(record)] ?? resultOf(record)}.`];
    found.push(
      `<li><a href="#r-${record.id}">${path.map(e).join(' › ')}</a>${shown.map((text) => `<p>${multiline(text)}</p>`).join('')}</li>`,
    );
  };
  const bad = (record: TimelineRecord): boolean => ['failed', 'abandoned'].includes(resultOf(record));
  const errors = (issues: RecordIssue[]): string[] => issues.filter(({ type }) => type === 'error').map(({ message }) => message);
  for (const stage of children(run.records, null, 'Stage').filter(bad)) {
    const before = found.length;
    const own = errors(stage.issues);
    if (own.length > 0) say(stage, [stage.name], own);
    for (const phase of children(run.records, stage, 'Phase')) {
      if (bad(phase) && phase.issues.length > 0) say(phase, [stage.name, phase.name], errors(phase.issues));
      for (const job of children(run.records, phase, 'Job').filter(
        ({ result }) => result === 'failed' || result === 'canceled',
      )) {
        if (job.issues.length > 0) say(job, [stage.name, job.name], errors(job.issues));
        for (const step of children(run.records, job, 'Task').filter(bad))
          say(step, [stage.name, job.name, step.name], errors(step.issues));
      }
    }
    if (found.length === before) say(stage, [stage.name], []);
  }
  return found.length > 0 ? `<ul class="problems">${found.join('')}</ul>` : '';
}

const multiline = (text: string): string => text.split(/\r?\n/).map(e).join('<br>');

function stages(view: View): string {
  const rows = children(view.run.records, null, 'Stage').map((stage) => {
    const attempt = stage.attempt > 1 ? ` <small>attempt ${stage.attempt}</small>` : '';
    const notes = [...decisions(view, stage), ...(reasonOf(view, stage) ? [multiline(reasonOf(view, stage))] : [])];
    return `<tr><td><a href="#r-${stage.id}">${e(stage.name)}</a>${attempt}</td><td>${badge(resultOf(stage))}</td><td>${stage.startTime ? when(stage.startTime).slice(11) : ''}</td><td>${took(stage)}</td><td>${notes.join('<br>')}</td></tr>`;
  });
  return table(['Stage', 'Result', 'Started', 'Took', 'Why, and who decided'], rows);
}

/** `approved by Ada: the comment`, of the attempt that the stage is in. */
function decisions({ run }: View, stage: TimelineRecord): string[] {
  return run.suites
    .filter(({ context }) => (context['GraphNode'] as { Id?: string } | undefined)?.Id === stage.id)
    .flatMap(({ checkRuns }) =>
      checkRuns.flatMap((check) => {
        const approval = run.approvals.find(({ id }) => id === check.id);
        return approval ? given(approval, check.status === 'bypassed') : [];
      }),
    );
}

function given(approval: Approval, bypassed: boolean): string[] {
  return approval.steps
    .filter((step) => step.actualApprover ?? step.lastModifiedBy)
    .map((step) => {
      const who = (step.actualApprover ?? step.lastModifiedBy)?.displayName ?? '';
      const what = bypassed ? 'bypassed' : step.status;
      return `${e(what)} by ${e(who)}, ${when(step.lastModifiedOn)}${step.comment ? `: “${e(step.comment)}”` : ''}`;
    });
}

const checkNames: Record<string, string> = {
  ExtendsCheck: 'required template',
  ExclusiveLock: 'exclusive lock',
  Approval: 'approval',
};

function checkName({ every }: View, id: string, type: string): string {
  return checkNames[type] ?? every.find((record) => record.id === id)?.name ?? type;
}

function checks(view: View): string {
  const { run } = view;
  const rows = run.suites.flatMap((suite) =>
    suite.checkRuns.map((check) => {
      const approval = run.approvals.find(({ id }) => id === check.id);
      const { resource, type } = check.checkConfigurationRef;
      const node = suite.context['GraphNode'] as { Name?: string; Attempt?: number } | undefined;
      const said = [
        ...(approval ? given(approval, check.status === 'bypassed') : []),
        ...(check.resultMessage ? [e(check.resultMessage)] : []),
      ];
      const kind = resource.type === 'endpoint' ? 'service connection' : resource.type;
      return `<tr><td>${e(node?.Name ?? '')}${(node?.Attempt ?? 1) > 1 ? ` (attempt ${node?.Attempt})` : ''}</td><td>${e(`${kind} ${resource.name}`)}</td><td>${e(checkName(view, check.id, type.name))}</td><td class="check ${escapeHtml(check.status)}">${e(words[check.status] ?? check.status)}</td><td>${said.join('<br>')}</td></tr>`;
    }),
  );
  return table(['Stage', 'Resource', 'Check', 'Result', 'Who, when, what was said'], rows);
}

async function summaries(view: View): Promise<string> {
  const found: string[] = [];
  for (const attachment of view.run.attachments.filter(({ type }) => type === 'Distributedtask.Core.Summary')) {
    const path = join(view.runFolder, attachment.path);
    if (!existsSync(path)) continue;
    const html = markdownToHtml(lines(await readFile(path, 'utf8')));
    found.push(
      `<details open class="card"><summary>${e(placeOf(view, attachment.recordId) || attachment.name)}</summary><div class="wide">${html}</div></details>`,
    );
  }
  return found.join('\n');
}

async function tests(view: View): Promise<string> {
  const rows: string[] = [];
  for (const { type, name, path, recordId } of view.run.attachments) {
    const file = join(view.runFolder, path);
    if (type !== 'amlops.testResults' || !existsSync(file)) continue;
    const { total, failed, skipped } = countTests(await readFile(file, 'utf8'));
    rows.push(
      `<tr><td>${e(name.replace(/^\d+-|\.xml$/g, ''))}</td><td>${e(placeOf(view, recordId))}</td><td>${total - failed - skipped} of ${total} passed</td><td class="${failed > 0 ? 'check failed' : ''}">${failed > 0 ? `${failed} failed` : ''}</td></tr>`,
    );
  }
  return table(['Tests', 'Step', 'Passed', 'Failed'], rows);
}

async function logs(view: View): Promise<string> {
  const html: string[] = [];
  for (const stage of children(view.run.records, null, 'Stage')) {
    html.push(await stageLogs(view, stage, view.run.records));
    for (const { attempt, timelineId } of [...stage.previousAttempts].reverse()) {
      const records = view.run.previous[timelineId] ?? [];
      const old = records.find(({ type }) => type === 'Stage');
      if (old)
        html.push(
          `<details class="old"><summary>${e(stage.name)}, attempt ${attempt}: ${e(words[resultOf(old)] ?? resultOf(old))}</summary>${await stageLogs(view, old, records)}</details>`,
        );
    }
  }
  return html.join('\n');
}

async function stageLogs(view: View, stage: TimelineRecord, records: TimelineRecord[]): Promise<string> {
  const present = view.run.records.includes(stage);
  const reason = present && stage.issues.length === 0 ? reasonOf(view, stage) : '';
  const html = [
    `<h3 id="r-${stage.id}">${e(stage.name)} ${badge(resultOf(stage))} <small>${took(stage)}</small></h3>`,
    reason ? `<p>${multiline(reason)}</p>` : '',
    issues(stage),
  ];
  for (const phase of children(records, stage, 'Phase')) {
    const jobs = children(records, phase, 'Job');
    if (jobs.length === 0 || phase.issues.length > 0)
      html.push(
        `<p id="r-${phase.id}">${e(phase.name)} ${badge(resultOf(phase))} ${present ? e(jobReason(view, stage, phase)) : ''}</p>${issues(phase)}`,
      );
    for (const job of jobs) {
      html.push(
        `<div class="card" id="r-${job.id}"><h4>${e(job.name)} ${badge(resultOf(job))} <small>${took(job)}</small></h4>${issues(job)}`,
      );
      for (const step of children(records, job, 'Task')) html.push(await stepHtml(view, step));
      html.push('</div>');
    }
  }
  return html.join('\n');
}

function issues(record: TimelineRecord): string {
  const found = record.issues.map(({ type, message }) => `<li class="${type}">${multiline(message)}</li>`);
  return found.length > 0 ? `<ul class="issues">${found.join('')}</ul>` : '';
}

async function stepHtml({ runFolder, folder }: View, step: TimelineRecord): Promise<string> {
  const title = `${badge(resultOf(step))} ${e(step.name)} <small>${took(step)}</small>`;
  const path = step.log ? join(runFolder, 'logs', `${step.log.id}.log`) : undefined;
  const text = path && existsSync(path) ? lines(await readFile(path, 'utf8')) : '';
  if (!text) return `<div class="step" id="r-${step.id}">${title}${issues(step)}</div>`;
  let shown = text;
  let note = '';
  if (text.length > maxLog) {
    const file = `files/log-${step.log?.id ?? 0}.txt`;
    await writeFile(join(folder, file), text);
    const start = text.indexOf('\n', text.length - maxLog) + 1;
    shown = text.slice(start > 0 ? start : -maxLog);
    note = `<p>The end of ${text.split('\n').length - 1} lines. <a href="${file}">The whole log</a>.</p>`;
  }
  const open = step.result === 'failed' || step.state === 'inProgress' ? ' open' : '';
  return `<details${open} class="step" id="r-${step.id}"><summary>${title}</summary>${issues(step)}${note}<pre>${shown.split('\n').map(logLine).join('\n')}</pre></details>`;
}

/** The time without its day; errors, warnings and section titles as the service colours them. */
function logLine(line: string): string {
  const [, stamp = '', rest = line] = /^\d{4}-\d{2}-\d{2}T(\d{2}:\d{2}:\d{2})\.\d+Z (.*)$/.exec(line) ?? [];
  const kind = /^##\[(error|warning|section|command|group|debug)\]/.exec(rest)?.[1];
  const text = kind ? `<b class="${kind}">${escapeHtml(rest.slice(kind.length + 4))}</b>` : escapeHtml(rest);
  return `${stamp ? `<i>${stamp}</i> ` : ''}${text}`;
}

function foot(run: RunDocument): string {
  return `<footer>amlops run, ${when(run.finishTime ?? run.startTime)}</footer></main></body></html>`;
}
