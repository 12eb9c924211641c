/** The verdict for people and for the test tab. */
import { toNumber, type Metrics, type Verdict, type VerdictRow } from './gate.js';

/** A number as short as it stays exact; metrics print like the person wrote them. */
export function formatNumber(value: number): string {
  return Math.abs(value) >= 1e-4 || value === 0 ? String(Number(value.toPrecision(12))) : value.toExponential(3);
}

function values(metrics: Metrics): string {
  const entries = Object.entries(metrics);
  const text = (value: Metrics[string]) => {
    const number = toNumber(value);
    return number === undefined ? JSON.stringify(value) : formatNumber(number);
  };
  if (entries.length === 1) return text(entries[0]![1]);
  return entries.map(([name, value]) => `${name}=${text(value)}`).join(', ');
}

function formatMargin(row: VerdictRow): string {
  if (row.margin === null) return '';
  return `${row.margin >= 0 ? '+' : ''}${formatNumber(row.margin)}`;
}

const HEAD = ['condition', 'candidate', 'champion', 'margin', 'verdict'];

function cells(row: VerdictRow): string[] {
  const named = row.name === row.condition ? row.condition : `${row.name}: ${row.condition}`;
  return [
    named,
    values(row.candidate),
    values(row.champion),
    formatMargin(row),
    `${row.verdict}${row.note ? ` (${row.note})` : ''}`,
  ];
}

/** Lines of a table in plain text, for the log. */
export function verdictLines(verdict: Verdict): string[] {
  if (verdict.rows.length === 0) return ['No gate was given: nothing was judged.'];
  const table = [HEAD, ...verdict.rows.map((row) => cells(row).map((cell) => cell.replace(/\s+/g, ' ')))];
  const widths = HEAD.map((_, column) => Math.max(...table.map((line) => line[column]!.length)));
  const lines = table.map((line) =>
    line
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join('  ')
      .trimEnd(),
  );
  lines.splice(1, 0, widths.map((width) => '-'.repeat(width)).join('  '));
  if (verdict.notComparable) lines.push('Candidate and champion were evaluated on different data: they are not comparable.');
  return lines;
}

/** The same as Markdown. Cells come from users and services: nothing in them may become markup. */
export function verdictMarkdown(verdict: Verdict): string {
  if (verdict.rows.length === 0) return '_No gate was given: nothing was judged._\n';
  const line = (parts: string[]) => `| ${parts.join(' | ')} |`;
  return [
    line(HEAD),
    line(HEAD.map(() => '---')),
    ...verdict.rows.map((row) => line(cells(row).map(escapeMarkdown))),
    ...(verdict.notComparable
      ? ['', 'Candidate and champion were evaluated on different data: they are **not comparable**.']
      : []),
    '',
  ].join('\n');
}

/** Foreign text for a Markdown table cell: no HTML, links, code, cells or lines of its own. */
export function escapeMarkdown(text: string): string {
  return text
    .replace(/\s+/g, ' ')
    .replace(/[&<>]/g, (char) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;' })[char]!)
    .replace(/[\\`*_{}[\]()#+!|~]/g, (char) => `\\${char}`);
}

/** One test case a condition, so that a verdict is a test result of the run. */
export function verdictJUnit(verdict: Verdict, suite: string): string {
  const failed = verdict.rows.filter((row) => row.verdict === 'rejected').length;
  const cases = verdict.rows.map((row) => {
    const [condition, candidate, champion, margin, said] = cells(row) as [string, string, string, string, string];
    const open = `    <testcase classname="${xml(suite)}" name="${xml(row.name)}" time="0"`;
    const text = `condition: ${condition}\ncandidate: ${candidate}\nchampion: ${champion}\nmargin: ${margin}\nverdict: ${said}`;
    if (row.verdict === 'passed') return `${open}>\n      <system-out>${xml(text)}</system-out>\n    </testcase>`;
    const why =
      row.note ?? (row.margin === null ? 'the condition does not hold' : `missed by ${formatNumber(Math.abs(row.margin))}`);
    return `${open}>\n      <failure type="Rejected" message="${xml(why)}">${xml(text)}</failure>\n    </testcase>`;
  });
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    `<testsuites tests="${verdict.rows.length}" failures="${failed}">`,
    `  <testsuite name="${xml(suite)}" tests="${verdict.rows.length}" failures="${failed}" errors="0" skipped="0">`,
    ...cases,
    '  </testsuite>',
    '</testsuites>',
    '',
  ].join('\n');
}

function xml(text: string): string {
  return text

    .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|\p{Surrogate}/gu, '\ufffd')
    .replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
    .replace(/[\n\r\t]/g, (char) => `&#${char.charCodeAt(0)};`);
}
