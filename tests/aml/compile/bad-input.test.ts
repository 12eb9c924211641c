import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { cleanUp, files, properties } from './support.js';

describe('compile: bad input', () => {
  afterEach(cleanUp);

  const refused = (text: string | Buffer, more: Record<string, string> = {}): Promise<string> =>
    files({ 'job.yml': text, ...more }).refused();

  it('tells every problem of a file at once, with line, column and what is accepted', async () => {
    const message = await refused(
      `type: pipeline
settings: { default_compute: cpu }
jobs:
  a:
    command: echo
    environment: azureml:e
    resource: { instance_count: 2 }
  b: { component: missing.yml, compute: azureml:c }
  c: { type: comand, compute: azureml:c }
`,
    );
    assert.match(message, /^job\.yml cannot be submitted: \d+ problems\./);
    assert.match(
      message,
      /job\.yml:2:30: default_compute: The text "cpu" is not accepted here\. Accepted: serverless or azureml:NAME/,
    );
    assert.match(message, /job\.yml:6:18: "azureml:e" names neither a version nor a label\. Accepted: azureml:e:1/);
    assert.match(message, /job\.yml:7:5: Unknown key resource in the step a\. Did you mean resources\? Accepted: /);
    assert.match(message, /job\.yml:8:19: File not found: missing\.yml/);
    assert.match(message, /job\.yml:9:14: "comand" is no type of step\. Did you mean command\? Accepted: command, pipeline/);
  });

  it('names a missing file, a folder, a binary, a huge file, an empty one and one that is not UTF-8', async () => {
    const folder = files({
      'binary.yml': Buffer.from([1, 0, 2]),
      'utf16.yml': Buffer.from('\ufefftype: command\n', 'utf16le'),
      'big.yml': Buffer.from('type: command\n', 'utf16le').swap16(),
      'latin.yml': Buffer.from([0x61, 0xe9, 0x62]),
      'empty.yml': '',
      'huge.yml': `a: ${'x'.repeat(5_000_000)}`,
    });
    mkdirSync(folder.path('folder.yml'));
    assert.match(await folder.refused('none.yml'), /File not found: none\.yml/);
    assert.match(await folder.refused('folder.yml'), /folder\.yml is a folder/);
    assert.match(await folder.refused('binary.yml'), /is a binary file/);
    for (const file of ['utf16.yml', 'big.yml'])
      assert.match(await folder.refused(file), /is text in UTF-16; save it as UTF-8\. Accepted: YAML text in UTF-8/);
    assert.match(await folder.refused('latin.yml'), /is not UTF-8 text/);
    assert.match(await folder.refused('empty.yml'), /The file is empty/);
    assert.match(await folder.refused('huge.yml'), /has 4\.8 MiB; that is no job file\. Accepted: YAML of at most 4 MiB/);
  });

  it('ends on alias bombs, endless aliases and deep nesting', async () => {
    const bomb = [
      'a0: &a0 [x, x, x, x, x, x, x, x, x, x]',
      ...Array.from({ length: 9 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i}, `.repeat(10)}]`),
    ].join('\n');
    assert.match(await refused(`${bomb}\n`), /expand to more than a million nodes/);
    assert.match(await refused('a: &a [*a]\n'), /\*a contains itself/);
    assert.match(await refused('['.repeat(50_000)), /nests too deep|Not valid YAML/);
  });

  it('says where YAML is broken', async () => {
    assert.match(await refused('command: "echo\nenvironment: x\n'), /job\.yml:\d+:\d+: Not valid YAML: /);
    assert.match(await refused('command: echo\n  bad: x\n'), /job\.yml:\d+:\d+: Not valid YAML: /);
    assert.match(await refused('- a\n'), /A job is a mapping/);
  });

  it('reads quoted text whose further lines are not indented, as PyYAML does', async () => {
    const folder = files({ 'job.yml': 'inputs:\n    a: "x \\\n    y\n    z"\ncommand: echo\nenvironment: azureml:e:1\n' });
    assert.equal(properties(await folder.compile()).inputs.a.value, 'x y z');
    const crlf = files({ 'job.yml': 'command: "a \\\r\n  b"\r\nenvironment: azureml:e:1\r\n' });
    assert.equal(properties(await crlf.compile()).command, 'a b');
  });

  it('refuses wrong types and words with what would be right', async () => {
    const message = await refused(`command: [echo]
environment: azureml:e:1
tags: { version: 1 }
inputs: { a: { type: uri_fil, path: x }, b: 2024-01-01, c: }
limits: { timeout: soon }
distribution: { type: horovod }
queue_settings: { job_tier: gold }
`);
    for (const pattern of [
      /1:10: command: A list is not text/,
      /3:18: version: The number "1" is not text \(put quotes around it\)/,
      /4:22: type: The text "uri_fil" is not known here\. Did you mean uri_file\?/,
      /4:45: b: The date "2024-01-01" is not text/,
      /4:60: c: The value is missing/,
      /5:20: timeout: The text "soon" is not a whole number/,
      /6:23: .*Accepted: pytorch, mpi, tensorflow or ray/,
      /7:29: .*Accepted: spot, basic, standard, premium or null/,
    ]) {
      assert.match(message, pattern);
    }
  });

  it('checks bindings, required inputs and what commands use', async () => {
    const message = await refused(
      `type: pipeline
settings: { default_compute: azureml:c }
inputs: { x: 1 }
jobs:
  a: { component: c.yml, inputs: { d: "\${{parent.inputs.y}}" } }
  b: { component: c.yml, inputs: { typo: 1 } }
  c: { component: c.yml, inputs: { d: "\${{inputs.x}}" } }
  d: { command: "echo \${{inputs.q}}", environment: "azureml:e:1" }
`,
      { 'c.yml': 'type: command\ncommand: echo ${{inputs.e}}\nenvironment: azureml:e:1\ninputs: { d: { type: uri_folder } }\n' },
    );
    assert.match(
      message,
      /job\.yml:5:39: The input d is bound to \$\{\{parent\.inputs\.y\}\}, which is not in this pipeline\. Accepted: x/,
    );
    assert.match(message, /job\.yml:6:3: The step b does not give the input d that its component requires/);
    assert.match(
      message,
      /job\.yml:7:39: \$\{\{inputs\.x\}\} is the form of older versions\. Accepted: \$\{\{parent\.inputs\.x\}\}/,
    );
    assert.match(message, /job\.yml:8:17: The command uses \$\{\{inputs\.q\}\}, but there is no input q/);
    assert.match(message, /c\.yml:2:10: The command uses \$\{\{inputs\.e\}\}, but the component has no input e\. Accepted: d/);
  });

  it('tells a file of another kind by its $schema', async () => {
    const message = await refused(
      '$schema: https://azuremlschemas.azureedge.net/latest/environment.schema.json\nname: x\nimage: y\n',
    );
    assert.match(message, /job\.yml:1:10: This file says that it is a environment, not a job/);
  });

  it('names overrides and inputs that do not fit', async () => {
    const folder = files({ 'job.yml': 'command: echo\nenvironment: azureml:e:1\ninputs: { rate: 1 }\n' });
    const message = await folder.refused('job.yml', {
      inputs: { rat: '2', rtae: '2' },
      overrides: ['nonsense', 'command.x=1', 'limits.timeout=soon'],
    });
    assert.match(message, /input rat: The job has no input rat\. Did you mean rate\? Accepted: rate/);
    assert.match(message, /input rtae: The job has no input rtae\. Did you mean rate\?/, 'two letters swapped');
    assert.match(message, /override "nonsense": This is no override/);
    assert.match(message, /override "command\.x=1": command is not a mapping/);
    assert.match(message, /override "limits\.timeout=soon": timeout: The text "soon" is not a whole number/);
  });

  it('an override of a step that is not there is a name to correct, unless it says what the step runs', async () => {
    const pipeline = (overrides: string[]) => ({
      folder: files({
        'job.yml':
          'type: pipeline\nsettings: { default_compute: azureml:c }\njobs:\n  train: { command: echo, environment: azureml:e:1 }\n',
      }),
      overrides,
    });
    const typo = pipeline(['jobs.trian.compute=azureml:gpu', 'jobs.trian.limits.timeout=60']);
    const message = await typo.folder.refused('job.yml', { overrides: typo.overrides });
    assert.match(message, /^job\.yml cannot be submitted: one problem\./);
    assert.match(
      message,
      /override "jobs\.trian\.compute=azureml:gpu": The job has no step trian\. Did you mean train\? Accepted: train\./,
    );
    const whole = pipeline(['jobs.more.command=echo', 'jobs.more.environment=azureml:e:1', 'jobs.train.compute=azureml:gpu']);
    const { jobs } = properties(await whole.folder.compile('job.yml', { overrides: whole.overrides }));
    assert.deepEqual(Object.keys(jobs), ['train', 'more']);
  });
});
