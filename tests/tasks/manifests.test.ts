/** What is published: task.json of each task, vss-extension.json, and dependencies that a task may bundle (extension-packaging.md §5, §7). */
import assert from 'node:assert/strict';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { parse } from 'yaml';
import { checkDefinition, type TaskDefinition } from '../../local/agent/task-definition.js';

const root = join(import.meta.dirname, '..', '..');
const read = (...path: string[]): string => readFileSync(join(root, ...path), 'utf8');
const json = <T>(...path: string[]): T => JSON.parse(read(...path)) as T;
const names = ['RunAmlPipeline', 'RegisterModel', 'PromoteModel'];
const tasks = names.map((name) => ({ name, task: json<TaskDefinition>('tasks', name, 'task.json') }));

/** Keys of a step and words of a pipeline: an input of that name could not be told from them (design §3). */
const reserved = new Set(
  'inputs timeoutInMinutes condition continueOnError enabled env name retryCountOnTaskFailure target task stage job jobs stages steps'.split(
    ' ',
  ),
);

/** Width and height of a PNG. */
const pngSize = (file: string): [number, number] => {
  const bytes = readFileSync(join(root, file));
  assert.equal(bytes.toString('latin1', 1, 4), 'PNG', file);
  return [bytes.readUInt32BE(16), bytes.readUInt32BE(20)];
};

describe('task manifests', () => {
  for (const { name, task } of tasks) {
    describe(name, () => {
      it('is a valid task.json', () => {
        // The bundle is made by the build: its presence is checked where a task is unpacked.
        const wrong = checkDefinition(task, join(root, 'tasks', name)).filter((line) => !line.endsWith('is not there'));
        assert.deepEqual(wrong, []);
        assert.equal(task.name, name);
        assert.equal(task.version.Major, 1);
        assert.equal(task.minimumAgentVersion, '4.248.0');
        assert.deepEqual(pngSize(`tasks/${name}/icon.png`), [32, 32]);
      });

      it('runs on Node 20 and 24 and may set its documented outputs only', () => {
        assert.deepEqual(task.execution, { Node20_1: { target: 'index.js' }, Node24: { target: 'index.js' } });
        const outputs = (task.outputVariables ?? []).map((output) => output.name).sort();
        assert.deepEqual([...(task.restrictions?.settableVariables?.allowed ?? [])].sort(), outputs);
        assert.notEqual(task.restrictions?.commands?.mode, 'restricted', 'attachments and summaries would be forbidden');
      });

      it('describes, groups and reads every input', () => {
        const source = ['inputs.ts', 'run.ts', 'index.ts', 'source.ts', 'ports.ts']
          .filter((file) => existsSync(join(root, 'tasks', name, file)))
          .map((file) => read('tasks', name, file))
          .concat(
            readdirSync(join(root, 'tasks', 'shared'))
              .filter((file) => file.endsWith('.ts'))
              .map((file) => read('tasks', 'shared', file)),
          )
          .join('\n');
        for (const input of task.inputs) {
          assert.ok(input.label && input.helpMarkDown, `${input.name} lacks label or help`);
          assert.ok(!reserved.has(input.name), `${input.name} is a word of pipelines`);
          assert.match(source, new RegExp(`['"\`]${input.name}['"\`]`), `${input.name} is read nowhere`);
        }
      });

      it('documents every input and output in its README', function () {
        if (!existsSync(join(root, 'tasks', name, 'README.md'))) assert.fail(`tasks/${name}/README.md is missing`);
        const readme = read('tasks', name, 'README.md');
        for (const entry of [...task.inputs, ...(task.outputVariables ?? [])]) {
          assert.ok(readme.includes(`\`${entry.name}\``), `${entry.name} is not in the README`);
        }
      });
    });
  }

  it('tasks have ids of their own', () => {
    assert.equal(new Set(tasks.map(({ task }) => task.id.toLowerCase())).size, tasks.length);
  });
});

interface Manifest {
  id: string;
  publisher: string;
  name: string;
  description: string;
  public: unknown;
  icons: Record<string, string>;
  content: Record<string, { path: string }>;
  screenshots: { path: string }[];
  tags: string[];
  contributions: { id: string; type: string; targets: string[]; properties: { name: string } }[];
}

