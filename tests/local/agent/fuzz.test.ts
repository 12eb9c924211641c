/** Hostile log lines: what the sanitizer lets through never becomes a command in the agent (design: log injection). */
import assert from 'node:assert/strict';
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
