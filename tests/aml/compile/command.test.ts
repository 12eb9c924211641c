import assert from 'node:assert/strict';
import { basename } from 'node:path';
import { cleanUp, files, properties, writesTo, WS } from './support.js';

const job = (more: string): string => `command: echo\nenvironment: azureml:env:1\n${more}`;

describe('compile: command jobs', () => {
  afterEach(cleanUp);

  it('sends what the client sends', async () => {
    const folder = files({
      'src/a.py': 'print(1)\n',
      'job.yml': `$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
command: python a.py --n \${{inputs.n}} --d {inputs.d}
code: ./src
environment: azureml://registries/azureml/environments/sklearn-1.5/labels/latest
compute: azureml:cpu
inputs: { n: 0.10, d: { type: uri_folder, path: azureml://datastores/x/paths/y/, mode: ro_mount } }
outputs: { o: { type: mlflow_model, mode: upload, name: m, version: 2 }, p: }
distribution: { type: PyTorch, process_count_per_instance: 2 }
resources: { instance_count: 2, shm_size: 2g, docker_args: [a, b] }
limits: { timeout: 90061 }
queue_settings: { job_tier: Spot, priority: medium }
services: { v: { type: vs_code, nodes: all }, t: { type: tensor_board, log_dir: logs } }
tags: { a: "1" }
`,
    });
    const compiled = await folder.compile();
    const sent = properties(compiled);
    assert.equal(compiled.type, 'Command');
    assert.equal(compiled.needsAmlToken, false);
    assert.equal(compiled.path, `${WS}/jobs/case`);
    assert.equal(sent.command, 'python a.py --n ${{inputs.n}} --d ${{inputs.d}}');
    assert.equal(sent.computeId, `${WS}/computes/cpu`);
    assert.match(sent.codeId, /\/codes\/[0-9a-f-]{36}\/versions\/1$/);
    assert.deepEqual(sent.inputs, {
      n: { jobInputType: 'literal', value: '0.1' },
      d: { jobInputType: 'uri_folder', uri: 'azureml://datastores/x/paths/y/', mode: 'ReadOnlyMount' },
    });
    assert.deepEqual(sent.outputs, {
      o: { jobOutputType: 'mlflow_model', mode: 'Upload', assetName: 'm', assetVersion: '2' },
      p: { jobOutputType: 'uri_folder' },
    });
    assert.deepEqual(sent.distribution, { processCountPerInstance: 2, distributionType: 'PyTorch' });
    assert.deepEqual(sent.resources, { instanceCount: 2, shmSize: '2g', dockerArgsList: ['a', 'b'] });
    assert.deepEqual(sent.limits, { timeout: 'P1DT1H1M1S', jobLimitsType: 'Command' });
    assert.deepEqual(sent.queueSettings, { jobTier: 'Spot', priority: 2 });
    assert.deepEqual(sent.services.v, { jobServiceType: 'VSCode', nodes: { nodesValueType: 'All' } });
    assert.deepEqual(sent.services.t, { jobServiceType: 'TensorBoard', properties: { logDir: 'logs' } });
    assert.equal(sent.experimentName, basename(folder.folder));
    assert.equal(sent.displayName, 'case');
  });

  it('reads plain scalars as PyYAML does', async () => {
    const folder = files({
      'job.yml': job(
        'inputs: { a: 1e-3, b: 1.0e-7, c: yes, d: 017, e: 0x10, f: 1_000, g: 12:30:45, h: 1.50, i: 123456789012345678901234567890, j: "1" }\n',
      ),
    });
    const values = Object.values(properties(await folder.compile()).inputs).map((input) => (input as { value: string }).value);
    assert.deepEqual(values, [
      '1e-3',
      '1e-07',
      'True',
      '15',
      '16',
      '1000',
      '45045',
      '1.5',
      '123456789012345678901234567890',
      '1',
    ]);
  });

  it('keeps the text of values that a caller gives, and keeps type and mode of a data input', async () => {
    const folder = files({ 'job.yml': job('inputs: { lr: 0.5, d: { type: uri_file, path: a.csv, mode: download } }\n') });
    const compiled = await folder.compile('job.yml', {
      inputs: { lr: '0.10', d: 'azureml:data:3' },
      overrides: ['resources.instance_count=4'],
    });
    assert.deepEqual(properties(compiled).inputs, {
      lr: { jobInputType: 'literal', value: '0.10' },
      d: { jobInputType: 'uri_file', uri: `${WS}/data/data/versions/3`, mode: 'Download' },
    });
    assert.deepEqual(properties(compiled).resources, { instanceCount: 4 });
  });

  it('uploads local data under the hash of its content', async () => {
    const folder = files({
      'job.yml': job('inputs: { f: { type: uri_file, path: d/x.csv }, d: { type: uri_folder, path: d } }\n'),
      'd/x.csv': 'a\n',
    });
    const { inputs } = properties(await folder.compile());
    assert.match(inputs.f.uri, /^azureml:\/\/datastores\/workspaceblobstore\/paths\/LocalUpload\/[0-9a-f]{64}\/x\.csv$/);
    assert.match(inputs.d.uri, /\/LocalUpload\/[0-9a-f]{64}\/d\/$/);
  });

  it('turns an inline environment into an anonymous one', async () => {
    const folder = files({
      'job.yml': 'command: echo\nenvironment: { image: img, conda_file: conda.yml }\n',
      'conda.yml': 'name: n\ndependencies: [python=3.10, {pip: ["numpy>=1"]}]\nchannels: [conda-forge]\n',
      'file.yml': 'command: echo\nenvironment: file:env/env.yml\n',
      'env/env.yml': 'name: x\nimage: img\n',
      'build.yml': 'command: echo\nenvironment: { build: { path: env, dockerfile_path: Dockerfile } }\n',
    });
    const [environment] = writesTo(await folder.compile(), 'environments');
    assert.equal(
      environment.properties.condaFile,
      'channels:\n- conda-forge\ndependencies:\n- python=3.10\n- pip:\n  - numpy>=1\nname: n\n',
    );
    assert.equal(environment.properties.isAnonymous, true);
    assert.deepEqual(writesTo(await folder.compile('file.yml'), 'environments')[0].properties, {
      image: 'img',
      isAnonymous: true,
      isArchived: false,
    });
    const build = writesTo(await folder.compile('build.yml'), 'environments')[0].properties.build;
    assert.match(build.contextUri, /\/LocalUpload\/[0-9a-f]{64}\/env\/$/);
    assert.equal(build.dockerfilePath, 'Dockerfile');
  });

  it('takes a label as version 1 offline, and says so', async () => {
    const compiled = await files({ 'job.yml': 'command: echo\nenvironment: azureml:env@latest\n' }).compile();
    assert.equal(properties(compiled).environmentId, `${WS}/environments/env/versions/1`);
    assert.match(compiled.warnings[0]?.message ?? '', /azureml:env@latest cannot be looked up/);
  });

  it('asks for the user token where the user’s identity runs the job', async () => {
    const compiled = await files({ 'job.yml': job('identity: { type: user_identity }\n') }).compile();
    assert.equal(compiled.needsAmlToken, true);
    assert.deepEqual(properties(compiled).identity, { identityType: 'UserIdentity' });
  });
});
