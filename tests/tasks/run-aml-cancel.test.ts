/** A cancel of RunAmlPipeline before it knows of its job, and what the log says of each: a job that may run is never passed over in silence. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import type { Inputs } from '../../tasks/RunAmlPipeline/inputs.js';
import { gone, isCancel, isJob, jobOf, references, refusal, storyOfTests, type Ended } from '../support/aml-story.js';
import type { FakePlatform } from '../support/fake-platform.js';
import type { Asked, Reply } from '../support/https-server.js';

const never = () => new Promise<never>(() => undefined);

describe('RunAmlPipeline cancelled before it knows of its job', () => {
  const world = storyOfTests();

  /** The first request that `at` takes is never answered; the cancel comes with it. */
  const cancelledAt = (
    inputs: Partial<Inputs>,
    at: (asked: Asked) => boolean,
    manager: (asked: Asked, platform: FakePlatform) => Reply | undefined,
  ): Promise<Ended> => {
    let hung = false;
    return world.tell({
      inputs,
      manager: (asked, platform) => {
        if (hung || !at(asked)) return manager(asked, platform);
        hung = true;
        platform.abort.abort(new Error('cancelled'));
        return never();
      },
    });
  };
  const lines = ({ platform }: Ended) => [...platform.lines, ...platform.warnings];

  it('attaching: the job is cancelled or left although Azure had not told of it, and where there is none that is said', async () => {
    const running = (asked: Asked) => (isJob(asked) ? jobOf('Running') : undefined);
    const of = (more: Partial<Inputs>, answer: (asked: Asked) => Reply | undefined) =>
      cancelledAt({ action: 'attach', ...more }, isJob, answer);
    const cases: [Partial<Inputs>, (asked: Asked) => Reply | undefined, number, string][] = [
      [{}, running, 1, 'Cancelled: Azure was asked to cancel job mine; that takes it up to two minutes.'],
      [{ cancelWithPipeline: false }, running, 0, 'Cancelled, but job mine runs on in Azure (cancelWithPipeline is false).'],
      [{}, (one) => (isCancel(one) ? gone : undefined), 4, 'Cancelled: job mine does not exist in Azure.'],
      [
        {},
        (one) => (isCancel(one) ? refusal(409) : isJob(one) ? jobOf('Completed') : undefined),
        1,
        'Cancelled: job mine had already ended.',
      ],
    ];
    for (const [more, answer, cancels, said] of cases) {
      const ended = await of(more, answer);
      assert.deepEqual([ended.outcome, ended.cancels, lines(ended)], [undefined, cancels, [said]]);
      // A job that is not there yet gets two seconds to arrive.
      const waited = ended.platform.clock.now() - Date.parse('2026-01-01T00:00:00Z');
      assert.equal(waited, cancels === 4 ? 2_100 : 0);
    }
  });

  it('submitting: the job of an earlier attempt of this step is found and cancelled, any other left alone', async () => {
    const file = join(world.folder, 'job.yml');
    let mark: object = {};
    await world.tell({
      inputs: { action: 'submit', file },
      manager: (asked) => {
        if (asked.method !== 'PUT') return isJob(asked) ? gone : references(asked);
        mark = (JSON.parse(asked.body) as { properties: { properties: object } }).properties.properties;
        return jobOf('Starting', { properties: mark });
      },
    });
    const rerun = (status: string | undefined, properties: object, more: Partial<Inputs> = {}) =>
      cancelledAt({ action: 'run', file, ...more }, isJob, (asked) => {
        if (!/\/jobs\/[^/]+$/.test(asked.path)) return undefined;
        return isJob(asked) && status !== undefined ? jobOf(status, { properties }) : gone;
      });
    const nothing = 'Cancelled before a job was submitted: there is nothing to cancel in Azure.';
    const asked = 'Cancelled: Azure was asked to cancel job mine; that takes it up to two minutes.';
    const keeps = 'Cancelled, but job mine runs on in Azure (cancelWithPipeline is false).';
    const cases: [string | undefined, object, Partial<Inputs>, number, string][] = [
      ['Running', mark, {}, 1, asked],
      ['CancelRequested', mark, {}, 1, asked],
      ['Running', mark, { cancelWithPipeline: false }, 0, keeps],
      ['Completed', mark, {}, 0, 'Cancelled: job mine had already ended (Completed).'],
      ['Failed', mark, {}, 0, nothing],
      ['Running', { 'amlops.submission': 'of another run' }, {}, 0, nothing],
      [undefined, {}, {}, 0, nothing],
    ];
    for (const [status, properties, more, cancels, said] of cases) {
      const ended = await rerun(status, properties, more);
      assert.deepEqual([ended.outcome, ended.cancels, lines(ended)], [undefined, cancels, [said]], status);
    }
    // Azure does not say: neither do we.
    const unknown = await cancelledAt({ action: 'run', file }, isJob, () => refusal(403));
    assert.match(lines(unknown).join('\n'), /^Cancelled before a job was submitted\. Whether .* is not known \(.*no.*\)\.$/);
  });
}).timeout(60_000);
