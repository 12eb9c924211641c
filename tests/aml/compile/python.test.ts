import assert from 'node:assert/strict';
import fc from 'fast-check';
import { anonymousVersion } from '../../../src/aml/compile/component.js';
import { dumpYaml } from '../../../src/aml/compile/pyyaml.js';
import { pyFloat, PyFloat, pyJoin, pyJson, pyStr } from '../../../src/aml/compile/python.js';
import { resolveScalar } from '../../../src/aml/compile/scalars.js';

describe('compile: what Python makes of values', () => {
  it('writes floats as repr does', () => {
    const cases: [number, string][] = [
      [1, '1.0'],
      [0.1, '0.1'],
      [-0, '-0.0'],
      [1e-4, '0.0001'],
      [1e-5, '1e-05'],
      [1.5e-7, '1.5e-07'],
      [1e15, '1000000000000000.0'],
      [1e16, '1e+16'],
      [1.25e100, '1.25e+100'],
      [123.456, '123.456'],
      [Infinity, 'inf'],
    ];
    for (const [value, text] of cases) assert.equal(pyFloat(value), text);
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => Object.is(Number(pyFloat(value)), value)),
    );
  });

  it('writes JSON as json.dumps(sort_keys=True) does', () => {
    assert.equal(
      pyJson({ b: [1, new PyFloat(2), true, null], a: 'é\u{1F600}"\\\n\u007f', _c: undefined, ﬀ: 1, '\u{1F600}': 2 }),
      '{"a": "\\u00e9\\ud83d\\ude00\\"\\\\\\n\u007f", "b": [1, 2.0, true, null], "\\ufb00": 1, "\\ud83d\\ude00": 2}',
    );
    fc.assert(
      fc.property(fc.jsonValue({ noUnicodeString: false }), (value) => {
        const plain = JSON.parse(JSON.stringify(value)) as never;
        return JSON.stringify(JSON.parse(pyJson(plain, false))) === JSON.stringify(plain);
      }),
    );
  });

  it('writes literals as str does, and joins as Python does', () => {
    assert.deepEqual(
      [true, 3, new PyFloat(3), 'x', null].map((value) => pyStr(value)),
      ['True', '3', '3.0', 'x', 'None'],
    );
    assert.equal(pyStr({ type: 'mltable', path: "a'b" }), `{'type': 'mltable', 'path': "a'b"}`);
    assert.equal(pyJoin('-', 'abc'), 'a-b-c');
  });

  it('versions a component by what it holds, not by its name', () => {
    const spec = { name: 'a', version: '1', _source: 'YAML.JOB', command: 'echo', is_deterministic: true };
    assert.equal(anonymousVersion(spec), anonymousVersion({ ...spec, name: 'b', version: '2', _source: 'YAML.COMPONENT' }));
    // sha256('{"command": "echo", "is_deterministic": true}')
    assert.equal(anonymousVersion(spec), '758e4fc9-6cae-d06b-1781-681c2a5ed0d0');
  });

  it('resolves plain scalars by the rules of YAML 1.1', () => {
    const types = {
      yes: 'bool',
      On: 'bool',
      y: 'str',
      '': 'null',
      '~': 'null',
      '0b11': 'int',
      '0o7': 'str',
      '08': 'str',
      '-1_0': 'int',
      '1.': 'float',
      '.5': 'float',
      '1e3': 'str',
      '1.0e3': 'str',
      '1.0e+3': 'float',
      '.inf': 'float',
      '2020-01-01': 'timestamp',
      '1:30': 'int',
    };
    for (const [text, type] of Object.entries(types)) assert.equal(resolveScalar(text).type, type, text);
  });

  it('writes YAML as PyYAML does', () => {
    assert.equal(
      dumpYaml({
        b: ['python=3.10', { pip: ['a>=1', 'b: c', '#x', ''] }, [1, [2]], {}],
        a: 'it is a long text that goes on and on and on: so that it is quoted and folded at width eighty',
        c: 'plain text that goes on and on and on so that it is folded at the width of eighty characters',
        d: 'é',
        e: 'two\nlines',
        f: '1.0',
        g: new PyFloat(1e-7),
        h: null,
        i: 'x ',
      }),
      `a: 'it is a long text that goes on and on and on: so that it is quoted and folded
  at width eighty'
b:
- python=3.10
- pip:
  - a>=1
  - 'b: c'
  - '#x'
  - ''
- - 1
  - - 2
- {}
c: plain text that goes on and on and on so that it is folded at the width of eighty
  characters
d: "\\xE9"
e: 'two

  lines'
f: '1.0'
g: 1.0e-07
h: null
i: 'x '
`,
    );
  });
});
