/** Log files that do not behave: replaced, moved, late, of several processes, without lines; every line once, and what is not shown is said. */
import assert from 'node:assert/strict';
import { Failure } from '../../../src/azure/errors.js';
import { JobView } from '../../../tasks/RunAmlPipeline/view.js';
import { FakePlatform } from '../../support/fake-platform.js';
import { job } from '../../support/job-states.js';
import { LogStore, step, user } from '../../support/log-store.js';

const mega = 1024 * 1024;
const again = '(the log was replaced; what follows is the new one from its beginning)\n';
const running = step('a', 'Running');
const completed = step('a', 'Completed');
const lines = (word: string, count: number) => Array.from({ length: count }, (_, n) => `${word} ${n}\n`).join('');

/** What a user reads of a log that grows as in `states`; the step ends with the last of them. */
async function read(...states: (string | Buffer)[]): Promise<string[]> {
  const platform = new FakePlatform();
  const view = new JobView(platform, job());
  const store = new LogStore((one, text) => view.text(one, text), (one) => view.textEnd(one)); // prettier-ignore
  for (const state of states) {
    store.files[`a/${user}`] = state;
    await store.look(running);
  }
  await store.drain(completed);
  return platform.foreignLines;
}

describe('a log that is replaced', () => {
  it('by one of the same length, by a longer one, or is emptied first: from its beginning, and told', async () => {
    for (const other of [lines('new', 3), lines('another', 500), `${'x'.repeat(9_000)}\n`]) {
      for (const whole of [false, true]) {
        const store = new LogStore();
        store.whole = whole;
        store.files[`a/${user}`] = lines('old', 3);
        // Nothing comes for a while.
        for (let looks = 0; looks < 2; looks++) await store.look(running);
        store.files[`a/${user}`] = other;
        await store.look();
        await store.drain(completed);
        assert.equal(store.text(), lines('old', 3) + again + other);
      }
    }
    const emptied = new LogStore();
    for (const state of [lines('old', 300), '', '', lines('new', 2), lines('new', 400)]) {
      emptied.files[`a/${user}`] = state;
      await emptied.look(running);
    }
    assert.equal(emptied.text(), lines('old', 300) + again + lines('new', 400));
  });

  it('between two pieces of one look, and in the midst of a character', async () => {
    const store = new LogStore();
    let asked = 0;
    store.files[`a/${user}`] = 'ö'.repeat(3 * mega);
    store.instead = (_request, path) => {
      if (path === `a/${user}` && ++asked === 2) store.files[path] = `fresh ü\n${lines('new', 600_000)}`;
      return undefined;
    };
    await store.look(running);
    const [before, after] = store.text().split(`\n${again}`);
    assert.match(before ?? '', /^ö+$/);
    assert.ok(after === store.files[`a/${user}`], after?.slice(0, 100));
  });

  it('all the time: it is not given thousands of times, and its last state is given whole', async () => {
    const store = new LogStore();
    for (let looks = 0; looks < 300; looks++) {
      store.files[`a/${user}`] = lines(`state ${looks}`, 100);
      await store.look(running);
    }
    const during = store.text().split(again).length;
    assert.ok(during > 3 && during <= 11, `${during} times in five hours`);
    store.files[`a/${user}`] = lines('last', 50);
    await store.look(completed);
    await store.look();
    assert.ok(store.text().endsWith(again + lines('last', 50)));
    assert.deepEqual(store.ended, ['a']);
  });

  it('a store that sends other bytes than those asked for is not believed', async () => {
    const store = new LogStore();
    store.files[`a/${user}`] = lines('x', 400);
    await store.look(running);
    const given = store.text();
    store.instead = (_request, path) =>
      path === 'details'
        ? undefined
        : { status: 206, headers: { 'content-range': 'bytes 0-9/10' }, bytes: Buffer.from('0123456789') };
    await assert.rejects(store.look(), /sent its bytes from 0 on/);
    assert.equal(store.text(), given);
  });
});

