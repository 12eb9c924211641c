/** Hostile log lines: what the sanitizer lets through never becomes a command in the agent (design: log injection). */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { parseCommand } from '../../../local/agent/command.js';
import { LineSplitter } from '../../../local/agent/lines.js';
import { sanitize } from '../../../src/task/sanitize.js';
import { hostileLines, resemblesCommand } from '../../support/hostile-lines.js';

/** `npm run soak` sets 100,000. */
const count = Number(process.env['AMLOPS_FUZZ_LINES'] ?? 5000);

describe(`hostile log lines (${count})`, () => {
  it('none becomes a command, nor looks like one', function () {
    this.timeout(Math.max(20_000, count));
    let lines = 0;
    const check = (line: string): void => {
      lines += 1;
      assert.equal(parseCommand(line), undefined, `became a command: ${JSON.stringify(line)}`);
      assert.equal(resemblesCommand(line), false, `looks like a command: ${JSON.stringify(line)}`);
      assert.ok(!/^##\[/.test(line), `colours or folds the log: ${JSON.stringify(line)}`);
    };
    for (const hostile of hostileLines(20260101, count)) {
      // As the agent reads it: in chunks that cut anywhere, ended by LF, CR LF or CR.
      const splitter = new LineSplitter(check);
      const bytes = Buffer.from(`${[sanitize(hostile)].flat().join('\n')}\n`, 'utf8');
      const cut = hostile.length % Math.max(bytes.length, 1);
      splitter.write(bytes.subarray(0, cut));
      splitter.write(bytes.subarray(cut));
      splitter.end();
    }
    assert.ok(lines >= count);
  });

  it('is hostile: unsanitized, many of them are commands', () => {
    const raw = hostileLines(7, 1000).filter((line) => parseCommand(line) ?? resemblesCommand(line));
    assert.ok(raw.length > 300, `${raw.length} of 1000`);
  });
});

/** .NET's Split of a text at one character, at most so often, without empty parts, step by step. */
function split(text: string, separator: string, most = Infinity): string[] {
  const ends = [...text.matchAll(new RegExp(`[${separator}]`, 'g'))].map(({ index }) => index);
  const parts: string[] = [];
  let from = 0;
  for (let n = 0; n < ends.length; n++) {
    const end = ends[n] ?? 0;
    if (end > from) parts.push(text.slice(from, end));
    from = end + 1;
    if (parts.length < most - 1) continue;
    while (n < ends.length - 1 && ends[++n] === from) from += 1;
    break;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}

const plain = (text: string): string => text.replace(/[A-Z]/g, (one) => String.fromCharCode(one.charCodeAt(0) + 32));

/** The agent's grammar once more, from the sheet's words (task-contract B.6.1), by other means than the harness. */
function asPublished(line: string) {
  const [, info = '', data = ''] = /^##vso\[([^\]]*)\]([^]*)$/.exec(line.replace(/^(?:(?!##vso\[)[^])*/, '')) ?? [];
  const [, name = '', rest] = /^([^ ]*)(?: ([^]*))?$/.exec(info) ?? [];
  const [area, event, ...more] = split(name, '.');
  if (area === undefined || event === undefined || more.length > 0) return undefined;
  const read = (text: string) => {
    const marks: Record<string, string> = { '%3B': ';', '%0D': '\r', '%0A': '\n', '%5D': ']' };
    return text.replace(/%(?:3B|0D|0A|5D)/g, (escape) => marks[escape] ?? '').replace(/%AZP25/g, '%');
  };
  const pairs = split(rest ?? '', ';').map((pair) => split(pair, '=', 2));
  const properties = pairs.flatMap(([key, value]) => (key && value ? [[plain(key), read(value)]] : []));
  return { area: plain(area), event: plain(event), properties: Object.fromEntries(properties), data: read(data) };
}

describe("the harness's grammar of commands", () => {
  const noise = fc.array(
    fc.oneof(
      fc.constantFrom('##vso[', '##vso', '##[error]', '#', '[', ']', '.', ' ', ';', '=', '==', '\r', '\n', '\t', '\u00a0', '\u200b', '\uff03\uff03vso['),
      fc.constantFrom('%25', '%0D', '%0A', '%5D', '%3B', '%AZP25', '%AZP253B', '%%AZP255D', '%5d', '%azp25', 'name', 'TRUE', 'x'.repeat(3000)),
      fc.string({ unit: 'grapheme', maxLength: 3 }),
    ),
    { maxLength: 7 },
  ); // prettier-ignore
  const words = noise.map((parts) => parts.join(''));
  const names = fc.constantFrom('task.setvariable', 'Task.Debug', '.task..debug.', 'a.b.c', 'task', 'a=1.b=2', '', ' task.x');

  it('is the published one, whatever stands before, in and behind a command', () => {
    let commands = 0;
    fc.assert(
      fc.property(
        words,
        names,
        fc.option(fc.array(fc.tuple(words, words), { maxLength: 3 })),
        words,
        (before, name, pairs, data) => {
          const given = pairs === null ? '' : ` ${pairs.map((pair) => pair.join('=')).join(';')}`;
          const line = `${before}##vso[${name}${given}]${data}`;
          const read = parseCommand(line);
          if (read) commands += 1;
          const { properties, ...rest } = read ?? { properties: new Map() };
          assert.deepEqual(
            read && { ...rest, properties: Object.fromEntries(properties) },
            asPublished(line),
            JSON.stringify(line),
          );
        },
      ),
      { numRuns: count },
    );
    assert.ok(commands > count / 10, `${commands} of ${count}`);
  });

  it('reads names without regard to the case of ASCII letters, and of no other', () => {
    assert.equal(parseCommand('##vso[TASK.DEBUG]x')?.area, 'task');
    assert.notEqual(parseCommand('##vso[tas\u212a.debug]x')?.area, 'task');
    assert.equal(parseCommand('##vso[task.logissue \u0130=1;TYPE=error]x')?.properties.get('type'), 'error');
  });
});
