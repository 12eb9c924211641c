/** What stays of a promotion: the plan in the log and as a file, the record, the attachments, a page in the run's summary. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Planned } from '../../src/release/plan.js';
import type { ApprovalFacts } from '../../src/release/ports.js';
import type { Applied } from '../../src/release/promote.js';
import { placedName, PLAN_KEYS, recordBytes, recordPath, type ChampionRef, type StoredRecord } from '../../src/release/record.js';
import { escapeMarkdown, verdictMarkdown } from '../../src/release/verdict-report.js';
import type { Platform } from '../../src/task/platform.js';
import type { Run } from '../shared/release.js';

const hops = {
  share: 'share with the registry',
  use: 'use the registry version, without registering it again',
  copy: 'copy the bytes and register them',
  inPlace: 'in place: only the champion moves',
} as const;

/** Long values stand whole in the plan's file. */
function brief(value: string): string {
  return value.length <= 160 ? value : `${value.slice(0, 120)}… (${value.length} characters)`;
}

function championName(champion: ChampionRef | null): string {
  return champion ? placedName({ ...champion, id: champion.modelId }) : 'none';
}

/** The plan as lines; rights say whose they are. */
function planLines({ plan, planDigest, inspection, notes, unchanged }: Planned): string[] {
  const fit = (name: string) => plan.conditions[name] ?? '';
  const side = (which: 'source' | 'target') =>
    [
      fit(`${which}.location`),
      fit(`${which}.regions`) && `regions ${fit(`${which}.regions`)}`,
      fit(`${which}.network`) && `public network ${fit(`${which}.network`)}`,
      fit(`${which}.storage`) && `storage by ${fit(`${which}.storage`)}`,
    ]
      .filter(Boolean)
      .join(', ');
  return [
    `action        ${plan.action}${unchanged ? ' (nothing to do)' : ''}`,
    `model         ${plan.model.name}:${plan.model.version} (${plan.model.type}), ${plan.model.digest}`,
    `from          ${plan.source.kind} ${plan.source.name}${side('source') ? ` (${side('source')})` : ''}`,
    `to            ${plan.target.kind} ${plan.target.name}${side('target') ? ` (${side('target')})` : ''}`,
    `how           ${hops[plan.hop]}`,
    `becomes       ${plan.targetModel.id}`,
    `champion      ${plan.movesChampion ? `${championName(plan.championBefore)} -> ${placedName(plan.targetModel)}` : 'not moved: a registry has none'}`,
    `gate          ${plan.gate ? plan.gate.verdict.verdict : 'none'}`,
    ...Object.entries(plan.tags).map(([name, value]) => `tag           ${name} = ${brief(value)}`),
    ...inspection.rights.map(
      ({ right, on, whose, found, detail }) =>
        `right ${found.padEnd(7)} ${whose}: ${right} on ${on}${found === 'yes' || !detail ? '' : ` (${detail})`}`,
    ),
    ...inspection.problems.map((problem) => `problem       ${problem}`),
    ...notes.map((note) => `note          ${note}`),
    `planDigest    ${planDigest}`,
  ];
}

export async function showPlan(platform: Platform, folder: string, planned: Planned): Promise<string> {
  await platform.group('Plan', () => {
    for (const line of planLines(planned)) platform.info(line);
    return Promise.resolve();
  });
  const file = join(folder, 'plan.json');
  writeFileSync(file, `${JSON.stringify(planJson(planned), null, 1)}\n`);
  return file;
}

function planJson({ plan, planDigest, inspection, notes, unchanged }: Planned): Record<string, unknown> {
  return {
    schemaVersion: 1,
    kind: 'aml.promotion.plan',
    planDigest,
    unchanged,
    plan: Object.fromEntries(PLAN_KEYS.map((key) => [key, plan[key]])),
    rights: inspection.rights,
    problems: inspection.problems,
    notes,
  };
}

/** The record's bytes as a file of the run, exactly as they stand in storage. */
export function summarize(folder: string, model: string, record: StoredRecord): string {
  const file = join(folder, `${model}-${String(record.ref.number).padStart(6, '0')}.json`);
  writeFileSync(file, record.bytes.length > 0 ? record.bytes : recordBytes(record.record));
  return file;
}

interface Report {
  platform: Platform;
  folder: string;
  planned: Planned;
  run: Run;
  outcome: 'planned' | 'promoted' | 'unchanged' | 'rejected' | 'rolledBack';
  approvals?: ApprovalFacts;
  applied?: Applied;
}

/** Attachments and summary. A pipeline may forbid them: nothing depends on them. */
export function publish({ platform, folder, planned, outcome, approvals, applied }: Report): void {
  const { plan } = planned;
  const attachment = join(folder, `${plan.action}.json`);
  writeFileSync(
    attachment,
    `${JSON.stringify({ ...planJson(planned), kind: 'aml.promotion', outcome, approvals: approvals ?? null, record: applied?.record.ref ?? null }, null, 1)}\n`,
  );
  platform.attach('aml.promotion', `${plan.recordedAs}-${plan.target.name}-${outcome}.json`, attachment);
  const page = join(folder, `Azure ML ${plan.action} ${plan.model.name}.md`.replace(/[^\w .-]+/g, '_'));
  const md = escapeMarkdown;
  const rows = [
    ['model', `${plan.model.name}:${plan.model.version}`],
    ['from', `${plan.source.kind} ${plan.source.name}`],
    ['to', `${plan.target.kind} ${plan.target.name}`],
    ['how', hops[plan.hop]],
    ['digest', plan.model.digest],
    ...(plan.movesChampion
      ? [
          ['champion before', championName(plan.championBefore)],
          [outcome === 'planned' || outcome === 'rejected' ? 'would become' : 'champion', placedName(plan.targetModel)],
        ]
      : []),
    ['plan digest', planned.planDigest],
    ...(applied
      ? [['record', `${recordPath(plan.recordedAs, applied.record.ref.number)} sha256:${applied.record.ref.sha256}`]]
      : []),
  ] as [string, string][];
  const said = (approvals?.approvals ?? []).map(
    (approval) =>
      `* ${approval.bypassed ? '**bypassed**' : md(approval.status)} by ${md(approval.actual)} at ${md(approval.when)}${approval.comment ? `: ${md(approval.comment)}` : ''}`,
  );
  const text = [
    `## ${md(plan.model.name)}: ${outcome}`,
    '',
    '| | |',
    '| --- | --- |',
    ...rows.map(([name, value]) => `| ${name} | ${md(value)} |`),
    '',
    ...(plan.gate ? ['### Gate', '', verdictMarkdown(plan.gate.verdict)] : []),
    ...(approvals
      ? [
          '### Approvals',
          '',
          ...(said.length > 0 ? said : [approvals.readable ? 'none found' : `none found (${md(approvals.reason ?? '')})`]),
          '',
        ]
      : []),
    ...(planned.inspection.rights.some(({ found }) => found !== 'yes')
      ? [
          '### Rights',
          '',
          'Of the connections that made this plan; a promotion asks again with its own, and writes nothing where one is missing.',
          '',
          ...planned.inspection.rights
            .filter(({ found }) => found !== 'yes')
            .map(
              ({ right, on, whose, found, detail }) => `* ${found}: ${md(whose)}: ${md(right)} on ${md(on)} ${md(detail ?? '')}`,
            ),
          '',
        ]
      : []),
  ].join('\n');
  writeFileSync(page, `${text}\n`);
  platform.summary(page);
}