describe('the address of a log', () => {
  it('that leads to another host is not asked, which is told; the other files are read, and so is this one when it is back', async () => {
    const store = new LogStore();
    const build = 'azureml-logs/20_image_build_log.txt';
    store.files = { [`a/${user}`]: 'a1\n', [`b/${build}`]: 'build\n', [`b/${user}`]: 'b1\n' };
    const b = step('b', 'Running');
    await store.look(running, b);
    store.host = (path) => (path === `b/${user}` ? 'elsewhere:443' : 'logs');
    store.signature = 2;
    store.files = { [`a/${user}`]: 'a1\na2\n', [`b/${build}`]: 'build\nbuilt\n', [`b/${user}`]: 'b1\nb2\n' };
    await assert.rejects(store.look(), (error) => error instanceof Failure && error.code === 'LogMoved' && /from logs to elsewhere/.test(error.message)); // prettier-ignore
    assert.ok(!store.workspace.asked.some(({ url }) => url.includes('elsewhere')));
    assert.equal(store.text(), 'a1\na2\n');
    store.host = () => 'logs';
    await store.look();
    assert.equal(store.text('b'), 'b1\nb2\n');
  });

  it('whose signature is over when the step or the job ends costs no line', async () => {
    for (const end of ['look', 'drain'] as const) {
      const store = new LogStore();
      store.files[`a/${user}`] = 'one\n';
      await store.look(running);
      store.files[`a/${user}`] = 'one\nlast words\n';
      store.signature = 2;
      await store[end](completed);
      assert.equal(store.text(), 'one\nlast words\n', end);
    }
  });
});

describe('logs of several processes', () => {
  const of = (which: string) => `user_logs/std_log_${which}.txt`;

  it('that come late, grow in turn and together: each line once, always with its own name before it', async () => {
    const store = new LogStore();
    const [worker, server] = [of('worker_0'), of('ps_0')];
    const files: Record<string, string> = {};
    const given = () => store.given.map(({ file, text }) => `${file ?? ''}|${text}`);
    for (const [name, text] of [[worker, 'w1 '], [worker, 'half\n'], [server, 's1\n'], [worker, 'w2\n'], [server, 's2 '], [server, 'half\n']] as const) {
      files[name] = (files[name] ?? '') + text;
      store.files = Object.fromEntries(Object.entries(files).map(([file, all]) => [`a/${file}`, all]));
      await store.look(running);
      // Another file is looked for more and more seldom.
      store.now += 10 * 60_000;
    } // prettier-ignore
    assert.deepEqual(given(), ['|w1 ', '|half\n', '|w2\n', `${server}|s1\n`, `${server}|s2 `, `${server}|half\n`]);
    const late = of('0_ps');
    store.files[`a/${late}`] = 'late\n';
    await store.look(completed);
    assert.deepEqual(given().slice(6), [`${late}|late\n`]);
    const both = new LogStore();
    both.files = { [`a/${worker}`]: 'w\n', [`a/${server}`]: 's\n' };
    await both.look(running);
    assert.deepEqual(both.given.map(({ file, text }) => `${file} ${text}`), [`${server} s\n`, `${worker} w\n`]); // prettier-ignore
  });

  it('of which one is refused: the others are read', async () => {
    const store = new LogStore();
    store.files = { [`a/${of('ps_0')}`]: 's\n', [`a/${of('worker_0')}`]: 'w\n' };
    store.instead = (_request, path) => (path.includes('ps_0') ? { status: 400 } : undefined);
    await assert.rejects(store.look(running), Failure);
    assert.equal(store.text(), 'w\n');
  });

  it('the first one speaks for all, and says so; the next one where the first has never written', async () => {
    const store = new LogStore();
    for (const rank of ['00', '01', '02']) store.files[`a/${of(`process_${rank}`)}`] = `rank ${rank}\n`;
    await store.look(running);
    await store.drain(completed);
    const remark = '(this step has further processes; the log of std_log_process_00 is shown, see the studio for the others)\n';
    assert.equal(store.text(), `${remark}rank 00\n`);
    delete store.files[`a/${of('process_00')}`];
    const other = new LogStore();
    other.files = store.files;
    await other.look(running);
    assert.equal(other.text(), '');
    await other.look(completed);
    assert.match(other.text(), /^\(.* std_log_process_01 is shown.*\)\nrank 01\n$/);
  });

  it('asks for further ones ever more seldom, and never for those of a step with one process', async () => {
    for (const [name, most] of [[of('process_0'), 9], [user, 1]] as const) {
      const store = new LogStore();
      store.files[`a/${name}`] = 'x\n';
      for (let looks = 0; looks < 240; looks++) await store.look(running);
      const asked = store.workspace.asked.filter(({ url }) => url.endsWith('/details')).length;
      assert.ok(asked <= most && asked >= most - 4, `${name}: ${asked}`);
    } // prettier-ignore
  });
});

