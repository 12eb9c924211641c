/** Steps of pipelines with unusual keys and values; each was tried against the client. */
import assert from 'node:assert/strict';
import { cleanUp, files, properties, specs, WS, type Loose } from './support.js';

const TOP = 'type: pipeline\ninputs: {d: {type: uri_folder, path: "azureml:d:1"}, n: 1}\n';
const PIPELINE = `${TOP}settings: {default_compute: azureml:c}\n`;
const INLINE = 'command: echo\nenvironment: azureml:e:1\n';
const COMPONENT = `type: command\n${INLINE}inputs: {d: {type: uri_folder}}\n`;
const step = (text: string): string => `${PIPELINE}jobs:\n  a:\n${text.replace(/^(?=.)/gm, '    ')}`;

const job = async (text: string, more: Record<string, string> = {}): Promise<Loose> =>
  properties(await files({ 'job.yml': text, ...more }).compile());
const refused = (text: string, more: Record<string, string> = {}): Promise<string> =>
  files({ 'job.yml': text, ...more }).refused();

describe('compile: data transfer', () => {
  afterEach(cleanUp);
  const copy = 'type: data_transfer\ntask: copy_data\ncompute: azureml:adf\n';

  it('copies with a component of its own', async () => {
    const text = step(
      `${copy}data_copy_mode: fail_if_conflict\ninputs: {x: "\${{parent.inputs.d}}"}\noutputs: {o: {type: uri_folder}}\n`,
    );
    const made = await files({ 'job.yml': text }).compile();
    const [spec] = specs(made);
    assert.deepEqual(
      [spec.type, spec.task, spec.data_copy_mode, spec._source],
      ['data_transfer', 'copy_data', 'fail_if_conflict', 'YAML.JOB'],
    );
    const sent = properties(made).jobs.a;
    assert.deepEqual([sent.task, sent.data_copy_mode, sent.computeId], ['copy_data', 'fail_if_conflict', `${WS}/computes/adf`]);
  });

  it('takes the mode of copying from a component’s file', async () => {
    const component =
      'type: data_transfer\ntask: copy_data\nname: c\ninputs: {x: {type: uri_folder}}\noutputs: {o: {type: uri_folder}}\ndata_copy_mode: merge_with_overwrite\n';
    const sent = await job(step(`${copy}component: c.yml\ninputs: {x: "\${{parent.inputs.d}}"}\n`), { 'c.yml': component });
    assert.equal(sent.jobs.a.data_copy_mode, 'merge_with_overwrite');
  });

  it('imports and exports with components of the service', async () => {
    const imported = await job(
      step(
        'type: data_transfer\ntask: import_data\nsource: {type: database, connection: azureml:sql, query: select 1}\noutputs: {sink: {type: mltable}}\n',
      ),
    );
    assert.equal(imported.jobs.a.componentId, 'azureml://registries/azureml/components/import_data_database/versions/0.0.1');
    assert.deepEqual([imported.jobs.a._source, imported.jobs.a.source.query], ['BUILTIN', 'select 1']);
    const exported = await job(
      step(
        'type: data_transfer\ntask: export_data\nsink: {type: database, connection: azureml:sql, table_name: t}\ninputs: {source: {type: uri_file, path: "azureml:d:1"}}\n',
      ),
    );
    assert.match(exported.jobs.a.componentId, /export_data_database/);
  });

  it('refuses what it cannot be, and import steps', async () => {
    assert.match(await refused(step(copy)), /Copying takes one output, here are 0/);
    assert.match(await refused(step('type: data_transfer\n')), /has no task.* Accepted: copy_data, import_data or export_data/);
    assert.match(
      await refused(
        step(
          'type: data_transfer\ntask: export_data\nsink: {type: file_system, connection: c}\ninputs: {source: {type: uri_file, path: "azureml:d:1"}}\n',
        ),
      ),
      /Nothing can be exported to a file system/,
    );
    assert.match(await refused(step('type: import\nsource: {type: s3}\n')), /Steps of type import .* import_data/);
  });
});

