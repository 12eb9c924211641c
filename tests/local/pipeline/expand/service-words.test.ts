/** What the service refuses and in which words, one small pipeline a rule (sheet azure-pipelines-yaml 2.4 and its last section). */
import assert from 'node:assert/strict';
import { PipelineError } from '../../../../local/pipeline/expand/index.js';
import { expand, type Files, refusal } from './project.js';

const xs = 'parameters:\n- {name: xs, type: object, default: [a, b]}\nsteps:\n- script: base\n';
const stage = 'stages:\n- stage: S\n  jobs:\n  - job: J\n    steps: [{script: a}]\n';

/** Every line of the message, without the name of the file. */
function lines(files: Files | string): string[] {
  return refusal(files)
    .split('\n')
    .map((line) => line.replace(/^\/pipeline\.yml /, ''));
}

const cases: [title: string, yaml: string, ...messages: string[]][] = [
  [
    'each wants the word in',
    `${xs}- \${{ each x on parameters.xs }}:\n  - script: b\n`,
    "(Line: 5, Col: 3): The value 'on' is unexpected. The expected format of an 'each' expression is: ${ each <identifier> in <value> }",
    "(Line: 5, Col: 3): Unexpected value '${{ each x on parameters.xs }}'",
  ],
  [
    'the word in has no capitals',
    `${xs}- \${{ each x IN parameters.xs }}:\n  - script: b\n`,
    "(Line: 5, Col: 3): The value 'IN' is unexpected. The expected format of an 'each' expression is: ${ each <identifier> in <value> }",
  ],
  [
    'a loop variable named like a function cannot be read',
    `${xs}- \${{ each eq in parameters.xs }}:\n  - script: \${{ eq }}\n`,
    "(Line: 6, Col: 13): Expected '(' to follow a function: 'eq'. Located at position 1 within expression: 'eq'. For more help, refer to https://go.microsoft.com/fwlink/?linkid=842996",
  ],
  [
    'a loop variable named like a context, or like the outer one',
    `${xs}- \${{ each x in parameters.xs }}:\n  - \${{ each X in parameters.xs }}:\n    - script: b\n`,
    "(Line: 6, Col: 5): The idenfifier 'X' has already been defined within the current scope",
  ],
  [
    'else without if in a sequence',
    'steps:\n- ${{ else }}:\n  - script: a\n',
    "(Line: 2, Col: 3): The expression directive 'else' is not supported in this context",
    "(Line: 2, Col: 3): Unexpected value '${{ else }}'",
  ],
  [
    'else without if in a mapping',
    'steps:\n- script: a\n  env:\n    ${{ else }}:\n      A: b\n',
    "(Line: 4, Col: 5): The expression directive 'else' is not supported in this context",
    '(Line: 5, Col: 7): A mapping was not expected',
  ],
  [
    'a directive in trigger stays a mapping',
    'trigger:\n- ${{ if true }}:\n  - main\nsteps: []\n',
    '(Line: 2, Col: 3): A mapping was not expected',
  ],
  [
    'a directive among the keys of trigger',
    'trigger:\n  ${{ if true }}:\n    batch: true\nsteps: []\n',
    "(Line: 2, Col: 3): Unexpected value '${{ if true }}'",
  ],
  ['a second document', 'steps: []\n---\nsteps: []\n', '(Line: 2, Col: 1): Expected stream end parse event'],
  [
    'a list of strings that is none',
    'parameters:\n- {name: p, type: stringList, default: a}\nsteps: []\n',
    "(Line: 2, Col: 40): The 'p' parameter value 'a' is not a valid StringList.",
  ],
  [
    'a stage with a dash',
    stage.replace('stage: S', 'stage: a-b'),
    "(Line: 2, Col: 3): Stage a-b has an invalid name. Valid names may only contain alphanumeric characters and '_' and may not start with a number.",
  ],
  [
    'a job that begins with a digit',
    stage.replace('job: J', 'job: 1st'),
    "(Line: 4, Col: 5): Stage S job 1st has an invalid name. Valid names may only contain alphanumeric characters and '_' and may not start with a number.",
  ],
  [
    'a step with a dot',
    stage.replace('{script: a}', '{script: a, name: a.b}'),
    "(Line: 5, Col: 25): Job J: Step a.b has an invalid name. Valid names may only contain alphanumeric characters and '_' and may not start with a number.",
  ],
  [
    'a parameter of the root without a value',
    'parameters:\n- name: p\nsteps: []\n',
    "(Line: 2, Col: 3): A value for the 'p' parameter must be provided.",
  ],
];

describe('the words of the service', () => {
  for (const [title, yaml, ...wanted] of cases) {
    it(title, () => {
      assert.deepEqual(lines(yaml).slice(0, wanted.length), wanted);
    });
  }

  it('a template that includes itself is told where', () => {
    const files = { 'pipeline.yml': 'steps:\n- template: t.yml\n', 't.yml': 'steps:\n- script: a\n- template: t.yml\n' };
    assert.equal(refusal(files), '/t.yml (Line: 3, Col: 3): Maximum object depth exceeded');
  });

  it('a path out of the repository is shown as it was joined', () => {
    const files = {
      'pipeline.yml': 'steps:\n- template: tpl/a.yml\n',
      'tpl/a.yml': 'steps:\n- template: ../../x.yml\n',
    };
    assert.match(refusal(files), /The file path \/tpl\/\.\.\/\.\.\/x\.yml is invalid$/);
    assert.match(refusal('steps:\n- template: ../x.yml\n'), /The file path \/\/\.\.\/x\.yml is invalid$/);
  });

  it('a mistake of YAML itself has its place in the text and as data', () => {
    try {
      expand('steps:\n- script: "a\n');
      assert.fail('it expanded');
    } catch (error) {
      assert.ok(error instanceof PipelineError);
      assert.match(error.message, /^\/pipeline\.yml: \(Line: \d+, Col: \d+, Idx: \d+\) - /);
      assert.equal(error.messages[0]?.position?.file, '/pipeline.yml');
    }
  });
});

describe('values of parameters', () => {
  const script = (yaml: string, parameters?: Record<string, string>): string | undefined =>
    expand(yaml, parameters ? { parameters } : {}).document.stages[0]?.jobs?.[0]?.steps?.[0]?.inputs?.['script'];
  const steps = 'steps:\n- script: ${{ convertToJson(parameters.p) }}\n';

  it('an empty list restricts nothing, and an object has no list', () => {
    assert.equal(script(`parameters:\n- {name: p, default: x, values: []}\n${steps}`), '"x"');
    assert.equal(script(`parameters:\n- {name: p, type: object, default: {a: 1}, values: [b]}\n${steps}`), '{\n  "a": 1\n}');
  });

  it('text given at queue time is never an expression, and text that is no JSON stays text', () => {
    const yaml = `parameters:\n- {name: p, type: object, default: []}\n${steps}`;
    assert.equal(
      script(yaml, { p: '{"a": "${{ variables.secret }}", "${{ x": [1]}' }),
      '{\n  "a": "${{ variables.secret }}",\n  "${{ x": [\n    1\n  ]\n}',
    );
    assert.equal(script(yaml, { p: 'a: [' }), '"a: ["');
  });
});
