/** What the service writes into a run once a compute has taken it (azure-ml-observed.md §1, §2). */
import { createHash } from 'node:crypto';
import type { RunDefinition, RunRecord } from '../runs/record.js';
import type { Slots } from './slots.js';
import { fillCommand } from './text.js';
import type { CommandSpec, InputValue, OutputTarget } from './types.js';

/** Properties and tag of a run that a compute has taken. The two files are named as the service names them; they are not written here. */
export function onCluster(run: RunRecord, slots: Slots): void {
  run.properties['ProcessInfoFile'] ??= 'azureml-logs/process_info.json';
  run.properties['ProcessStatusFile'] ??= 'azureml-logs/process_status.json';
  run.tags['_aml_system_ComputeTargetStatus'] ??= JSON.stringify({
    AllocationState: 'steady',
    PreparingNodeCount: 0,
    RunningNodeCount: slots.used,
    CurrentNodeCount: slots.size,
  });
}

/** The definition of a run: literals filled in, data by the words of a run configuration. */
export function definitionOf(
  spec: CommandSpec,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
): RunDefinition {
  const values = new Map(
    [...inputs].map(([name, value]) => [name, value.kind === 'literal' ? value.text : `DatasetConsumptionConfig:${name}`]),
  );
  const command = fillCommand(spec.command, {
    inputs: values,
    outputs: new Map([...targets.keys()].map((name) => [name, `DatasetOutputConfig:${name}`])),
    ...(spec.searchSpace && { searchSpace: spec.searchSpace }),
  });
  const data: RunDefinition['inputs'] = {};
  for (const [name, value] of inputs)
    if (value.kind === 'data')
      data[name] = { uri: value.uri, type: value.type, ...(value.mode !== undefined && { mode: value.mode }) };
  const outputs: RunDefinition['outputs'] = {};
  for (const [name, { type, mode, uri, assetName }] of targets)
    outputs[name] = {
      type,
      ...(mode !== undefined && { mode }),
      ...(uri !== undefined && { uri }),
      ...(assetName !== undefined && { assetName }),
    };
  return {
    command,
    environment: spec.environmentId,
    environmentVariables: spec.environmentVariables,
    inputs: data,
    outputs,
    ...(spec.timeout !== undefined && { timeout: spec.timeout }),
  };
}

const guid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** The GUID in an id, else one that belongs to it and stays the same. */
export function guidOf(id: string): string {
  const found = id.split('/').find((part) => guid.test(part) && !id.includes(`/subscriptions/${part}`));
  if (found !== undefined) return found;
  const hex = createHash('sha256').update(id.toLowerCase()).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join('-');
}
