/** References to output variables against the steps that set them (sheet azure-pipelines-yaml 1.5), and names in runtime expressions. */
import { nearest } from '../../../src/aml/compile/problems.js';
import {
  type ExpandedJob,
  type ExpandedPipeline,
  type ExpandedStage,
  jobEdges,
  jobName,
  outputKey,
  stageEdges,
} from '../expand/index.js';
import { checkNames, checkSyntax } from '../expressions/evaluate.js';
import type { Expression } from '../expressions/parser.js';
import { isRuntimeExpression } from '../expressions/runtime.js';
import { ExpressionError } from '../expressions/values.js';
import type { TaskDefinition } from '../../agent/task-definition.js';
import { definitionOf } from './task-definitions.js';
import { hooksOf, type Report } from './types.js';

interface Reference {
  /** `dependencies` or `stagedependencies`, then the keys. */
  context: string;
  keys: string[];
}

/** Member chains that start at `dependencies` or `stageDependencies`. */
function references(node: Expression, found: Reference[] = []): Reference[] {
  if (node.kind === 'call') node.args.forEach((arg) => references(arg, found));
  if (node.kind !== 'member') return found;
  const keys: string[] = [];
  let at: Expression = node;
  while (at.kind === 'member') {
    if (at.key?.kind !== 'literal') return found;
    keys.unshift(String(at.key.value));
    at = at.target;
  }
  const context = at.kind === 'name' ? at.token.raw.toLowerCase() : '';
  if (context === 'dependencies' || context === 'stagedependencies') found.push({ context, keys });
  return found;
}

function parsed(text: string): Expression | undefined {
  const inner = isRuntimeExpression(text) ? text.trim().slice(2, -1) : text;
  try {
    return checkSyntax(inner).root;
  } catch (error) {
    if (error instanceof ExpressionError) return undefined;
    throw error;
  }
}

type Place = [node: object, property: string];

export class OutputRules {
  private readonly stages: readonly ExpandedStage[];

  constructor(
    pipeline: ExpandedPipeline,
    private readonly definitions: readonly TaskDefinition[],
    private readonly report: Report,
  ) {
    this.stages = pipeline.document.stages;
  }

  check(): void {
    const edges = stageEdges(this.stages);
    this.stages.forEach((stage, index) => {
      const before = (edges[index] ?? []).map((from) => this.stages[from] as ExpandedStage);
      this.expression(stage.condition, [stage, 'condition'], (reference, place) => this.ofStage(reference, before, stage, place));
      for (const variable of stage.variables ?? []) this.variable(variable, before, [], stage);
      const jobs = stage.jobs ?? [];
      jobEdges(jobs).forEach((from, at) => {
        const job = jobs[at] as ExpandedJob;
        const needed = from.map((i) => jobs[i] as ExpandedJob);
        this.expression(job.condition, [job, 'condition'], (reference, place) =>
          this.ofJob(reference, before, needed, stage, job, place),
        );
        for (const variable of job.variables ?? []) this.variable(variable, before, needed, stage, job);
        this.steps(job);
      });
    });
  }

  private expression(text: string | undefined, place: Place, judge: (reference: Reference, place: Place) => void): void {
    const root = text === undefined || text.trim() === '' ? undefined : parsed(text);
    if (root) for (const reference of references(root)) judge(reference, place);
  }

  private variable(
    variable: { value?: string },
    before: readonly ExpandedStage[],
    needed: readonly ExpandedJob[],
    stage: ExpandedStage,
    job?: ExpandedJob,
  ): void {
    const text = variable.value ?? '';
    if (!isRuntimeExpression(text)) return;
    const place: Place = [variable, 'value'];
    const problem = mistake(text);
    if (problem !== undefined)
      this.report(
        'runtime-expression',
        'warning',
        `${text}: ${problem} (The service finds this only when the job runs.)`,
        ...place,
      );
    this.expression(text, place, (reference, at) => this.ofJob(reference, before, needed, stage, job, at));
  }

  /** `dependencies.STAGE.outputs['JOB.….step.variable']` in a stage condition. */
  private ofStage({ context, keys }: Reference, before: readonly ExpandedStage[], stage: ExpandedStage, place: Place): void {
    const [name = '', kind, key] = keys;
    const from = before.find((other) => other.stage.toLowerCase() === name.toLowerCase());
    if (context === 'stagedependencies') {
      this.report(
        'output-reference',
        'error',
        `stageDependencies is empty in a stage's condition; write dependencies.${name}.outputs['JOB.step.variable'].`,
        ...place,
      );
    } else if (!from)
      this.notADependency(
        'stage',
        name,
        `Stage ${stage.stage}`,
        this.stages.some((other) => other.stage === name),
        place,
      );
    else if (kind?.toLowerCase() === 'outputs' && key !== undefined)
      this.key(from.jobs ?? [], key, `dependencies.${name}`, true, place);
  }

