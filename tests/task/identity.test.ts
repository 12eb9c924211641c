/** Which step of which run it is: the same in every attempt, another for every other step, also where steps have no names. */
import assert from 'node:assert/strict';
import { derivedName } from '../../src/aml/jobs/name.js';
import { identityOf } from '../../src/task/identity.js';
import { FakePlatform } from '../support/fake-platform.js';

const usual = {
  'System.CollectionId': 'c',
  'System.TeamProjectId': 'p',
  'Build.BuildId': '7',
  'Build.DefinitionName': 'train',
  'System.StageName': 'dev',
  'System.PhaseName': 'fit',
  'System.JobName': '__default',
  'System.TaskDisplayName': 'RunAmlPipeline',
};
const name = (more: Record<string, string>, asked?: string) =>
  derivedName(identityOf(new FakePlatform({}, { ...usual, ...more }), asked));

describe('the identity of a step', () => {
  it('does not change with an attempt, and differs by stage, job, leg of a matrix and step', () => {
    const step = { 'System.TaskInstanceName': 'train' };
    const first = name({ ...step, 'System.StageAttempt': '1', 'System.JobId': 'a', 'System.TaskInstanceId': 'x' }, 'a.yml');
    assert.equal(
      name({ ...step, 'System.StageAttempt': '2', 'System.JobId': 'b', 'System.TaskInstanceId': 'y' }, 'b.yml'),
      first,
    );
    const others = [
      name({ ...step, 'System.StageName': 'test' }),
      name({ ...step, 'System.JobName': 'linux' }),
      name({ ...step, 'System.JobName': 'windows' }),
      name({ 'System.TaskInstanceName': 'train1' }),
      name({ ...step, 'Build.BuildId': '8' }),
    ];
    assert.equal(new Set([first, ...others]).size, others.length + 1);
  });

  it('tells unnamed steps of one job apart by what they are asked for', () => {
    assert.notEqual(name({}, 'a.yml'), name({}, 'b.yml'));
    assert.equal(name({}, 'a.yml'), name({}, 'a.yml'));
  });
});