describe('extension manifest', () => {
  const manifest = json<Manifest>('vss-extension.json');

  it('is what the Marketplace takes', () => {
    assert.match(manifest.id, /^[A-Za-z0-9_-]+$/);
    assert.ok(manifest.description.length <= 200, `${manifest.description.length} characters`);
    assert.equal(typeof manifest.public, 'boolean');
    assert.deepEqual(pngSize(manifest.icons['default'] ?? ''), [128, 128]);
    assert.deepEqual(pngSize(manifest.icons['large'] ?? ''), [512, 512]);
    for (const { path } of manifest.screenshots) assert.deepEqual(pngSize(path), [1366, 768]);
    for (const { path } of Object.values(manifest.content)) assert.ok(existsSync(join(root, path)), path);
  });

  it('contributes each task once', () => {
    assert.deepEqual(
      manifest.contributions.map(({ type, properties }) => `${type} ${properties.name}`).sort(),
      names.map((name) => `ms.vss-distributed-task.task tasks/${name}`).sort(),
    );
    assert.equal(new Set(manifest.contributions.map(({ id }) => id)).size, names.length);
  });

  it('has pictures and links in its overview that lead somewhere', () => {
    const overview = read('overview.md');
    for (const name of names) assert.ok(overview.includes(name), name);
    for (const [, path = ''] of overview.matchAll(/!\[[^\]]*\]\((?!https:)([^)]+)\)/g))
      assert.ok(existsSync(join(root, path)), path);
  });

  it('shows YAML in its overview that can be copied: tasks and templates get what they require, and nothing that they do not know', () => {
    interface Shown {
      jobs?: { steps: { task: string; inputs: Record<string, unknown> }[] }[];
      extends?: { template: string; parameters: Record<string, unknown> };
    }
    const blocks = [...read('overview.md').matchAll(/```yaml\n([^]*?)```/g)].map(([, text = '']) => parse(text) as Shown);
    const steps = blocks.flatMap(({ jobs = [] }) => jobs.flatMap((job) => job.steps));
    assert.deepEqual(
      steps.map(({ task }) => task),
      ['RunAmlPipeline@1', 'RegisterModel@1'],
    );
    for (const { task, inputs } of steps) {
      const known = tasks.find(({ name }) => `${name}@1` === task)?.task.inputs ?? [];
      for (const name of Object.keys(inputs))
        assert.ok(
          known.some((input) => input.name === name),
          `${task} ${name}`,
        );
      for (const { name, required } of known) if (required) assert.ok(name in inputs, `${task} lacks ${name}`);
    }
    const extended = blocks.flatMap((block) => (block.extends ? [block.extends] : []));
    assert.equal(extended.length, 1);
    for (const { template, parameters } of extended) {
      const declared = (
        parse(read(...(template.split('@')[0] ?? '').split('/'))) as { parameters: { name: string; default?: unknown }[] }
      ).parameters;
      for (const name of Object.keys(parameters))
        assert.ok(
          declared.some((parameter) => parameter.name === name),
          name,
        );
      for (const parameter of declared) if (!('default' in parameter)) assert.ok(parameter.name in parameters, parameter.name);
    }
  });
});

describe('dependencies', () => {
  interface Locked {
    dev?: boolean;
    optional?: boolean;
    engines?: { node?: string };
    hasInstallScript?: boolean;
  }
  const { packages } = json<{ packages: Record<string, Locked> }>('package-lock.json');
  const production = Object.entries(packages).filter(([path, { dev }]) => path !== '' && dev !== true);

  it('all run on Node 20', () => {
    const { satisfies } = createRequire(import.meta.url)('semver') as { satisfies: (version: string, range: string) => boolean };
    const wrong = production.filter(([, { engines }]) => engines?.node && !satisfies('20.20.2', engines.node));
    assert.deepEqual(
      wrong.map(([path, { engines }]) => `${path}: ${engines?.node}`),
      [],
    );
  });

  it('need no install script', () => {
    const wrong = production.filter(([, { hasInstallScript, optional }]) => hasInstallScript === true && optional !== true);
    // lmdb and its companion ship prebuilt binaries; their script only builds where none fits.
    const known = /node_modules\/(lmdb|msgpackr-extract|@lmdb\/.*)$/;
    assert.deepEqual(
      wrong.map(([path]) => path).filter((path) => !known.test(path)),
      [],
    );
  });
});
