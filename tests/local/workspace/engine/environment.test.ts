import assert from 'node:assert/strict';
import type { Failure } from '../../../../src/azure/errors.js';
import { loosen, readConda } from '../../../../local/workspace/engine/environment/conda.js';
import { readDockerfile } from '../../../../local/workspace/engine/environment/dockerfile.js';
import { requirementsOf } from '../../../../local/workspace/engine/environment/resolve.js';
import { curated, findRow, imageName, images } from '../../../../local/workspace/engine/environment/tables.js';

describe('environments as requirements', () => {
  it('reads conda files: names, versions, the pip section, what is not Python', () => {
    const read = readConda(
      'dependencies:\n- python=3.8\n- pip=20\n- scikit-learn=0.24.1\n- conda-forge::pytorch>=1.8\n- numpy=1.21=py38h\n- cudatoolkit=11\n- pip:\n  - mlflow\n  - azureml-mlflow>=1.41.0\n',
    );
    assert.deepEqual(read.lines, ['scikit-learn==0.24.1.*', 'torch>=1.8', 'numpy==1.21.*', 'mlflow', 'azureml-mlflow>=1.41.0']);
    assert.equal(read.python, '3.8');
    assert.deepEqual(read.notes, [
      "conda package 'pytorch' is 'torch' on the package index",
      "conda package 'cudatoolkit' is not a Python package; left out",
    ]);
    // The service answers a conda file as JSON text.
    assert.deepEqual(readConda('{"dependencies": ["pandas", {"pip": ["x==1"]}]}').lines, ['pandas', 'x==1']);
    assert.throws(
      () => readConda('a: [1'),
      (error: Failure) => error.code === 'InvalidCondaFile',
    );
  });

  it('loosens pins, and leaves options alone', () => {
    assert.deepEqual(['numpy==1.19.5', 'a[b]>=1,<2', 'x', '--extra-index-url=u'].map(loosen), [
      'numpy',
      'a[b]',
      'x',
      '--extra-index-url=u',
    ]);
  });

  it('gives every environment mlflow in some form', () => {
    const plan = { name: 'e', notes: [], variables: {} };
    assert.deepEqual(requirementsOf({ ...plan, lines: ['pandas'] }), ['pandas', 'mlflow-skinny']);
    assert.deepEqual(requirementsOf({ ...plan, lines: ['azureml-mlflow==1.60.0'] }), ['azureml-mlflow==1.60.0']);
  });

  it('knows the images and curated names of the examples', () => {
    for (const image of [
      'python',
      'library/python:3.11.6',
      'docker.io/python',
      'mcr.microsoft.com/azureml/openmpi4.1.0-ubuntu22.04:latest',
    ])
      assert.ok(findRow(images, imageName(image)), image);
    assert.ok(
      findRow(curated, 'sklearn-1.5') && findRow(curated, 'AzureML-sklearn-1.5') && findRow(curated, 'AzureML-lightgbm-3.3'),
    );
    assert.equal(findRow(images, imageName('nvcr.io/nvidia/pytorch:22.02-py3')), undefined);
  });

  it('reads a Dockerfile that only installs with pip', () => {
    const files: Record<string, string> = { 'reqs/requirements.txt': 'pandas==2.2 # data\n\nscikit-learn\n' };
    const text =
      'FROM --platform=linux/amd64 python:3.10\nENV A=1 B="two"\nWORKDIR /app\nCOPY reqs/requirements.txt /app/\nRUN pip install --upgrade pip && \\\n    pip install --no-cache-dir -r /app/requirements.txt "joblib>=1"\n';
    const read = readDockerfile(text, 'Dockerfile', (path) => files[path]);
    assert.deepEqual(
      [read.image, read.lines, read.environment],
      ['python:3.10', ['pandas==2.2', 'scikit-learn', 'joblib>=1'], { A: '1', B: 'two' }],
    );
  });

  it('refuses every other Dockerfile by the line that cannot be done', () => {
    assert.throws(
      () => readDockerfile('FROM python\n\nRUN apt-get update && apt-get install -y gcc\n', 'docker/Dockerfile', () => undefined),
      (error: Failure) =>
        error.code === 'UnsupportedDockerfile' &&
        error.message.startsWith("docker/Dockerfile, line 3: 'RUN apt-get") &&
        error.details.line === 3,
    );
    assert.throws(() => readDockerfile('FROM a\nFROM b\n', 'D', () => undefined), /line 2.*second build stage/);
    assert.throws(
      () => readDockerfile('FROM a\nRUN pip install -r missing.txt\n', 'D', () => undefined),
      /'missing.txt', which is not in the build context/,
    );
    assert.throws(() => readDockerfile('FROM a\nENTRYPOINT ["x"]\n', 'D', () => undefined), /cannot be done/);
  });
});
