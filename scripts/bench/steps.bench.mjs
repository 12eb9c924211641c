// 40 sequential Python steps of half a second in the embedded workspace, beside the same processes in a shell loop.
import { execFileSync } from 'node:child_process';
import { tsImport } from 'tsx/esm/api';
import { once, seconds } from '../lib/measure.mjs';

export const title = '40 sequential Python steps of half a second';
export const goal = '<= 1.15x the same processes in a shell loop';

const code = 'import time; time.sleep(0.5)';

export async function measure() {
  const { Jobs } = await tsImport('../../tests/support/jobs.ts', import.meta.url);
  const jobs = await Jobs.start();
  try {
    // The environment is built before anything is measured; its Python is the one of the shell loop.
    await jobs.command('warm', 'python -c "import sys; print(sys.executable)"');
    await jobs.until('warm');
    const python = (await jobs.log('warm')).trim().split('\n').pop();
    execFileSync(python, ['-c', '0']);
    const component = await jobs.component({
      command: `python -c "${code}"`,
      inputs: { before: { type: 'uri_folder', optional: true } },
      outputs: { after: { type: 'uri_folder' } },
    });
    const nodes = Array.from({ length: 40 }, (_none, index) => ({
      name: `step${index}`,
      type: 'command',
      componentId: component,
      _source: 'YAML.JOB',
      inputs:
        index === 0 ? {} : { before: { job_input_type: 'literal', value: `\${{parent.jobs.step${index - 1}.outputs.after}}` } },
    }));
    const ratios = [];
    let ours = 0;
    let loop = 0;
    for (let round = 0; round < 2; round += 1) {
      const started = process.hrtime.bigint();
      await jobs.pipeline(`steps-${round}`, nodes, {
        settings: { default_compute: `${jobs.ws.armId}/computes/cpu-cluster`, force_rerun: true, _source: 'YAML.JOB' },
      });
      const run = await jobs.until(`steps-${round}`);
      ours = Number(process.hrtime.bigint() - started) / 1e6;
      if (run.status !== 'Completed') throw new Error(`the pipeline ended ${run.status}: ${JSON.stringify(run.error)}`);
      loop = (await once('sh', ['-c', `for i in $(seq 40); do "$0" -c "${code}"; done`, python])).ms;
      ratios.push(ours / loop);
    }
    const ratio = Math.min(...ratios);
    return [
      {
        value: seconds(ours),
        beside: `${seconds(loop)} (${ratios.map((one) => one.toFixed(2)).join(', ')}x)`,
        ok: ratio <= 1.15,
      },
    ];
  } finally {
    await jobs.stop();
  }
}
