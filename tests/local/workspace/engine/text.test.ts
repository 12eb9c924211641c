import assert from 'node:assert/strict';
import fc from 'fast-check';
import { Failure } from '../../../../src/azure/errors.js';
import { fillCommand, fillOutputPath, parseBinding, seconds } from '../../../../local/workspace/engine/text.js';
import { parseReference } from '../../../../local/workspace/engine/uris.js';

describe('expressions of jobs', () => {
  const values = {
    inputs: new Map<string, string | undefined>([
      ['a', 'one'],
      ['none', undefined],
      ['group.member', 'in'],
    ]),
    outputs: new Map([['o', '/out']]),
    searchSpace: new Map([['lr', '0.1']]),
  };

  it('are filled in raw, with optional parts left out when they have no value', () => {
    const command =
      'run ${{inputs.a}} ${{ outputs.o }}/f $[[--n ${{inputs.none}}]] $[[--g ${{inputs.group.member}}]] ${{search_space.lr}}';
    assert.equal(fillCommand(command, values), 'run one /out/f  --g in 0.1');
    assert.equal(fillCommand('$[[--x ${{inputs.unknown}}]]', values), '');
    assert.throws(
      () => fillCommand('${{inputs.unknown}}', values),
      (error: Failure) => error.code === 'InvalidExpression',
    );
  });

  it('never read a value as an expression again', () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        assert.equal(fillCommand('<${{inputs.a}}>', { ...values, inputs: new Map([['a', text]]) }), `<${text}>`);
      }),
    );
  });

  it('know bindings, output paths and durations', () => {
    assert.deepEqual(parseBinding('${{parent.jobs.prep.outputs.data}}'), { kind: 'nodeOutput', node: 'prep', name: 'data' });
    assert.deepEqual(parseBinding('${{ parent.inputs.g.x }}'), { kind: 'parentInput', name: 'g.x' });
    assert.equal(parseBinding('a ${{parent.inputs.x}}'), undefined);
    const known = { name: 'run', outputName: 'o', defaultDatastore: 'ds' };
    assert.equal(
      fillOutputPath('azureml://datastores/${{default_datastore}}/paths/${{name}}/${{output_name}}', known),
      'azureml://datastores/ds/paths/run/o',
    );
    assert.deepEqual([seconds('PT1H2M3S'), seconds('P1D'), seconds(90)], [3723, 86_400, 90]);
    assert.throws(() => seconds('soon'), Failure);
  });

  it('references are told apart', () => {
    const kinds = (uri: string): string => parseReference(uri, { name: 'dev' }).kind;
    assert.deepEqual(parseReference('azureml://datastores/d/paths/a%20b/c', { name: 'dev' }), {
      kind: 'datastore',
      datastore: 'd',
      path: 'a b/c',
    });
    assert.equal(kinds('azureml://subscriptions/s/resourcegroups/g/workspaces/DEV/datastores/d/paths/x'), 'datastore');
    assert.equal(kinds('azureml://subscriptions/s/resourcegroups/g/workspaces/other/datastores/d/paths/x'), 'foreign');
    assert.deepEqual(parseReference('azureml://jobs/j/outputs/o', { name: 'dev' }), {
      kind: 'jobOutput',
      job: 'j',
      output: 'o',
      path: '',
    });
    assert.deepEqual(parseReference('azureml://registries/r/environments/e/labels/latest', { name: 'dev' }), {
      kind: 'asset',
      type: 'environments',
      name: 'e',
      label: 'latest',
      registry: 'r',
    });
    assert.deepEqual(
      parseReference('azureml:/subscriptions/s/resourceGroups/g/providers/p/workspaces/dev/data/d/versions/3', { name: 'dev' }),
      { kind: 'asset', type: 'data', name: 'd', version: '3' },
    );
    assert.equal(kinds('wasbs://c@a.blob.core.windows.net/x'), 'foreign');
  });
});