describe('every request for a log', () => {
  it('listens to a cancel', async () => {
    const store = new LogStore();
    store.files[`a/${user}`] = 'x\n';
    const { signal } = new AbortController();
    await store.logs.drain([completed], store.now, signal);
    assert.deepEqual(new Set(store.workspace.asked.map((request) => request.signal)), new Set([signal]));
    assert.equal(store.workspace.asked.length, 3);
  });
});

describe('a log that comes late', () => {
  it('after the end of its step, or only at the end of the job: it is read', async () => {
    const store = new LogStore();
    store.named = () => [];
    for (let looks = 0; looks < 4; looks++) await store.look(completed);
    // No more is asked for it meanwhile.
    assert.ok(store.workspace.asked.length <= 2 && store.logs.nextDue() === undefined);
    store.named = () => undefined;
    store.files[`a/${user}`] = 'all of it\n';
    await store.drain(completed);
    assert.equal(store.text(), 'all of it\n');
    const soon = new LogStore();
    await soon.look(completed);
    soon.files[`a/${user}`] = 'a little later\n';
    await soon.look();
    await soon.look();
    assert.deepEqual([soon.text(), soon.ended], ['a little later\n', ['a']]);
  });

  it('behind an image that was built for two hours: it is read within two minutes', async () => {
    const store = new LogStore();
    store.files['a/azureml-logs/20_image_build_log.txt'] = 'building\n';
    for (let looks = 0; looks < 120; looks++) await store.look(running);
    store.files[`a/${user}`] = 'training\n';
    for (let looks = 0; looks < 2; looks++) await store.look();
    assert.equal(store.text(), 'building\ntraining\n');
  });

  it('faster than it is read: the look ends, and the next one is due at once', async () => {
    const store = new LogStore();
    store.files[`a/${user}`] = 'x'.repeat(17 * mega);
    await store.look(running);
    assert.equal(store.text().length, 16 * mega);
    assert.equal(store.logs.nextDue(), store.now);
    await store.look();
    assert.equal(store.text().length, 17 * mega);
    assert.ok((store.logs.nextDue() ?? 0) > store.now);
  });
});

describe('what a user reads of a log', () => {
  it('without a last line end, with line ends cut in two, progress bars, NUL bytes, a character in two halves', async () => {
    const bar = Array.from({ length: 500 }, (_, n) => `\r${n}%|####`);
    const whole = Buffer.from(`one\r\ntwo\r\n${bar.join('')}\r100%|done\nü\u0000\u0000nul\nno end`);
    const expected = ['[a] one', '[a] two', '[a] 100%|done', '[a] ünul', '[a] no end'];
    assert.deepEqual(await read('', '', '', whole), expected);
    for (let cut = 1; cut < whole.length; cut += cut < 20 || cut > whole.length - 30 ? 1 : 97) {
      const found = await read(whole.subarray(0, cut), whole);
      assert.deepEqual(found.filter((line) => !/^\[a\] \d+%\|/.test(line) || line.includes('done')), expected, `cut at ${cut}`); // prettier-ignore
    }
    // A bar that never ends a line shows once a look, and its last state at the end.
    const bars = await read(...Array.from({ length: 20 }, (_, n) => bar.slice(0, (n + 1) * 25).join('')));
    assert.equal(bars.length, 21);
  });

  it('one line of fifty megabytes: its beginning, how much is left out, and the next line', async () => {
    const found = await read(Buffer.from(`first\n${'y'.repeat(50 * mega)}\nlast\n`));
    assert.ok(found.length < 30, `${found.length} lines`);
    assert.equal(found[0], '[a] first');
    assert.match(found.at(-2) ?? '', /^\[a\] \[\.\.\. \d+ more characters in this line\]$/);
    assert.equal(found.at(-1), '[a] last');
  });
}).timeout(60_000);
