/** Logs of steps: every byte once and in order, whatever the store does between two looks, and not one lost at the end. */
import assert from 'node:assert/strict';
import { logNames } from '../../../src/aml/jobs/log-file.js';
import { JobLogs } from '../../../src/aml/jobs/logs.js';
import { Allowance } from '../../../src/aml/jobs/schedule.js';
import { Failure } from '../../../src/azure/errors.js';
import { LogStore as Store, step, user } from '../../support/log-store.js';

const mega = 1024 * 1024;
const again = '(the log was replaced; what follows is the new one from its beginning)\n';

describe('logs of steps', () => {
  const running = step('a', 'Running');

  it('reads no more than what is taken', async () => {
    const store = new Store();
    const { workspace } = store;
    store.files = { [`a/${user}`]: 'x'.repeat(9 * mega) };
    let [taken, take] = [0, () => undefined as void];
    const give = () => ((taken += 1), new Promise<void>((resolve) => (take = resolve)));
    const logs = new JobLogs(workspace, give, () => undefined);
    logs.follow([step('a', 'Running')], 1);
    const asked = () => workspace.asked.filter(({ url }) => url.startsWith('https://logs/')).length;
    const poll = logs.poll(1, new Allowance(1));
    const pause = async () => {
      for (let n = 0; n < 20; n++) await new Promise((resolve) => setImmediate(resolve));
    };
    await pause();
    assert.deepEqual([taken, asked()], [1, 1]);
    take();
    await pause();
    assert.deepEqual([taken, asked()], [2, 1]);
    while (taken < 72) {
      take();
      await pause();
    }
    take();
    await poll;
    assert.deepEqual([taken, asked()], [72, 3]);
  });

  it('names what a person reads: the newest kind, the first process of several, in order', () => {
    const named = (...names: string[]) => logNames(Object.fromEntries(names.map((name) => [name, ''])));
    const old = ['azureml-logs/70_driver_log.txt', 'azureml-logs/55_azureml-execution.txt', 'logs/azureml/executionlogs.txt'];
    assert.deepEqual(named('system_logs/x.txt', ...old, user), [user]);
    assert.deepEqual(named(...old), [old[1], old[0]]);
    assert.deepEqual(named('system_logs/x.txt', 'logs/azureml/executionlogs.txt'), ['logs/azureml/executionlogs.txt']);
    assert.deepEqual(named('azureml-logs/hyperdrive.txt'), ['azureml-logs/hyperdrive.txt']);
    assert.deepEqual(named('user_logs/std_log_process_00.txt', 'user_logs/std_log_process_01.txt'), [
      'user_logs/std_log_process_00.txt',
    ]);
    assert.deepEqual(named('outputs/x.txt'), []);
  });

  it('reads on where it was, a character split over two reads included', async () => {
    const store = new Store();
    const whole = Buffer.from('grün 😀\n');
    for (let cut = 0; cut <= whole.length; cut++) {
      store.files[`a/${user}`] = whole.subarray(0, cut);
      await store.look(running);
    }
    assert.equal(store.text(), 'grün 😀\n');
  });

  it('reads large logs whole, in pieces', async () => {
    const store = new Store();
    const line = `${'ä'.repeat(60)}\n`;
    const whole = line.repeat(Math.ceil((9 * mega) / Buffer.byteLength(line)));
    store.files[`a/${user}`] = whole;
    await store.look(running);
    assert.ok(store.text() === whole);
    assert.ok(store.given.every(({ text }) => text.length <= 128 * 1024));
  });

  for (const whole of [false, true]) {
    it(`starts over when the file was replaced${whole ? ', also where the store sends whole files' : ''}: nothing of the old text gets into the new`, async () => {
      const store = new Store();
      store.whole = whole;
      // Ends in the midst of a character.
      store.files[`a/${user}`] = Buffer.from('first try, ü').subarray(0, -1);
      await store.look(running);
      store.files[`a/${user}`] = 'second\n';
      await store.look();
      store.files[`a/${user}`] = 'second\nthird\n';
      await store.look();
      assert.equal(store.text(), `first try, \n${again}second\nthird\n`);
    });
  }

  it('every line once where the store knows no ranges', async () => {
    const store = new Store();
    store.whole = true;
    for (let lines = 0; lines < 40; lines++) {
      store.files[`a/${user}`] = 'a line of some length, not of few letters\n'.repeat(lines);
      await store.look(running);
    }
    assert.equal(store.text(), 'a line of some length, not of few letters\n'.repeat(39));
  });

  it('a step that does not answer or is paused has not ended: what it writes afterwards is read', async () => {
    for (const word of ['NotResponding', 'Unknown', 'Paused']) {
      const store = new Store();
      store.files[`a/${user}`] = 'one\n';
      await store.look(running);
      for (let looks = 0; looks < 3; looks++) await store.look(step('a', word));
      assert.deepEqual(store.ended, [], word);
      store.files[`a/${user}`] = 'one\ntwo\n';
      await store.look(running);
      assert.equal(store.text(), 'one\ntwo\n', word);
      store.files[`a/${user}`] = 'one\ntwo\nthree';
      for (let looks = 0; looks < 3; looks++) await store.look(step('a', 'Completed'));
      assert.equal(store.text(), 'one\ntwo\nthree', word);
      assert.deepEqual(store.ended, ['a'], word);
      assert.equal(store.logs.nextDue(), undefined);
    }
  });

  it('an ended step is read until nothing more comes, and at once', async () => {
    for (const end of ['Completed', 'Failed', 'Canceled']) {
      const store = new Store();
      store.files[`a/${user}`] = 'one\n';
      await store.look(running);
      assert.ok((store.logs.nextDue() ?? 0) > store.now);
      store.logs.follow([step('a', end)], store.now);
      assert.equal(store.logs.nextDue(), store.now);
      store.files[`a/${user}`] = 'one\nlast words\n';
      await store.look(step('a', end));
      assert.deepEqual(store.ended, []);
      store.files[`a/${user}`] = 'one\nlast words\nlate\n';
      await store.look();
      await store.look();
      assert.equal(store.text(), 'one\nlast words\nlate\n');
      assert.deepEqual(store.ended, ['a'], end);
    }
  });

  it('follows what runs or has run, no group, and nothing of a reused step', async () => {
    const store = new Store();
    for (const name of ['a', 'group', 'reused', 'queued', 'short', 'late']) store.files[`${name}/${user}`] = `${name}\n`;
    const none = { started: undefined as never };
    await store.look(
      running,
      step('group', 'Running', { group: true }),
      step('reused', 'Completed', { reused: true }),
      step('queued', 'Queued', none),
      step('short', 'Completed', none),
      step('late', 'Finalizing', none),
    );
    assert.deepEqual(store.given.map(({ text }) => text).sort(), ['a\n', 'late\n', 'short\n']);
  });

  it('gives way to the user log when that comes after the service has written, and says of which file a line is', async () => {
    const store = new Store();
    const early = 'azureml-logs/20_image_build_log.txt';
    store.files[`a/${early}`] = 'building\n';
    await store.look(running);
    store.files[`a/${user}`] = 'training\n';
    await store.look();
    await store.look();
    assert.deepEqual(store.given, [
      { step: 'a', text: 'building\n' },
      { step: 'a', text: 'training\n', file: user },
    ]);
    // A step that ends soon after: its details are asked for without delay.
    const quick = new Store();
    quick.files[`a/${early}`] = 'building\n';
    await quick.look(running);
    quick.files[`a/${user}`] = 'training\n';
    quick.now -= 59_000;
    await quick.look(step('a', 'Completed'));
    assert.equal(quick.text(), 'building\ntraining\n');
  });

  it('waits for an address that is not there yet, and for a file that has an address but is not there yet', async () => {
    const store = new Store();
    store.named = () => [];
    await store.look(running);
    store.named = () => [user];
    await store.look();
    store.files[`a/${user}`] = 'one\n';
    await store.look();
    assert.equal(store.text(), 'one\n');
  });

  it('asks for a new address when the old one is refused; when that is refused too, it says so and comes back later', async () => {
    const store = new Store();
    store.files[`a/${user}`] = 'one\n';
    await store.look(running);
    let refuse = 0;
    store.signature = 2;
    store.instead = (_request, path) => (path !== 'details' && refuse-- > 0 ? { status: 403 } : undefined);
    store.files[`a/${user}`] = 'one\ntwo\n';
    await store.look();
    assert.equal(store.text(), 'one\ntwo\n');
    refuse = 99;
    const before = store.workspace.asked.length;
    const waits: number[] = [];
    for (let looks = 0; looks < 8; looks++) {
      await assert.rejects(store.look(), /read a log/);
      waits.push((store.logs.nextDue() ?? 0) - store.now);
      store.now = Math.max(store.now, (store.logs.nextDue() ?? 0) - 60_000);
    }
    assert.deepEqual(waits, [4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]);
    assert.equal(store.workspace.asked.length - before, 17);
    refuse = 0;
    store.files[`a/${user}`] = 'one\ntwo\nthree\n';
    await store.look();
    assert.equal(store.text(), 'one\ntwo\nthree\n');
    // What passed is forgotten.
    refuse = 2;
    await assert.rejects(store.look());
    assert.equal((store.logs.nextDue() ?? 0) - store.now, 4_000);
  });

  it('one log that cannot be read keeps no other from being read, at a look and at the end', async () => {
    const store = new Store();
    for (const name of ['a', 'b', 'c']) store.files[`${name}/${user}`] = `${name}1\n`;
    store.instead = (_request, path) => (path.startsWith('b/') ? { status: 400 } : undefined);
    const steps = ['a', 'b', 'c'].map((name) => step(name, 'Running'));
    await assert.rejects(store.look(...steps), Failure);
    assert.deepEqual(store.given.map(({ text }) => text).sort(), ['a1\n', 'c1\n']);
    for (const name of ['a', 'b', 'c']) store.files[`${name}/${user}`] = `${name}1\n${name}2\n`;
    await assert.rejects(store.drain(...steps.map(({ name }) => step(name, 'Completed'))), Failure);
    assert.deepEqual([store.text('a'), store.text('b'), store.text('c')], ['a1\na2\n', '', 'c1\nc2\n']);
    assert.deepEqual([...store.ended].sort(), ['a', 'c']);
  });

  it('the end reads what no look has seen: new steps, logs without an address so far, more than one read brings', async () => {
    const store = new Store();
    store.named = () => [];
    await store.look(running);
    store.named = () => undefined;
    const whole = `${'x'.repeat(99)}\n`.repeat(mega / 20);
    store.files[`a/${user}`] = whole;
    store.files[`new/${user}`] = 'new\n';
    let late = 1;
    store.instead = (_request, path) => {
      // Written while it is read.
      if (path === `new/${user}` && late-- === 0) store.files[path] = 'new\nlast\n';
      return undefined;
    };
    await store.drain(step('a', 'Completed'), step('new', 'Failed'));
    assert.ok(store.text() === whole);
    assert.equal(store.text('new'), 'new\nlast\n');
    assert.deepEqual([...store.ended].sort(), ['a', 'new']);
  });

  it('an end at which nothing answers waits for one host once, and is told; a cancel ends it', async () => {
    const names = Array.from({ length: 30 }, (_, n) => `s${n}`);
    const store = new Store();
    for (const name of names) store.files[`${name}/${user}`] = 'x\n';
    store.instead = (_request, path) => {
      if (path === 'details') return undefined;
      throw new Failure('no answer', { code: 'ECONNREFUSED' });
    };
    await assert.rejects(store.drain(...names.map((name) => step(name, 'Completed'))), /no answer/);
    // Those that eight workers had under way.
    assert.ok(store.workspace.asked.length <= 16, `${store.workspace.asked.length}`);
    const abort = new AbortController();
    const cut = new Store();
    cut.files[`a/${user}`] = 'x'.repeat(mega);
    const reading = cut.logs.drain([step('a', 'Completed')], cut.now, abort.signal);
    setImmediate(() => abort.abort(new Error('cancelled here')));
    await assert.rejects(reading, /cancelled here/);
    assert.ok(cut.text().length < mega);
    assert.deepEqual(cut.ended, []);
  });
});