describe('compile: details of steps', () => {
  afterEach(cleanUp);

  it('sends expressions that bind nothing as they are', async () => {
    const sent = await job(step('component: c.yml\ninputs: {d: "pre ${{parent.inputs.d}}"}\n'), { 'c.yml': COMPONENT });
    assert.deepEqual(sent.jobs.a.inputs.d, { job_input_type: 'literal', value: 'pre ${{parent.inputs.d}}' });
  });

  it('refuses code and environments that are named as the client cannot read them', async () => {
    assert.match(await refused(step(`${INLINE}code: azureml:c:1\n`)), /Code cannot be named as "azureml:c:1"/);
    assert.match(await refused(step(`${INLINE}code: git@github.com:a/b.git\n`)), /Code from a git address/);
    assert.match(await refused(step('command: echo\nenvironment: "${{parent.inputs.d}}"\n')), /This is no environment/);
  });

  it('knows which outputs an inline step has', async () => {
    const text = `${PIPELINE}jobs:\n  a: {command: echo, environment: "azureml:e:1", outputs: {o: {}}}\n  b: {command: "ls \${{inputs.x}}", environment: "azureml:e:1", inputs: {x: "\${{parent.jobs.a.outputs.NAME}}"}}\n`;
    await job(text.replace('NAME', 'o'));
    assert.match(await refused(text.replace('NAME', 'other')), /which is not in this pipeline/);
  });

  it('writes identities of steps with parallel components in the service’s words, and refuses keys of components in parallel jobs', async () => {
    const component =
      'type: parallel\nname: p\ninputs: {d: {type: uri_folder}}\ninput_data: ${{inputs.d}}\nmini_batch_size: "1"\ntask: {type: run_function, code: src, entry_script: m.py, environment: "azureml:e:1", other: 1}\n';
    const more = { 'c.yml': component, 'src/m.py': '' };
    const made = await files({
      'job.yml': step('type: parallel\ncomponent: c.yml\ninputs: {d: "${{parent.inputs.d}}"}\nidentity: {type: managed}\n'),
      ...more,
    }).compile();
    assert.deepEqual(properties(made).jobs.a.identity, { identity_type: 'Managed' });
    assert.equal('other' in specs(made)[0].task, false);
    const inline = component
      .replace('name: p\n', '')
      .replace('inputs: {d: {type: uri_folder}}', 'inputs: {d: "${{parent.inputs.d}}"}');
    assert.match(await refused(step(`${inline}comment: x\n`), more), /Unknown key comment in the parallel step a/);
  });

  it('wants a compute for the steps of pipelines below, too', async () => {
    const below = 'type: pipeline\nname: p\njobs: {z: {command: echo, environment: "azureml:e:1"}}\n';
    assert.match(
      await refused(`${TOP}jobs: {a: {type: pipeline, component: p.yml}}\n`, { 'p.yml': below }),
      /p\.yml:3:8: The step a\.z has no compute/,
    );
  });

  it('checks the steps that run first and last', async () => {
    const settings = (text: string): string =>
      `type: pipeline\nsettings: {default_compute: azureml:c, ${text}}\njobs: {a: {command: echo, environment: "azureml:e:1"}, b: {command: echo, environment: "azureml:e:1"}}\n`;
    assert.equal((await job(settings('on_init: a'))).settings.on_init, 'a');
    assert.match(await refused(settings('on_init: z')), /on_init: there is no step z\. Accepted: a, b/);
    assert.match(await refused(settings('on_init: a, on_finalize: b')), /has no step/);
    assert.match(await refused(settings('on_init: a, on_finalize: a')), /are both a/);
  });

  it('refuses expressions in a component’s command that it has nothing for', async () => {
    const inline = step(INLINE.replace('echo', 'echo ${{parent.inputs.n}}'));
    assert.match(await refused(inline), /The command uses \$\{\{parent\.inputs\.n\}\}; a command sees its own step only/);
    const component = COMPONENT.replace('echo', 'echo ${{Inputs.d}}');
    assert.match(
      await refused(step('component: c.yml\ninputs: {d: "${{parent.inputs.d}}"}\n'), { 'c.yml': component }),
      /Inputs\.d\}\}, which a component does not have/,
    );
  });
});