  private ofJob(
    { context, keys }: Reference,
    before: readonly ExpandedStage[],
    needed: readonly ExpandedJob[],
    stage: ExpandedStage,
    job: ExpandedJob | undefined,
    place: Place,
  ): void {
    const subject = job ? `Stage ${stage.stage} job ${jobName(job)}` : `Stage ${stage.stage}`;
    const [first = '', ...rest] = keys;
    let jobs = needed;
    let name = first;
    let path = rest;
    if (context === 'stagedependencies') {
      const from = before.find((other) => other.stage.toLowerCase() === first.toLowerCase());
      if (!from) {
        this.notADependency(
          'stage',
          first,
          `Stage ${stage.stage}`,
          this.stages.some((other) => other.stage === first),
          place,
        );
        return;
      }
      jobs = from.jobs ?? [];
      [name = '', ...path] = rest;
    }
    const producer = jobs.find((other) => jobName(other).toLowerCase() === name.toLowerCase());
    const [kind, key] = path;
    if (producer) {
      if (kind?.toLowerCase() === 'outputs' && key !== undefined)
        this.key([producer], key, `${context === 'dependencies' ? '' : `${first}.`}${name}`, false, place);
    } else if (context === 'stagedependencies')
      this.report('output-reference', 'error', `Stage ${first} has no job ${name}.`, ...place);
    else if (this.stages.some((other) => other.stage.toLowerCase() === name.toLowerCase()))
      this.report(
        'output-reference',
        'error',
        `'${name}' is a stage: outside a stage's condition its outputs are stageDependencies.${name}.JOB.outputs['step.variable'].`,
        ...place,
      );
    else
      this.notADependency(
        'job',
        name,
        subject,
        (stage.jobs ?? []).some((other) => jobName(other) === name),
        place,
      );
  }

  private notADependency(what: string, name: string, subject: string, exists: boolean, place: Place): void {
    const why = exists
      ? `${subject} does not depend on ${what} ${name} directly: add it to dependsOn.`
      : `There is no ${what} ${name}.`;
    this.report('output-reference', 'error', `${why} Without it the value is empty.`, ...place);
  }

  /** Is `key` the key of an output variable that a step of `jobs` sets? */
  private key(jobs: readonly ExpandedJob[], key: string, where: string, fromStage: boolean, place: Place): void {
    const wanted = key.toLowerCase();
    const candidates: string[] = [];
    for (const job of jobs) {
      const legs = matrixLegs(job);
      if (legs === undefined) return; // the legs are known only at run time
      for (const { hook, steps } of hooksOf(job)) {
        for (const step of steps) {
          if (step.name === undefined || step.name === '') continue;
          const known = this.variablesOf(step.task, step.inputs?.['script']);
          for (const leg of legs) {
            const options = { fromStage, ...(hook !== undefined && { hook }), ...(leg !== undefined && { leg }) };
            const prefix = outputKey(job, step.name, '', options);
            if (known === undefined && wanted.startsWith(prefix.toLowerCase())) return;
            for (const variable of known ?? []) candidates.push(`${prefix}${variable}`);
          }
        }
      }
    }
    if (candidates.some((candidate) => candidate.toLowerCase() === wanted)) return;
    const tail = key.split('.').slice(-2).join('.').toLowerCase();
    const near =
      candidates.find((candidate) => candidate.toLowerCase().endsWith(`.${tail}`) || candidate.toLowerCase() === tail) ??
      nearest(wanted, candidates, 2);
    const hint =
      near !== undefined
        ? `Did you mean '${near}'?`
        : candidates.length > 0
          ? `It sets ${candidates.slice(0, 12).join(', ')}.`
          : 'It sets none.';
    this.report('output-reference', 'error', `Nothing in ${where} sets the output variable '${key}'. ${hint}`, ...place);
  }

  /** Names of output variables that a task sets; undefined when they cannot be known. */
  private variablesOf(task: string, script: string | undefined): string[] | undefined {
    const definition = definitionOf(this.definitions, task);
    if (definition) return (definition.outputVariables ?? []).map(({ name }) => name);
    if (script === undefined || !/task\.setvariable/i.test(script)) return script === undefined ? undefined : [];
    return [...script.matchAll(/task\.setvariable[^\]]*?variable=([^;\]]+)[^\]]*/gi)].map((match) => (match[1] ?? '').trim());
  }

  /** Macros and `variables['step.name']` that read outputs of the same job. */
  private steps(job: ExpandedJob): void {
    for (const { steps } of hooksOf(job)) {
      steps.forEach((step, index) => {
        const texts: [object, string, string][] = Object.entries(step.inputs ?? {}).map(([name, text]) => [
          step.inputs ?? step,
          name,
          text,
        ]);
        for (const [name, text] of Object.entries(step.env ?? {})) texts.push([step.env ?? step, name, text]);
        if (step.condition !== undefined) texts.push([step, 'condition', step.condition]);
        for (const [node, property, text] of texts) {
          for (const match of text.matchAll(/\$\((\w+)\.(\w+)\)|variables\['(\w+)\.(\w+)'\]/gi)) {
            const producer = (match[1] ?? match[3] ?? '').toLowerCase();
            const variable = match[2] ?? match[4] ?? '';
            const at = steps.findIndex((other) => other.name?.toLowerCase() === producer);
            const found = steps[at];
            if (!found) continue;
            const known = this.variablesOf(found.task, found.inputs?.['script']);
            if (at >= index)
              this.report(
                'output-reference',
                'error',
                `'${producer}.${variable}' is read before the step '${found.name ?? ''}' has run.`,
                node,
                property,
              );
            else if (known && !known.some((name) => name.toLowerCase() === variable.toLowerCase())) {
              this.report(
                'output-reference',
                'error',
                `The step '${found.name ?? ''}' sets no output variable '${variable}'. It sets ${known.join(', ') || 'none'}.`,
                node,
                property,
              );
            }
          }
        }
      });
    }
  }
}

function matrixLegs(job: ExpandedJob): (string | undefined)[] | undefined {
  const matrix = job.strategy?.matrix;
  if (matrix === undefined) return [undefined];
  return typeof matrix === 'string' ? undefined : Object.keys(matrix);
}

/** What the service does not check: names and syntax of variables of stages and jobs. */
function mistake(text: string): string | undefined {
  try {
    checkNames(checkSyntax(text.trim().slice(2, -1)), {
      names: new Map(['variables', 'dependencies', 'stagedependencies', 'pipeline', 'resources'].map((name) => [name, null])),
    });
    return undefined;
  } catch (error) {
    if (error instanceof ExpressionError) return error.message;
    throw error;
  }
}
