/** Small things that the client does with unusual values; each was tried against it. */
import assert from 'node:assert/strict';
import { compileJob, offlineTarget } from '../../../src/aml/compile/index.js';
import { parseYaml } from '../../../src/aml/compile/document.js';
import { Problems } from '../../../src/aml/compile/problems.js';
import { cleanUp, files, properties, workspace, writesTo, WS, type Loose } from './support.js';

const COMMAND = 'command: echo\nenvironment: azureml:e:1\n';
const job = async (text: string, more: Record<string, string> = {}): Promise<Loose> =>
  properties(await files({ 'job.yml': text, ...more }).compile());
const refused = (text: string, more: Record<string, string> = {}): Promise<string> =>
  files({ 'job.yml': text, ...more }).refused();

describe('compile: scalars with tags', () => {
  const read = (text: string): [unknown[], string[]] => {
    const problems = new Problems();
    const root = parseYaml(text, 'f.yml', problems);
    const values =
      root?.kind === 'map' ? [...root.entries.values()].map(({ value }) => value.kind === 'scalar' && value.value) : [];
    return [values, problems.list.map(({ message }) => message)];
  };

  it('makes of them what PyYAML makes', () => {
    assert.deepEqual(read('a: !!null x\nb: !!int "5"\nc: !!binary aGk=\nd: ! 5\ne: !!bool "yes"\nf: !!str 5\n'), [
      [null, 5, 'hi', '5', true, '5'],
      [],
    ]);
    assert.match(String(read('a: !!int x\n')[1]), /"x" is not what its tag .*int says/);
    assert.match(String(read('a: !thing {b: 1}\n')[1]), /The tag !thing is not known/);
  });

  it('refuses = and << where they are values, and reads quoted text that ends on a line of its own', () => {
    assert.equal(read('a: =\nb: <<\n')[1].length, 2);
    assert.deepEqual(read('"<<": 1\nb: &b {c: 1}\n<<: *b\n')[1], []);
    assert.deepEqual(read('a: "\n"\nb: 1\n'), [[' ', 1], []]);
  });
});

describe('compile: details of the client', () => {
  afterEach(cleanUp);

  it('leaves $schema to editors, and writes names in lower case', async () => {
    assert.equal((await job(`$schema: 2.5\n${COMMAND}`)).command, 'echo');
    assert.match(await refused(`$schema: null\n${COMMAND}`), /job\.yml:1:10: \$schema: The value is missing/);
    assert.equal(
      (await files({ 'job.yml': `name: N-1_x\n${COMMAND}` }).compile('job.yml', { name: undefined } as never)).name,
      'n-1_x',
    );
  });

  it('guesses the kind of a service without a type by its keys', async () => {
    const { services } = await job(`${COMMAND}services: {a: {}, b: {log_dir: x}, c: {port: 1}}\n`);
    assert.deepEqual(services, {
      a: { jobServiceType: 'SSH' },
      b: { jobServiceType: 'TensorBoard', properties: { logDir: 'x' } },
      c: { jobServiceType: 'SSH', port: 1 },
    });
  });

  it('makes text of the names of environment variables', async () => {
    assert.deepEqual((await job(`${COMMAND}environment_variables: {1: a, yes: b, A: c}\n`)).environmentVariables, {
      1: 'a',
      true: 'b',
      A: 'c',
    });
    assert.match(await refused(`${COMMAND}tags: {1: a}\n`), /job\.yml:3:8: The key 1 is no text/);
    assert.match(await refused(`${COMMAND}1: a\n`), /job\.yml:3:1: The key 1 is no text/);
  });

  it('refuses paths of data that are neither a URL nor local, and dots in names of a job’s inputs', async () => {
    const input = (path: string): Promise<string> => refused(`${COMMAND}inputs: {a: {type: uri_folder, path: "${path}"}}\n`);
    assert.match(await input('file:./data'), /cannot begin with file:\. Accepted: \.\/data/);
    assert.match(await input('runs:/a/b'), /cannot begin with runs:/);
    assert.match(await input('azureml:azureml://datastores/d/paths/p'), /Accepted: azureml:\/\/datastores\/d\/paths\/p/);
    assert.match(await refused(`${COMMAND}inputs: {a.b: 1}\n`), /is not a valid name/);
    assert.match(await refused(`${COMMAND}code: ${'x'.repeat(5000)}\n`), /does not exist/);
  });

  it('keeps dates of a conda file without quotes', async () => {
    const text =
      'command: echo\nenvironment: {image: i, conda_file: {d: 2020-01-02, t: 2020-01-02T3:04:05.5Z, q: "2020-01-02"}}\n';
    const [body] = writesTo(await files({ 'job.yml': text }).compile(), 'environments');
    assert.equal(body.properties.condaFile, "d: 2020-01-02\nq: '2020-01-02'\nt: 2020-01-02 03:04:05.500000+00:00\n");
  });

  it('takes the compute of a step from an input, that of a job by name', async () => {
    const expression = '${{parent.inputs.c}}';
    assert.equal((await job(`${COMMAND}compute: "${expression}"\n`)).computeId, `${WS}/computes/${expression}`);
    const steps = (compute: string): string =>
      `type: pipeline\ninputs: {c: cpu}\njobs: {a: {command: echo, environment: "azureml:e:1", compute: "${compute}"}}\n`;
    assert.equal((await job(steps(expression))).jobs.a.computeId, expression);
    const other = '/subscriptions/o/resourceGroups/o/providers/Microsoft.MachineLearningServices/workspaces/o/computes/c';
    assert.equal((await job(steps(other))).jobs.a.computeId, `${WS}/computes/c`);
    assert.match(await refused(steps('a/b')), /"a\/b" is no name of a compute/);
  });

  it('compiles compute: local, and refuses it where jobs are sent', async () => {
    const folder = files({ 'job.yml': `${COMMAND}compute: local\n` });
    const compiled = await folder.compile();
    assert.deepEqual(properties(compiled).resources, { properties: { IsLocal: { IsLocal: true } } });
    assert.deepEqual(properties(compiled).environmentVariables, { AZUREML_COMPUTE_USE_COMMON_RUNTIME: 'true' });
    assert.match(compiled.warnings[0]?.message ?? '', /compute: local/);
    const online = { ...offlineTarget(workspace), sends: true };
    await assert.rejects(compileJob({ file: folder.path('job.yml'), env: {} }, online), /job\.yml:3:10: compute: local/);
  });

  it('sends no properties of a Spark job, and takes zero for a setting that is not there', async () => {
    const spark = (memory: string): string =>
      `type: spark\ncode: src\nentry: {file: main.py}\ncompute: azureml:s\nproperties: {a: b}\nconf: {spark.driver.cores: 1, spark.driver.memory: ${memory}, spark.executor.cores: 2, spark.executor.memory: 2g, spark.executor.instances: 1}\n`;
    assert.deepEqual((await job(spark('2g'), { 'src/main.py': '' })).properties, {});
    assert.match(await refused(spark('0.0'), { 'src/main.py': '' }), /lacks spark\.driver\.memory/);
  });

  it('refuses limits of a component’s input that are no number', async () => {
    const component =
      'type: command\ncommand: echo\nenvironment: azureml:e:1\ninputs: {n: {type: integer, default: 1, max: y}}\n';
    const text = 'type: pipeline\nsettings: {default_compute: azureml:c}\njobs: {a: {component: c.yml}}\n';
    assert.match(await refused(text, { 'c.yml': component }), /The max of input n, y, is not of type integer/);
  });
});
