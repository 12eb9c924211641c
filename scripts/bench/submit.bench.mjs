// Submitting, process start to exit, beside azure-ai-ml in the same run: a two-step pipeline without code, the first upload of a
// folder of 2,000 files (20 MB), and the same folder unchanged; the first upload also beside bare requests with the same bytes.
import { mkdirSync, writeFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { inTurn, median, once, seconds } from '../lib/measure.mjs';
import { runTask, taskEnvironment, workspace } from '../lib/bench-task.mjs';
import { root } from '../lib/setup.mjs';

export const title = '`action: submit`';
export const goal = 'of azure-ai-ml: <= 1/10 submit, <= 1/5 first upload and >= 0.9x of raw, <= 1/10 and 0 bytes unchanged';

const environment = 'azureml://registries/azureml/environments/sklearn-1.5/labels/latest';
const step = (extra = '') =>
  `    type: command\n    compute: azureml:cpu-cluster\n    command: python -c 0\n    environment: ${environment}\n${extra}`;

export async function measure() {
  const { clientVenv } = await tsImport('../../tests/support/client-kit.ts', import.meta.url);
  const { python } = await clientVenv((line) => console.error(line));
  // Jobs stay where they are: only the submission is measured, not the run of the job before it.
  const local = await workspace(['--latency', 'states=3600']);
  let run = 0;
  try {
    const plain = join(local.folder, 'plain');
    mkdirSync(plain);
    writeFileSync(
      join(plain, 'pipeline.yml'),
      `type: pipeline\nexperiment_name: bench\njobs:\n  one:\n${step()}  two:\n${step()}`,
    );
    const task = async (folder, more = {}) => {
      const env = taskEnvironment({
        connection: local.service('arm-dev'),
        ca: local.connection.ca,
        folder,
        run: String(++run),
        inputs: {
          action: 'submit',
          pipelineFile: join(folder, 'pipeline.yml'),
          resourceGroupName: 'rg-dev',
          workspaceName: 'dev',
        },
      });
      const done = await runTask('RunAmlPipeline', { ...env, ...more }, folder);
      if (!done.ok) throw new Error(done.text.slice(-800));
      return done;
    };
    const client = async (folder) => {
      const done = await once(
        python,
        [join(root, 'scripts', 'bench', 'sdk_submit.py'), local.file, join(folder, 'pipeline.yml')],
        { cwd: folder },
      );
      if (done.status !== 0) throw new Error(done.errors.slice(-800));
      return done.ms;
    };
    const small = await inTurn(
      3,
      async () => (await task(plain)).ms,
      () => client(plain),
    );
    const rows = [
      {
        detail: 'two steps without code',
        value: seconds(small.a),
        beside: `${seconds(small.b)} (1/${(1 / small.ratio).toFixed(1)})`,
        ok: small.ratio <= 0.1,
      },
    ];

    // The content differs from folder to folder, so that a first upload stays one.
    const first = { ours: [], theirs: [] };
    const again = { ours: [], theirs: [] };
    const raw = [];
    const load = (file) => tsImport(`../../${file}`, import.meta.url);
    const { openFrom } = await load('cli/connection.ts');
    const { pendingUpload } = await load('src/aml/code-place.ts');
    const dev = openFrom(local.file, 'dev');
    const bare = async (folder, name) => {
      const { uri, auth } = await pendingUpload(dev, name);
      const done = await once(
        process.execPath,
        [join(root, 'scripts', 'bench', 'raw_upload.mjs'), join(folder, 'src'), uri, local.connection.ca],
        { env: { ...process.env, RAW_SAS: auth.token } },
      );
      if (done.status !== 0) throw new Error(done.errors.slice(-800));
      return done.ms;
    };
    // A store that has just started is slow for the first 2,000 requests, whoever sends them.
    await bare(folderOf(local.folder, 'warm'), 'warm');
    for (let round = 0; round < 3; round += 1) {
      const ours = folderOf(local.folder, `ours-${round}`);
      // In turns, so that neither is always the one that comes to the emptier store.
      if (round % 2) raw.push(await bare(ours, `raw-${round}`));
      first.ours.push((await task(ours)).ms);
      if (!(round % 2)) raw.push(await bare(ours, `raw-${round}`));
      await settled();
      again.ours.push((await task(ours)).ms);
      const theirs = folderOf(local.folder, `theirs-${round}`);
      first.theirs.push(await client(theirs));
      await settled();
      again.theirs.push(await client(theirs));
    }
    for (const [detail, { ours, theirs }, limit] of [
      ['2,000 files, first upload', first, 0.2],
      ['2,000 files, unchanged', again, 0.1],
    ]) {
      const ratio = median(ours.map((value, index) => value / theirs[index]));
      rows.push({
        detail,
        value: seconds(median(ours)),
        beside: `${seconds(median(theirs))} (1/${(1 / ratio).toFixed(1)})`,
        ok: ratio <= limit,
      });
    }
    // Once more, not timed: what it sends.
    const counting = { NODE_OPTIONS: `--require ${join(root, 'scripts', 'bench', 'count_requests.cjs')}` };
    const { text } = await task(join(local.folder, 'ours-0'), counting);
    const [said, requests, puts] = /counted (\d+) requests, (\d+) writes to storage/.exec(text) ?? [];
    rows.push({
      detail: '2,000 files, unchanged: sent',
      value: said ?? 'nothing counted',
      ok: Number(requests) <= 6 && puts === '0',
    });
    // The sending itself is what an unchanged folder spares: start, walk, hash and submission are in both. Whole to whole is shown too.
    const sending = first.ours.map((value, index) => value - again.ours[index]);
    const ofRaw = median(raw.map((value, index) => value / sending[index]));
    const whole = median(raw.map((value, index) => value / first.ours[index]));
    rows.push({
      detail: '2,000 files, sending them',
      value: seconds(median(sending)),
      beside: `raw parallel upload ${seconds(median(raw))} (${ofRaw.toFixed(2)}x of its speed; ${whole.toFixed(2)}x with all else that a submission does)`,
      ok: ofRaw >= 0.9,
    });
    return rows;
  } finally {
    await local.close();
  }
}

/** The store saves its index within five seconds after a write: nobody's unchanged folder is measured beside that. */
const settled = () => new Promise((resolve) => setTimeout(resolve, 7_000));

function folderOf(parent, name) {
  const folder = join(parent, name);
  const code = join(folder, 'src');
  for (let index = 0; index < 2000; index += 1) {
    const at = join(code, `part${index % 40}`);
    if (index < 40) mkdirSync(at, { recursive: true });
    writeFileSync(join(at, `file${index}.bin`), randomBytes(10_000));
  }
  writeFileSync(
    join(folder, 'pipeline.yml'),
    `type: pipeline\nexperiment_name: bench\njobs:\n  one:\n${step('    code: src\n')}`,
  );
  return folder;
}
