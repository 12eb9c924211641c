/** Inputs of our tasks: names, required ones, allowed values, what must be known when the YAML is compiled, gates, files. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { nearest } from '../../../src/aml/compile/problems.js';
import { compileGate } from '../../../src/release/gate.js';
import { Refusal } from '../../../src/release/refusal.js';
import { builtInTasks, jobName } from '../expand/index.js';
import { modelNamePattern } from '../../../src/task/inputs.js';
import { findInput, inputValue, missingInputs } from '../../agent/inputs.js';
import type { TaskDefinition, TaskInput } from '../../agent/task-definition.js';
import { definitionOf } from './task-definitions.js';
import type { PlacedStep, Report } from './types.js';

/** @param root folder of the `self` repository, where job files are looked for */
export function checkTask(placed: PlacedStep, definitions: readonly TaskDefinition[], root: string, report: Report): void {
  const { step } = placed;
  const definition = definitionOf(definitions, step.task);
  if (!definition) return;
  const version = step.task.split('@')[1] ?? '';
  if (version.split('.')[0] !== String(definition.version.Major)) {
    report(
      'task-version',
      'error',
      `${definition.name} has version ${definition.version.Major}; the step asks for '${version}'.`,
      step,
      'task',
    );
    return;
  }
  const inputs = step.inputs ?? {};
  checkNames(placed, definition, inputs, report);
  const needed = missingInputs(definition, inputs);
  for (const input of definition.inputs) checkInput(placed, definition, input, needed.includes(input.name), report);
  if (definition.inputs.some(({ name }) => name === 'gate')) checkGate(placed, inputValue(definition, inputs, 'gate'), report);
  checkFile(placed, inputValue(definition, inputs, 'pipelineFile'), root, report);
}

function checkNames({ step }: PlacedStep, definition: TaskDefinition, inputs: Record<string, string>, report: Report): void {
  const known = definition.inputs.flatMap(({ name, aliases }) => [name, ...(aliases ?? [])]);
  for (const name of Object.keys(inputs)) {
    if (findInput(definition, name)) continue;
    const near = nearest(name, known, 2);
    const hint = near === undefined ? `Its inputs are ${known.join(', ')}.` : `Did you mean '${near}'?`;
    report('task-input', 'error', `${definition.name} has no input '${name}'. ${hint}`, step.inputs ?? step, name);
  }
}

function checkInput(placed: PlacedStep, definition: TaskDefinition, input: TaskInput, needed: boolean, report: Report): void {
  const { step } = placed;
  const inputs = step.inputs ?? {};
  const value = inputValue(definition, inputs, input.name);
  const written = Object.keys(inputs).find((key) => findInput(definition, key) === input);
  if (needed) {
    report(
      'task-input',
      'error',
      `${definition.name} needs the input '${input.name}' (${input.label}).`,
      step.inputs ?? step,
      written,
    );
  }
  if (value === '' || written === undefined) return;
  const node = step.inputs ?? step;
  if (input.type.startsWith('connectedService') && /\$[([]/.test(value)) {
    report(
      'compile-time-name',
      'error',
      `'${input.name}' is '${value}': a service connection must be known when the YAML is compiled. Use a template parameter or a \${{ }} variable.`,
      node,
      written,
    );
  }
  const editable = input.properties?.['EditableOptions']?.toLowerCase() === 'true';
  if ((input.type === 'pickList' || input.type === 'radio') && input.options && !editable && !/\$\(/.test(value)) {
    const allowed = Object.keys(input.options);
    if (allowed.length > 0 && !allowed.some((option) => option.toLowerCase() === value.toLowerCase())) {
      report(
        'task-input',
        'error',
        `'${input.name}' of ${definition.name} is '${value}'; accepted are ${allowed.join(', ')}.`,
        node,
        written,
      );
    }
  }
  if (/^(target)?modelName$/i.test(input.name) && !/\$\(/.test(value) && !modelNamePattern.test(value)) {
    report(
      'task-input',
      'error',
      `'${input.name}' of ${definition.name} is '${value}'; a model's name has letters, digits, dots, - and _, at most 255 characters.`,
      node,
      written,
    );
  }
  if (/InMinutes$/.test(input.name) && !/^\s*\d+(\.\d+)?\s*$/.test(value) && !/\$\(/.test(value)) {
    report(
      'task-input',
      'error',
      `'${input.name}' of ${definition.name} is '${value}'; a number of minutes is needed.`,
      node,
      written,
    );
  }
  if (input.type === 'boolean' && !/^(true|false|\$\(.*\))$/i.test(value)) {
    report(
      'task-input',
      'error',
      `'${input.name}' of ${definition.name} is '${value}'; accepted are true and false.`,
      node,
      written,
    );
  }
}

function checkGate({ step }: PlacedStep, gate: string, report: Report): void {
  if (gate.trim() === '' || /\$\(/.test(gate)) return;
  try {
    compileGate(gate);
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    report('gate', 'error', error.message, step.inputs ?? step, 'gate');
  }
}

function checkFile({ step, steps, index, job }: PlacedStep, file: string, root: string, report: Report): void {
  if (file.trim() === '' || /\$\(/.test(file)) return;
  const node = step.inputs ?? step;
  const before = steps.slice(0, index).filter(({ task }) => task === builtInTasks.checkout);
  const isDeployment = job.deployment !== undefined;
  const checksOut = before.some(({ inputs }) => inputs?.['repository'] !== 'none') || (!isDeployment && before.length === 0);
  if (!checksOut) {
    const why = isDeployment ? 'a deployment job checks nothing out of itself' : 'the job says `checkout: none`';
    report(
      'checkout',
      'error',
      `'pipelineFile' needs the repository's files, and ${why}: add \`checkout: self\` before it (job ${jobName(job)}).`,
      node,
      'pipelineFile',
    );
    return;
  }
  const onlySelf = before.every(({ inputs }) => inputs?.['repository'] === 'self');
  if (onlySelf && before.length <= 1 && !existsSync(join(root, file))) {
    report('file', 'warning', `'pipelineFile' names ${file}, which is not in the repository.`, node, 'pipelineFile');
  }
}
