/** Tracebacks that do not look like Python's own, and those that a program has outlived. */
import assert from 'node:assert/strict';
import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { adviceOf, causeOf } from '../../../src/aml/jobs/digest.js';
import { findPlace, telling } from '../../../src/aml/jobs/traceback.js';

const ended = (how: string) => ({
  code: 'UserError',
  codes: ['UserError'],
  message: `Execution failed. User process 'python' ${how}. Please check log file 'user_logs/std_log.txt' for error details.`,
});
const lines = (text: string) => text.replace(/^\n|\n$/g, '').split('\n');
const traceback = (exception: string) =>
  lines(`
Traceback (most recent call last):
  File "/wd/work.py", line 2, in work
    return json.loads(text)
${exception}`);

describe('tracebacks', () => {
  let root: string;
  const place = { path: 'work.py', line: 2, text: 'ValueError: bad' };
  before(() => {
    root = mkdtempSync(join(tmpdir(), 'amlops-trace-'));
    writeFileSync(join(root, 'work.py'), 'def work(text):\n    return json.loads(text)\n');
  });

  it('reads those of notebooks: papermill around IPython, and an older IPython', async () => {
    const papermill = lines(`
Traceback (most recent call last):
  File "/azureml-envs/x/lib/python3.10/site-packages/papermill/execute.py", line 251, in raise_for_execution_errors
    raise error
papermill.exceptions.PapermillExecutionError:${' '}
---------------------------------------------------------------------------
Exception encountered at "In [2]":
---------------------------------------------------------------------------
ValueError                                Traceback (most recent call last)
Cell In[2], line 1
----> 1 work("x")

File /mnt/azureml/cr/j/1/exe/wd/work.py:2, in work(text)
      1 def work(text):
----> 2     return json.loads(text)

File /azureml-envs/x/lib/python3.10/json/__init__.py:346, in loads(s)
    345     if (cls is None):
--> 346         return _default_decoder.decode(s)

ValueError: bad
`);
    assert.deepEqual(await findPlace(papermill, [root]), place);
    const older = lines(`
ValueError                                Traceback (most recent call last)
<ipython-input-3-abc> in <module>
----> 1 work("x")

/mnt/azureml/cr/j/1/exe/wd/work.py in work(text)
      1 def work(text):
----> 2     return json.loads(text)

ValueError: bad
`);
    assert.deepEqual(await findPlace(older, [root]), place);
    // A cell has no file; its exception is told all the same.
    assert.equal(telling(older.filter((line) => !line.includes('work.py')))[0]?.exception, 'ValueError: bad');
  });

  it('reads those that rich draws in a box, and those of another process of Ray', async () => {
    const rich = lines(`
╭───────────────────── Traceback (most recent call last) ──────────────────────╮
│ /mnt/azureml/cr/j/1/exe/wd/work.py:2 in work                                 │
│                                                                              │
│   1 def work(text):                                                          │
│ ❱ 2     return json.loads(text)                                              │
╰──────────────────────────────────────────────────────────────────────────────╯
ValueError: bad
`);
    assert.deepEqual(await findPlace(rich, [root]), place);
    const ray = lines(`
Traceback (most recent call last):
  File "/x/lib/python3.10/site-packages/ray/_private/worker.py", line 2524, in get
    raise value.as_instanceof_cause()
ray.exceptions.RayTaskError(ValueError): ray::work() (pid=1, ip=10.0.0.4)
  File "/wd/work.py", line 2, in work
    return json.loads(text)
ValueError: bad
`);
    assert.deepEqual(await findPlace(ray, [root]), place);
  });

  it('takes the end of a program for what it was, not for what it had told before and got over', async () => {
    const handled = [...traceback("FileNotFoundError: [Errno 2] No such file or directory: 'cache.pkl'"), 'making it again'];
    const epochs = Array.from({ length: 40 }, (_, epoch) => `epoch ${epoch}`);
    assert.equal(causeOf(ended('exited with status code 3'), [...handled, ...epochs], 'Failed'), 'user code');
    assert.equal(causeOf(ended('was ended by SIGSEGV'), handled, 'Failed'), 'user code');
    assert.equal(causeOf(ended('exited with status code 137'), handled, 'Failed'), 'out of memory');
    assert.equal(await findPlace([...handled, ...epochs], [root], 25), undefined);
    // A program that dies of an exception ends with 1, and others may go on to write.
    assert.equal(causeOf(ended('exited with status code 1'), [...handled, ...epochs], 'Failed'), 'missing data');
    assert.equal(causeOf(ended('exited with status code 3'), handled, 'Failed'), 'missing data');
  });

  it('finds the class in what an exception was raised from, but not in what it was raised during', () => {
    const from = (link: string) => [
      ...traceback("FileNotFoundError: [Errno 2] No such file or directory: 'x'"),
      ...['', link, ''],
      ...traceback('RuntimeError: could not load'),
    ];
    const code1 = ended('exited with status code 1');
    const direct = from('The above exception was the direct cause of the following exception:');
    assert.equal(causeOf(code1, direct, 'Failed'), 'missing data');
    assert.equal(telling(direct)[0]?.exception, 'RuntimeError: could not load');
    const during = from('During handling of the above exception, another exception occurred:');
    assert.equal(causeOf(code1, during, 'Failed'), 'user code');
  });

  it('says what to do about a module that is not there', () => {
    assert.match(
      adviceOf('user code', "ModuleNotFoundError: No module named 'lightgbm'"),
      /no module lightgbm\. Add its package/,
    );
    assert.match(adviceOf('user code', 'ValueError: bad'), /its own|own program/);
  });
});
