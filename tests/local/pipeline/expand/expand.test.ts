/** The template language: small cases for each rule, and what no input may do. */
import assert from 'node:assert/strict';
import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { expandPipeline, PipelineError } from '../../../../local/pipeline/expand/index.js';
import { writeYaml } from '../../../../local/pipeline/expand/write.js';
import { expand, refusal, withFiles } from './project.js';

const scripts = (yaml: string, files: Record<string, string> = {}): (string | undefined)[] =>
  (expand({ 'pipeline.yml': yaml, ...files }).document.stages[0]?.jobs?.[0]?.steps ?? []).map((step) => step.inputs?.['script']);

describe('expansion', () => {
  it('if, elseif, else: a sibling does not end the chain, each does', () => {
    const between = (sibling: string): string =>
      `steps:\n- \${{ if false }}:\n  - script: a\n${sibling}\n- \${{ else }}:\n  - script: b\n`;
    assert.deepEqual(scripts(between('- script: c')), ['c', 'b']);
    assert.match(
      refusal(between("- ${{ each x in split('1', ',') }}:\n  - script: c")),
      /\(Line: 6, Col: 3\): The expression directive 'else' is not supported/,
    );
    assert.match(refusal('steps:\n- ${{ else }}:\n  - script: a\n'), /'else' is not supported in this context/);
    const twice =
      'steps:\n- ${{ if true }}:\n  - script: a\n- ${{ else }}:\n  - script: b\n- ${{ elseif true }}:\n  - script: c\n';
    assert.match(refusal(twice), /'elseif' is not supported in this context/);
  });

  it('each: objects in authored order, also integer-like keys', () => {
    const yaml =
      'parameters:\n- name: o\n  type: object\n  default: {b: 1, 10: 2, 9: 3}\nsteps:\n- ${{ each p in parameters.o }}:\n  - script: ${{ p.key }}=${{ p.value }}\n';
    assert.deepEqual(scripts(yaml), ['b=1', '10=2', '9=3']);
  });

  it('keys that come twice are blamed on each and insert', () => {
    const each = "variables:\n  ${{ each x in split('a,b', ',') }}:\n    same: x\nsteps:\n- script: a\n";
    assert.match(refusal(each), /\(Line: 2, Col: 3\): 'same' is already defined/);
    assert.match(refusal('variables:\n  ${{ if true }}:\n  - a\nsteps: []\n'), /\(Line: 3, Col: 3\): Expected a mapping/);
  });

  it('variables layer: job over stage over root, seen by later entries', () => {
    const yaml =
      'variables:\n  a: root\nstages:\n- stage: s\n  variables:\n    b: ${{ variables.a }}-stage\n  jobs:\n  - job: j\n    steps:\n    - script: ${{ variables.a }} ${{ variables.B }}\n    variables:\n      a: job\n';
    assert.deepEqual(scripts(yaml), ['job root-stage']);
  });

  it('parameters of a template: types, defaults, what was forgotten', () => {
    const callee =
      'parameters:\n- {name: n, type: number}\n- {name: s, type: stepList, default: []}\n- {name: e, values: [x, y], default: x}\nsteps:\n- script: ${{ parameters.n }}\n- ${{ parameters.s }}\n';
    const call = (args: string): string => `steps:\n- template: callee.yml\n  parameters: ${args}\n`;
    const files = { 'callee.yml': callee };
    assert.deepEqual(scripts(call('{n: 1.50, s: [{bash: b}]}'), files), ['1.5', 'b']);
    const messages = refusal({ 'pipeline.yml': call('{e: z, extra: 1, s: {a: b}}'), ...files });
    for (const text of [
      "A value for the 'n' parameter must be provided.",
      "The 'e' parameter value 'z' is not a valid value.",
      "Unexpected parameter 'extra'",
      "The 's' parameter is not a valid StepList.",
    ])
      assert.ok(messages.includes(text), `${text}\n${messages}`);
  });

  it('parameters: shapes of containers, the old form of a root', () => {
    assert.match(
      refusal('parameters:\n- {name: c, type: container, default: {image: a}}\nsteps: []\n'),
      /not a valid Container\./,
    );
    assert.match(refusal('parameters:\n  a: b\nsteps: []\n'), /A mapping was not expected/);
  });

  it('templates: relative, absolute, other repositories, their errors', () => {
    const files = {
      'a/one.yml': 'steps:\n- template: ../b/two.yml\n- template: /lib.yml@AML\n',
      'b/two.yml': 'steps:\n- script: two\n',
      '@aml/lib.yml': 'steps:\n- template: sub/leaf.yml\n',
      '@aml/sub/leaf.yml': 'steps:\n- script: leaf\n- script: ${{ parameters.x }}\n',
    };
    const root = 'resources:\n  repositories:\n  - {repository: aml, type: git, name: x/aml}\nsteps:\n- template: a/one.yml\n';
    assert.match(refusal({ 'pipeline.yml': root, ...files }), /^\/sub\/leaf\.yml@aml \(Line: 3, Col: 11\): Key not found 'x'$/);
    files['@aml/sub/leaf.yml'] = 'steps:\n- script: leaf\n';
    assert.deepEqual(scripts(root, files), ['two', 'leaf']);
    assert.match(refusal({ 'pipeline.yml': 'steps:\n- template: x.yml@nope\n' }), /No repository found by name nope/);
    assert.match(refusal({ 'pipeline.yml': 'steps:\n- template: ../x.yml\n' }), /The file path \/\/\.\.\/x\.yml is invalid/);
    assert.match(refusal({ 'pipeline.yml': 'steps:\n- template: pipeline.yml\n' }), /Maximum object depth exceeded|Unexpected/);
    const declared = 'resources:\n  repositories:\n  - {repository: aml, type: git, name: x}\nextends:\n  template: a.yml@aml\n';
    assert.match(refusal(declared), /--repository aml=DIR/);
  });

  it('a link does not lead out of the repository', function () {
    withFiles({ 'outside.yml': 'steps: []\n', 'repo/pipeline.yml': 'steps:\n- template: link.yml\n' }, (folder) => {
      symlinkSync(join(folder, 'outside.yml'), join(folder, 'repo', 'link.yml'));
      assert.throws(() => expandPipeline('pipeline.yml', { root: join(folder, 'repo') }), /File \/link\.yml not found/);
    });
  });

  it('unknown keys, wrong kinds, names that come twice', () => {
    const cases: [string, RegExp][] = [
      ['steps:\n- displayName: a\n  script: b\n', /\(Line: 2, Col: 3\): Unexpected value 'displayName'/],
      ['steps:\n- script: a\n  displayname: b\n', /Unexpected value 'displayname'/],
      ['steps: a\n', /\(Line: 1, Col: 8\): Unexpected value 'a'/],
      ['steps:\n  a: b\n', /A mapping was not expected/],
      ['stages: []\njobs: []\n', /Unexpected value 'jobs'/],
      [
        'steps:\n- script: a\n  name: x\n- script: b\n  name: X\n',
        /^\/pipeline\.yml \(Line: 5, Col: 3\): Job Job: The step name X appears more than once/,
      ],
      ['stages:\n- stage: A\n  jobs: []\n- stage: a\n  jobs: []\n', /The stage name a appears more than once/],
      [
        'stages:\n- stage: A\n  dependsOn: B\n  jobs: []\n- stage: B\n  dependsOn: A\n  jobs: []\n',
        /^\/pipeline\.yml \(Line: 3, Col: 3\): The pipeline must contain at least one stage with no dependencies\.$/,
      ],
      ['steps:\n- script: ${{ a\n', /The expression is not closed/],
      ['a: [\n', /^\/pipeline\.yml: \(Line: /],
      ['', /empty/],
    ];
    for (const [yaml, text] of cases) assert.match(refusal(yaml), text, yaml);
  });

  it('what must exist is asked of the catalogue', () => {
    const yaml = 'jobs:\n- deployment: d\n  environment: prod.vm\n  strategy: {runOnce: {deploy: {steps: [{task: Nope@1}]}}}\n';
    expand(yaml);
    const missing = refusal(yaml, { catalogue: { environments: [], unknownTasksAreErrors: true } });
    assert.match(missing, /Job d: Environment prod could not be found\./);
    assert.match(missing, /A task is missing\. The pipeline references a task called 'Nope'\./);
    assert.match(
      refusal(yaml, { catalogue: { environments: [{ name: 'prod' }] } }),
      /Resource vm does not exist in environment prod\./,
    );
  });

  it('queue-time parameters: text, JSON for objects; unknown ones are refused', () => {
    const yaml =
      'parameters:\n- {name: o, type: object}\n- {name: b, type: boolean, default: false}\nsteps:\n- script: ${{ parameters.o.a[0] }} ${{ parameters.b }}\n';
    const pipeline = expand(yaml, { parameters: { O: '{"a": [1]}', b: 'TRUE' } });
    assert.equal(pipeline.parameters['o'], '{\n  "a": [\n    1\n  ]\n}');
    assert.match(refusal(yaml, { parameters: { o: '{}', c: 'x' } }), /Unexpected parameter 'c'/);
  });

  it('knows where every part came from', () => {
    const pipeline = expand({
      'pipeline.yml': 'steps:\n- template: t.yml\n',
      't.yml': 'steps:\n- task: X@1\n  inputs:\n    a: b\n',
    });
    const step = pipeline.document.stages[0]?.jobs?.[0]?.steps?.[0];
    assert.deepEqual(pipeline.positionOf(step?.inputs ?? {}, 'a'), { file: '/t.yml', line: 4, column: 5 });
  });

  it('writes text as the service does: parameters repeated, lists not indented', () => {
    const text = writeYaml(
      expand("parameters:\n- name: p\n  default: 1.0\nsteps:\n- script: ''\n  env: {A: '${{ parameters.p }}: x'}\n"),
    );
    assert.equal(
      text,
      "parameters:\n- name: p\n  default: 1.0\nstages:\n- stage: __default\n  jobs:\n  - job: Job\n    steps:\n    - task: CmdLine@2\n      env:\n        A: '1.0: x'\n      inputs:\n        script: ''\n\n",
    );
  });
});

describe('no input', () => {
  const scalar = fc.constantFrom(
    'a',
    '',
    'none',
    '${{ parameters.p }}',
    '${{ each x in parameters.p }}',
    '${{ insert }}',
    '${{ 1 2 }}',
    'x ${{ variables.v }}',
    '${{',
    '$[ x ]',
    '__proto__',
    '1.0',
    'pipeline.yml',
    't.yml@self',
  );
  const key = fc.constantFrom(
    'stages',
    'stage',
    'jobs',
    'job',
    'deployment',
    'steps',
    'script',
    'task',
    'inputs',
    'template',
    'parameters',
    'name',
    'type',
    'default',
    'variables',
    'strategy',
    'environment',
    'extends',
    'trigger',
    'dependsOn',
    'condition',
    '${{ if parameters.p }}',
    '${{ else }}',
    '${{ each x in parameters.p }}',
    '${{ insert }}',
    '__proto__',
    'constructor',
  );
  const tree = fc.letrec<{ node: unknown }>((tie) => ({
    node: fc.oneof(
      { maxDepth: 6, withCrossShrink: true },
      scalar,
      fc.array(tie('node'), { maxLength: 4 }),
      fc.array(fc.tuple(key, tie('node')), { maxLength: 4 }).map((pairs) => new Map(pairs)),
    ),
  })).node;

  function yaml(node: unknown): string {
    if (Array.isArray(node)) return `[${node.map(yaml).join(', ')}]`;
    if (node instanceof Map)
      return `{${[...(node as Map<string, unknown>)].map(([name, item]) => `${JSON.stringify(name)}: ${yaml(item)}`).join(', ')}}`;
    return JSON.stringify(node);
  }

  it('brings anything but an expansion or a typed error', function () {
    this.timeout(120_000);
    const head = fc.constantFrom('', 'parameters: [{name: p, type: object, default: {a: [b], c: d}}]\n');
    const body = fc.tuple(fc.constantFrom('steps', 'jobs', 'stages', 'extends', 'variables'), tree);
    fc.assert(
      fc.property(head, body, tree, (start, [name, node], template) => {
        const files = { 'pipeline.yml': `${start}${name}: ${yaml(node)}\n`, 't.yml': yaml(template) };
        try {
          expand(files);
        } catch (error) {
          assert.ok(error instanceof PipelineError, String(error));
          assert.ok(error.messages.length > 0);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('of any text brings a stack trace, and every message has a place', function () {
    this.timeout(120_000);
    const piece = fc.constantFrom(
      ...'steps:|- |\n|  |script: |a|${{ |}}|if |each x in |eq(|)|[|]|{|}|: |, |"|\'|&a |*a|!t |? |--- |\t|\u0000|\r\n|\uFEFF|ü|%|#|>-|<<'.split(
        '|',
      ),
      '|',
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
        try {
          expand(pieces.join(''));
        } catch (error) {
          assert.ok(error instanceof PipelineError, String(error));
          for (const { position, text } of error.messages) assert.ok(position && position.line > 0, text);
        }
      }),
      { numRuns: 400 },
    );
  });

  it('grows or nests without an end', function () {
    this.timeout(120_000); // a bound on work, not on time: other tests may hold the machine
    const double = { 'pipeline.yml': 'steps:\n- template: t.yml\n', 't.yml': 'steps:\n- template: t.yml\n- template: t.yml\n' };
    assert.match(refusal(double), /Maximum object (depth|size) exceeded/);
    const list = `[${'x, '.repeat(99)}x]`;
    const loops = `parameters:\n- {name: l, type: object, default: ${list}}\nsteps:\n${[0, 1, 2, 3].map((i) => `${'  '.repeat(i)}- \${{ each v${i} in parameters.l }}:`).join('\n')}\n          - script: a\n`;
    assert.match(refusal(loops), /\(Line: \d+, Col: \d+\): Maximum events exceeded while evaluating the template\./);
    for (const deep of [`steps: ${'['.repeat(100_000)}`, `a: ${'{a: '.repeat(100_000)}`, `steps:\n${'- '.repeat(100_000)}a\n`])
      assert.match(refusal(deep), /^\/pipeline\.yml \(Line: \d, Col: \d+\): Maximum object depth exceeded$/);
    assert.match(refusal(`steps:\n- script: ${'x'.repeat(11_000_000)}\n`), /Maximum object size exceeded/);
    assert.match(refusal(`steps:\n- script: \${{ variables${'.a'.repeat(100_000)} }}\n`), /Maximum object depth exceeded/);
    assert.equal(scripts(`steps:\n- script: "${'${{ 1 }}'.repeat(5000)}"\n`)[0], '1'.repeat(5000));
  });
});
