/** Causes, the first failing leaf, tracebacks in the repository, names of files that lead out. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Failure } from '../../../src/azure/errors.js';
import type { BlobContainer } from '../../../src/azure/types.js';
import { adviceOf, causeOf, firstFailed } from '../../../src/aml/jobs/digest.js';
import { digestOf, fetchOutput, insideOf } from '../../../src/aml/jobs/outputs.js';
import { runError, type StepState } from '../../../src/aml/jobs/steps.js';
import { findPlace } from '../../../src/aml/jobs/traceback.js';

const error = (message: string, ...codes: string[]) => ({
  code: codes[0] ?? 'UserError',
  message,
  codes: codes.length > 0 ? codes : ['UserError'],
});
const traceback = (...rest: string[]) => ['Traceback (most recent call last):', ...rest];

describe('failure digest', () => {
  it('tells a path that the program may not touch from a right that is missing in Azure', () => {
    assert.match(adviceOf('permission', "PermissionError: [Errno 13] Permission denied: '/mnt/data'"), /mounted read-only/);
    assert.match(adviceOf('permission', "OSError: [Errno 30] Read-only file system: '/mnt/data'"), /mounted read-only/);
    assert.match(
      adviceOf('permission', 'AuthorizationPermissionMismatch: This request is not authorized'),
      /Storage Blob Data Reader/,
    );
  });

  it('tells causes apart', () => {
    const cases: [string, Parameters<typeof causeOf>[0], string[]][] = [
      [
        'environment build',
        error('Image build failed. For more details, check log file azureml-logs/20_image_build_log.txt.'),
        [],
      ],
      ['environment build', error('Failed to pull Docker image x.azurecr.io/y:1', 'UserError'), []],
      ['environment build', error("Image 'x:1' of environment 'e' stands for none here.", 'UserError'), []],
      [
        'user code',
        error("User process '/bin/bash' exited with status code 1", 'UserError'),
        traceback("ValueError: Image 'x' is broken"),
      ],
      ['environment build', error('Execution failed.', 'UserError'), ['ERROR: No matching distribution found for nosuchpackage']],
      // Where the program lies says nothing.
      [
        'user code',
        error("Execution failed. User process '/opt/miniconda/envs/timeout/bin/python' exited with status code 1."),
        traceback('ValueError: bad'),
      ],
      [
        'out of memory',
        error('exited with status code 1'),
        traceback('numpy.core._exceptions._ArrayMemoryError: Unable to allocate 74.5 GiB'),
      ],
      ['out of memory', error('exited with status code 1'), traceback('RuntimeError: CUDA error: out of memory')],
      ['permission', error('x', 'ScriptExecution.StreamAccess.Authentication'), []],
      ['infrastructure', error('JobNodePreempted: the job was canceled, its node was preempted'), []],
      ['out of memory', error('Execution failed. exited with code 137'), []],
      [
        'out of memory',
        error('Execution failed. exited with status code 1'),
        traceback('torch.cuda.OutOfMemoryError: CUDA out of memory'),
      ],
      ['missing data', error('The input dataset was not found'), []],
      [
        'missing data',
        error('exited with status code 1'),
        traceback("FileNotFoundError: [Errno 2] No such file or directory: 'x'"),
      ],
      ['permission', error('This request is not authorized to perform this operation', 'UserError', 'AuthorizationFailed'), []],
      ['quota', error('Not enough quota for family NC6'), []],
      ['time limit', error('The job timed out: maxRunDuration exceeded'), []],
      ['infrastructure', error('An internal fault', 'ServiceError'), []],
      ['user code', error("User process '/bin/bash' exited with status code 1"), traceback('ValueError: bad')],
      ['user code', undefined, traceback('ZeroDivisionError: division by zero')],
      // The service repeats the program's words; they are not the service's. Nor is what was said before the end.
      [
        'user code',
        error("Execution failed. User process 'x' exited with status code 1. Error: ValueError: quota, OOM, timed out"),
        traceback('ValueError: quota, OOM, timed out'),
      ],
      [
        'user code',
        error('exited with status code 1'),
        traceback('FileNotFoundError: a', 'caught', ...traceback('ValueError: boom')),
      ],
      ['user code', error('exited with status code 1'), traceback('ValueError: from the include, boom')],
      ['out of memory', error("User process 'x' was ended by SIGKILL. Error: "), ['step 4']],
      ['out of memory', error('exited with status code 1'), ['bash: line 1:  4711 Killed                  python train.py']],
      [
        'permission',
        error('exited with status code 1'),
        traceback('HttpResponseError: no', 'ErrorCode:AuthorizationPermissionMismatch'),
      ],
      ['quota', error('Job failed with error: 403 not enough cores', 'UserError', 'ResourceQuotaExceeded'), []],
      ['unknown', undefined, []],
    ];
    for (const [cause, given, lines] of cases)
      assert.equal(causeOf(given, lines, 'Failed'), cause, `${given?.message} ${lines.join(' ')}`);
    assert.equal(causeOf(undefined, [], 'Canceled'), 'cancelled');
  });

  it('reads both shapes of an error, and the leaf that failed first', () => {
    const inner = { code: 'UserError', message: 'm', innerError: { code: 'BadArgument', innerError: { code: 'Deep' } } };
    assert.deepEqual(runError({ error: inner })?.codes, ['UserError', 'BadArgument', 'Deep']);
    assert.deepEqual(runError(inner), runError({ error: inner }));
    assert.equal(runError(null), undefined);
    const step = (name: string, phase: StepState['phase'], ended: number, group = false): StepState => ({
      runId: name,
      name,
      status: phase,
      phase,
      group,
      reused: false,
      logsOf: name,
      ended,
    });
    const steps = [
      step('pipe', 'failed', 1, true),
      step('late', 'failed', 9),
      step('first', 'failed', 5),
      step('c', 'canceled', 2),
    ];
    assert.equal(firstFailed(steps)?.name, 'first');
    assert.equal(firstFailed(steps.slice(0, 1))?.name, 'pipe');
  });

  it('maps a traceback to the file whose line it quotes', async () => {
    const root = mkdtempSync(join(tmpdir(), 'amlops-trace-'));
    for (const [path, text] of [
      ['a/train.py', 'import x\n\nfit()\n'],
      ['b/src/train.py', 'import y\n\n    fit(data)\n'],
      ['b/src/lib.py', 'def fit(d):\n    raise ValueError(d)\n'],
      ['node_modules/train.py', 'import y\n\n    fit(data)\n'],
    ] as const) {
      mkdirSync(join(root, path, '..'), { recursive: true });
      writeFileSync(join(root, path), text);
    }
    const lines = [
      'noise',
      ...traceback(
        '  File "/mnt/azureml/cr/j/1/exe/wd/train.py", line 3, in <module>',
        '    fit(data)',
        '  File "C:\\wd\\lib.py", line 2, in fit',
        '    raise ValueError(d)',
        '  File "/opt/conda/lib/python3.10/site-packages/pandas/core.py", line 9, in x',
        '    boom()',
        'ValueError: 3',
      ),
    ];
    assert.deepEqual(await findPlace(lines, [root]), { path: 'b/src/lib.py', line: 2, text: 'ValueError: 3' });
    assert.deepEqual(
      await findPlace(
        lines.filter((line) => !/lib\.py|raise/.test(line)),
        [root],
      ),
      { path: 'b/src/train.py', line: 3, text: 'ValueError: 3' },
    );
    assert.equal(await findPlace(['no traceback'], [root]), undefined);
    assert.equal(await findPlace(traceback('  File "/x/gone.py", line 1, in <module>', '    boom()'), [root]), undefined);
  });

  it('reads the tracebacks of groups, ranks, workers and of scripts that do not even parse', async () => {
    const root = mkdtempSync(join(tmpdir(), 'amlops-trace-'));
    writeFileSync(join(root, 'work.py'), 'def work():\n    raise OSError("w")\nwork()\n');
    const frame = (line: number, text: string, file = 'work.py') => [`  File "/wd/${file}", line ${line}, in x`, `    ${text}`];
    const inner = traceback(...frame(2, 'raise OSError("w")'), 'OSError: w');
    const place = { path: 'work.py', line: 2, text: 'OSError: w' };
    // A worker's exception is raised again in its parent.
    assert.deepEqual(await findPlace([...inner, '', ...traceback(...frame(3, 'work()'), 'OSError: w')], [root]), place);
    // Wrapped in another: where the last was raised.
    const outer = traceback(...frame(3, 'work()'), 'RuntimeError: wrapped');
    assert.equal((await findPlace([...inner, '', ...outer], [root]))?.line, 3);
    const launcher = traceback(...frame(9, 'run()', 'torch/site-packages/run.py'), 'torch.distributed.ChildFailedError: x');
    assert.deepEqual(await findPlace([...inner, ...launcher], [root]), place);
    // Ranks that write into one log.
    const ranks = inner.flatMap((line) => [`[rank0]: ${line}`, '[rank1]:   File "/elsewhere.py", line 1, in y']);
    assert.deepEqual(await findPlace(ranks, [root]), place);
    const group = [
      '  + Exception Group Traceback (most recent call last):',
      ...frame(3, 'work()').map((line) => `  | ${line}`),
      '  | ExceptionGroup: many (1 sub-exception)',
      '  +-+---------------- 1 ----------------',
      ...inner.map((line) => `    | ${line}`),
      '    +------------------------------------',
    ];
    assert.deepEqual(await findPlace(group, [root]), place);
    const syntax = ['  File "/wd/work.py", line 1', '    def work():', '            ^', 'SyntaxError: invalid syntax'];
    assert.deepEqual(await findPlace(['started', ...syntax], [root]), {
      path: 'work.py',
      line: 1,
      text: 'SyntaxError: invalid syntax',
    });
    assert.equal(await findPlace(['SyntaxError: said by somebody'], [root]), undefined);
  });

  it('fetches what storage lists: nested folders of a data lake, empty files, and never what was not stored', async () => {
    const blobs: Record<string, string> = { 'out/a/b/c.txt': 'c', 'out/empty.txt': '', 'out/名 前.txt': 'n', 'out2/x': 'no' };
    // A Data Lake account lists the folders themselves.
    for (const folder of ['out', 'out/a', 'out/a/b']) blobs[folder] = '';
    const container = {
      async *list(prefix: string) {
        for (const [name, text] of Object.entries(blobs)) {
          const md5 = createHash('md5').update(text).digest('base64');
          if (name.startsWith(prefix)) yield { name, size: text.length, etag: 'e', lastModified: new Date(), md5 };
        }
      },
      async read(name: string) {
        return { stream: Readable.from([Buffer.from(blobs[name] ?? '')]), size: 1, etag: 'e' };
      },
    } as unknown as BlobContainer;
    const folder = mkdtempSync(join(tmpdir(), 'amlops-out-'));
    const located = { name: 'out', container, path: 'out', uri: '' };
    const got = await fetchOutput(located, folder);
    assert.deepEqual(
      got.files.map(({ path }) => path),
      ['a/b/c.txt', 'empty.txt', '名 前.txt'],
    );
    assert.equal(readFileSync(join(folder, 'a', 'b', 'c.txt'), 'utf8'), 'c');
    const list = container.list.bind(container);
    container.list = async function* (prefix: string) {
      for await (const item of list(prefix)) yield { ...item, ...(item.size > 0 ? { md5: 'AAAA' } : {}) };
    };
    await assert.rejects(fetchOutput(located, folder), (thrown) => (thrown as Failure).code === 'OutputChanged');
  });

  it('no name of an output leads out of its folder', () => {
    assert.equal(insideOf('/base/out', 'a/b.txt'), join('/base/out', 'a', 'b.txt'));
    for (const name of ['../x', 'a/../../x', '..', 'a\\..\\..\\x', 'a\0b', '']) {
      assert.throws(() => insideOf('/base/out', name), /leads out/, name);
    }
    const file = { path: 'a', size: 1, sha256: 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb' };
    assert.equal(digestOf([file]), 'sha256:aa2ff188611f305bd6392678761e83bff3cb3ea3522fbf425d66b097d7756893');
  });
});
