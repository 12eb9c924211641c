/** Foreign text never becomes a command: judged with the agent's own grammar, on hostile lines by the thousand. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import { mentionsCommand, parseCommand } from '../../local/agent/command.js';
import { disarm, LineSplitter, longestLine, sanitize, sanitizeInline, sanitizeLine } from '../../src/task/sanitize.js';
import { resemblesCommand } from '../support/hostile-lines.js';

/** The agent finds the prefix with a culture-sensitive search, which skips ignorable characters. */
const asTheAgentMaySee = (line: string) => line.replace(/[\p{Cc}\p{Cf}\p{Default_Ignorable_Code_Point}]/gu, '');

function harmless(line: string): void {
  for (const seen of [line, asTheAgentMaySee(line), line.normalize('NFKC')]) {
    assert.ok(!seen.toLowerCase().includes('##vso['), JSON.stringify(line));
    assert.ok(!/##\[/.test(seen), JSON.stringify(line));
    assert.ok(!parseCommand(seen) && !mentionsCommand(seen) && !resemblesCommand(seen), JSON.stringify(line));
  }
  assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u2028\u2029\ufeff\u200b-\u200f]/);
  assert.ok(line.length <= longestLine + 1);
}

describe('foreign text', () => {
  it('known tricks are disarmed', () => {
    const command = 'task.setvariable variable=x]y';
    const tricks = [
      `##vso[${command}`,
      `progress 10%\r##vso[${command}`,
      `#\u200b#vso[${command}`,
      `##\u00advso[${command}`,
      `##v\ufeffso[${command}`,
      `##vso\u2060[${command}`,
      `##\u001b[0mvso[${command}`,
      `#\u001b]0;title\u0007#vso[${command}`,
      `\uff03\uff03vso[${command}`,
      `##VSO[${command}`,
      `x\u0085##vso[${command}`,
      `x\u2028##vso[${command}`,
      `###vso[${command}`,
      `##\u001b##vso[vso[${command}`,
      // Letters that are folded into those of the command, and letters with marks.
      `##\uff56so[${command}`,
      `\uff03\ufe5f\uff56\uff53\uff4f\uff3b${command}`,
      `##v\u017fo[${command}`,
      `##v\u0301s\u0302o[${command}`,
      `## vso[${command}`,
      '##\u27e6group]x',
      '##[group]x',
      '##[error]x',
    ];
    for (const trick of tricks) {
      const lines = sanitize(trick);
      for (const line of lines) harmless(line);
      // The escape takes the `v` with it.
      if (!trick.includes('\u001b##')) assert.match(lines.join('\n'), /##_/, JSON.stringify(trick));
    }
    assert.deepEqual(sanitize('##vso[task.debug]a'), ['##_vso[task.debug]a']);
  });

  it('no character that weighs nothing in a search by the rules of a culture hides a command', function () {
    const search = new Intl.Collator('en', { usage: 'search', sensitivity: 'variant' });
    const prefix = '##vso[';
    let hidden = 0;
    for (let code = 0x80; code <= 0x10ffff; code++) {
      const one = String.fromCodePoint(code);
      if (search.compare(`##v${one}so[`, prefix) !== 0) continue;
      hidden += 1;
      for (let at = 1; at < prefix.length; at++) {
        const trick = prefix.slice(0, at) + one + prefix.slice(at);
        const [safe = ''] = sanitizeLine(trick);
        assert.notEqual(search.compare(safe, prefix), 0, `U+${code.toString(16)}`);
        // Escape sequences take letters with them.
        if (code !== 0x9b && code !== 0x9d) assert.match(safe, /##_/, `U+${code.toString(16)}`);
      }
    }
    assert.ok(hidden > 500, `${hidden}`);
    assert.deepEqual(sanitizeLine('# \u07fa مـحـمد # x'), ['# \u07fa مـحـمد # x']);
  });

  it('ordinary text stays as it is', () => {
    for (const line of ['loss: 0.25 # fine', '## Heading', 'list[0] ## x', 'Größe 名前 😀', 'issue #12 [x] ½ ﬁ ①', '']) {
      assert.deepEqual(sanitizeLine(line), [line]);
    }
    assert.deepEqual(sanitizeLine('Größe ##vso[x]'), ['Größe ##_vso[x]']);
    assert.equal(sanitizeInline(' a\n'), 'a');
    assert.deepEqual(sanitizeLine('\u001b[31mred\u001b[0m\ttab'), ['red    tab']);
    assert.equal(sanitizeInline('a\nb\r\nc'), 'a b c');
    for (const trick of ['##vso[x]', '#\u200b#vso[x]']) assert.equal(disarm(trick), '##_vso[x]');
  });

  it('long lines are cut, very long ones end with a remark', () => {
    const pieces = sanitizeLine('x'.repeat(100_000));
    assert.ok(pieces.length <= 18);
    assert.match(pieces.at(-1) ?? '', /84000 more characters/);
    // No piece ends in half a character.
    for (const lead of ['', 'x']) {
      const emoji = sanitizeLine(lead + '😀'.repeat(800));
      assert.equal(emoji.join(''), lead + '😀'.repeat(800));
      for (const part of emoji) assert.ok(Buffer.from(part).toString() === part && part.length <= longestLine);
    }
    // A stream without an end of line is no reason to keep all of it.
    const endless = new LineSplitter();
    const given: string[] = [];
    for (let n = 0; n < 100; n++) given.push(...endless.push('y'.repeat(10_000)));
    // Its beginning is given once, then how much was left out, at its end or at the next carriage return.
    assert.deepEqual(given, ['y'.repeat(16_000)]);
    assert.deepEqual([endless.end(), endless.end()], [['[... 984000 more characters in this line]'], []]);
    const long = 'y'.repeat(70_000);
    assert.deepEqual(endless.push(long), ['y'.repeat(16_000)]);
    assert.deepEqual(endless.push(`${long}\r`), []);
    assert.deepEqual(endless.push('\nnext\r'), ['[... 124000 more characters in this line]']);
    assert.deepEqual(endless.push('\n'), ['next']);
    assert.deepEqual(endless.push(`${long}`).length, 1);
    assert.deepEqual(endless.push('end\r10%\r20%\r'), ['[... 54003 more characters in this line]']);
    assert.deepEqual(endless.end(), ['20%']);
  });

  it('no line of hostile alphabets becomes a command, however it is cut into chunks', () => {
    const piece = fc.constantFrom(
      '#', '##', 'vso', 'v', 's', 'o', '[', ']', 'task.complete result=Failed;', 'task.setvariable variable=a;isOutput=true',
      '\r', '\n', '\r\n', '\u0085', '\u2028', '\u200b', '\u00ad', '\ufeff', '\u0301', '\u001b', '\u001b[', '\u001b[0m', '\u001b]', '\u0007',
      '\u009b', '\uff03', '\uff3b', '\ufe5f', ' ', 'x', '%0D', '%AZP25', '\u0000', '\ud83d', '\u180e', '\u{e0001}', 'ｖ', 'V', 'ſ',
    ); // prettier-ignore
    const runs = process.env['AMLOPS_SOAK'] ? 100_000 : 3_000;
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), fc.array(fc.nat(12), { maxLength: 12 }), (pieces, cuts) => {
        const text = pieces.join('');
        const splitter = new LineSplitter();
        const lines: string[] = [];
        let at = 0;
        for (const cut of cuts) {
          lines.push(...splitter.push(text.slice(at, at + cut)));
          at += cut;
        }
        lines.push(...splitter.push(text.slice(at)), ...splitter.end());
        for (const line of lines) for (const safe of sanitize(`[step] ${line}`)) harmless(safe);
        harmless(sanitizeInline(text).slice(0, longestLine));
      }),
      { numRuns: runs },
    );
  });

  it('a chunk border inside a line, a character or CR LF makes no difference; a progress bar shows its last state', () => {
    const whole = 'one\r\ntwo\n10%\r20%\r30%\nüñ\n';
    for (let cut = 0; cut <= whole.length; cut++) {
      const splitter = new LineSplitter();
      const lines = [...splitter.push(whole.slice(0, cut)), ...splitter.push(whole.slice(cut)), ...splitter.end()];
      assert.deepEqual(
        lines.filter((line) => !/^[12]0%$/.test(line)),
        ['one', 'two', '30%', 'üñ'],
        `cut at ${cut}`,
      );
    }
    const bar = new LineSplitter();
    assert.deepEqual([bar.push('\r'), bar.push('\n\r'), bar.push('\n')], [[], [''], ['']]);
    assert.deepEqual(bar.push('10%\r20%\r'), ['10%']);
    assert.deepEqual(bar.push('30%\r'), ['20%']);
    assert.deepEqual(bar.end(), ['30%']);
    // However long it goes on, each state is given once.
    const long = new LineSplitter();
    for (let n = 0; n < 10_000; n++) assert.deepEqual(long.push(`${n} of 10000\r`), n === 0 ? [] : [`${n - 1} of 10000`]);
  });
}).timeout(300_000);
