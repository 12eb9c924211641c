/** Inputs of PromoteModel (design §3), read once. */
import { InputReader, modelNamePattern } from '../../src/task/inputs.js';
import type { Platform } from '../../src/task/platform.js';
import { gateInputs, type GateInputs } from '../shared/gate.js';
import { ownPlace, targetPlace, workspaceInput, type WorkspaceInput } from '../shared/places.js';

export interface Inputs extends GateInputs {
  action: 'promote' | 'plan' | 'rollback';
  /** Absent with a source registry, and with a rollback that names its target. */
  source?: WorkspaceInput;
  sourceRegistry?: string;
  /** Absent with a target registry; the source itself where no target is given. */
  target?: WorkspaceInput;
  targetRegistry?: string;
  modelName: string;
  /** Exact, `latest`, or '' (rollback to the previous champion). */
  modelVersion: string;
  targetModelName: string;
  planDigest?: string;
  requireApproval: boolean;
}

const registryName = /^[A-Za-z0-9][A-Za-z0-9_-]{1,32}$/;

export function parse(platform: Platform): Inputs {
  const read = new InputReader(platform);
  const action = read.choice('action', ['promote', 'plan', 'rollback'], 'promote');
  const sourceRegistry = registry(read, 'sourceRegistry');
  const targetRegistry = registry(read, 'targetRegistry');
  if (sourceRegistry && targetRegistry)
    read.problem(
      'targetRegistry',
      'from a registry to a registry nothing is promoted.',
      'Give the workspace that the model was registered in as the source.',
    );
  if (action === 'rollback' && targetRegistry)
    read.problem(
      'targetRegistry',
      'a registry has no champion, so there is nothing to roll back.',
      'Roll back in the workspace that uses the model.',
    );
  const target = targetRegistry ? undefined : workspaceInput(read, platform, targetPlace, sourceRegistry !== undefined);
  const needsSource = !sourceRegistry && !(action === 'rollback' && target);
  const source = needsSource ? workspaceInput(read, platform, ownPlace, true) : undefined;
  const name = read.required('modelName', 'the name of the model');
  if (name && !modelNamePattern.test(name))
    read.problem('modelName', `"${name}" is no name of a model.`, 'Letters, digits, dots, - and _; at most 255 characters.');
  const version =
    action === 'rollback'
      ? (read.optional('modelVersion') ?? '')
      : read.required('modelVersion', 'an exact version, or `latest` by that word');
  if (version && !/^[A-Za-z0-9][\w.-]{0,254}$/.test(version))
    read.problem('modelVersion', `"${version}" is no version of a model.`, 'Give an exact version, for example 3.');
  if (action === 'rollback' && version === 'latest')
    read.problem(
      'modelVersion',
      'a rollback goes to the previous champion or to a named earlier one.',
      'Leave it empty, or give a version.',
    );
  const targetModelName = read.optional('targetModelName') ?? name;
  if (targetModelName && !modelNamePattern.test(targetModelName))
    read.problem(
      'targetModelName',
      `"${targetModelName}" is no name of a model.`,
      'Letters, digits, dots, - and _; at most 255 characters.',
    );
  const planDigest = read.optional('planDigest');
  if (planDigest && !/^sha256:[0-9a-f]{64}$/.test(planDigest))
    read.problem(
      'planDigest',
      `"${planDigest}" is no digest of a plan.`,
      'Give the output planDigest of a plan step: sha256: and 64 hex digits.',
    );
  const inputs: Inputs = {
    action,
    ...(source ? { source } : {}),
    ...(sourceRegistry ? { sourceRegistry } : {}),
    ...(target ? { target } : source && !targetRegistry ? { target: source } : {}),
    ...(targetRegistry ? { targetRegistry } : {}),
    modelName: name,
    modelVersion: version,
    targetModelName,
    ...(planDigest ? { planDigest } : {}),
    requireApproval: read.boolean('requireApproval', false),
    ...gateInputs(read),
  };
  read.done();
  return inputs;
}

function registry(read: InputReader, name: string): string | undefined {
  const value = read.optional(name);
  if (value && !registryName.test(value))
    read.problem(name, `"${value}" is no name of a registry.`, 'Letters, digits, - and _; 2 to 33 characters.');
  return value;
}
