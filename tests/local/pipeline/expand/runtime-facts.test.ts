/** Results and outputs of dependencies: what runs, what a consumer reads (sheet azure-pipelines-yaml 1.4, 1.5). */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  type ExpandedJob,
  type ExpandedPipeline,
  expandPipeline,
  jobEdges,
  jobName,
  outputKey,
  stageEdges,
} from '../../../../local/pipeline/expand/index.js';
import {
  type DependencyFacts,
  evaluateCondition,
  evaluateRuntime,
  type NodeResult,
} from '../../../../local/pipeline/expressions/runtime.js';

const root = join(import.meta.dirname, '..', '..', '..', '..', '..', 'shared', 'conformance', 'templates', 'cases');

interface Emitted {
  stage: string;
  job?: string;
  deployment?: string;
  hook?: string;
  step: string;
  variable: string;
  value: string;
}
interface Runtime {
  results?: Record<string, NodeResult>;
  runs?: Record<string, boolean>;
  emitted?: Emitted[];
  jobVariables?: Record<string, Record<string, string>>;
  stageRuns?: Record<string, boolean>;
}

function outputs(job: ExpandedJob, stage: string, emitted: readonly Emitted[], fromStage: boolean): Record<string, string> {
  const own = emitted.filter((item) => item.stage === stage && (item.job ?? item.deployment) === jobName(job));
  return Object.fromEntries(
    own.map((item) => [
      outputKey(job, item.step, item.variable, { fromStage, ...(item.hook && { hook: item.hook }) }),
      item.value,
    ]),
  );
}

function judge({ document }: ExpandedPipeline, runtime: Runtime): void {
  const emitted = runtime.emitted ?? [];
  const factsOf = (job: ExpandedJob, stage: string): DependencyFacts => ({
    result: runtime.results?.[jobName(job)] ?? 'Succeeded',
    outputs: outputs(job, stage, emitted, false),
  });
  const stageDependencies = Object.fromEntries(
    document.stages.map((stage) => [
      stage.stage,
      Object.fromEntries((stage.jobs ?? []).map((job) => [jobName(job), factsOf(job, stage.stage)])),
    ]),
  );
  const edges = stageEdges(document.stages);
  document.stages.forEach((stage, index) => {
    const dependencies = Object.fromEntries(
      (edges[index] ?? []).map((from) => {
        const other = document.stages[from];
        const all = (other?.jobs ?? []).map((job) => outputs(job, other?.stage ?? '', emitted, true));
        return [
          other?.stage ?? '',
          { result: 'Succeeded' as const, outputs: Object.assign({}, ...all) as Record<string, string> },
        ];
      }),
    );
    const runs = runtime.stageRuns?.[stage.stage];
    if (runs !== undefined)
      assert.equal(evaluateCondition(stage.condition, 'stageCondition', { dependencies }), runs, stage.stage);
    const jobs = stage.jobs ?? [];
    jobEdges(jobs).forEach((from, at) => {
      const job = jobs[at] as ExpandedJob;
      const needed = Object.fromEntries(
        from.map((i) => [jobName(jobs[i] as ExpandedJob), factsOf(jobs[i] as ExpandedJob, stage.stage)]),
      );
      const context = { dependencies: needed, stageDependencies };
      const wanted = runtime.runs?.[jobName(job)];
      if (wanted !== undefined) assert.equal(evaluateCondition(job.condition, 'jobCondition', context), wanted, jobName(job));
      for (const [name, value] of Object.entries(runtime.jobVariables?.[`${stage.stage}/${jobName(job)}`] ?? {})) {
        const text = job.variables?.find((variable) => variable.name === name)?.value ?? '';
        assert.equal(evaluateRuntime(text, 'jobVariable', context), value, `${jobName(job)} ${name}`);
      }
    });
  });
}

describe('runtime facts as measured on the service', () => {
  if (!existsSync(root)) {
    it('are skipped: ../shared/conformance/templates is not beside the repository');
    return;
  }
  for (const group of ['status-functions', 'outputs']) {
    it(group, () => {
      let judged = 0;
      for (const name of readdirSync(join(root, group))) {
        const folder = join(root, group, name);
        const { runtime, catalogue } = JSON.parse(readFileSync(join(folder, 'expect.json'), 'utf8')) as {
          runtime?: Runtime;
          catalogue?: object;
        };
        if (!runtime) continue;
        judge(expandPipeline('pipeline.yml', { root: folder, ...(catalogue && { catalogue }) }), runtime);
        judged++;
      }
      assert.ok(judged > 5, basename(root));
    });
  }
});
