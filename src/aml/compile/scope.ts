/** What the steps of one pipeline see of each other: types of the pipeline's inputs and outputs, and of each step's outputs. */
import type { PortOutput } from './component-io.js';
import type { InputValue, OutputValue } from './io.js';
import { PyFloat } from './python.js';

interface Typed {
  type: string;
  mode?: string;
}

interface NodeInfo {
  /** Outputs that a local component declares. */
  declared?: ReadonlyMap<string, PortOutput>;
  /** Outputs that the step itself names. */
  outputs: ReadonlyMap<string, OutputValue>;
  automl: boolean;
  /** Defined in the step: it has the outputs that it names, no others. */
  inline?: boolean;
}

export class Scope {
  readonly nodes = new Map<string, NodeInfo>();
  constructor(
    readonly inputs: ReadonlyMap<string, Typed>,
    readonly outputs: ReadonlyMap<string, Typed>,
  ) {}

  /** Type and mode behind `${{parent.…}}`; undefined when there is no such thing. */
  source(binding: string): Typed | undefined {
    const match = /^\$\{\{parent\.(?:(inputs|outputs)\.([^}]+)|jobs\.([^.}]+)\.([^.}]+)\.([^}]+))\}\}$/.exec(binding);
    if (!match) return undefined;
    const [, side, name = '', job = '', , output = ''] = match;
    if (side === 'inputs') return this.inputs.get(name);
    if (side === 'outputs') return this.outputs.get(name);
    const node = this.nodes.get(job);
    if (node?.inline && !node.outputs.has(output)) return undefined;
    return node && { type: this.outputType(node, output) };
  }

  private outputType(node: NodeInfo, name: string): string {
    if (node.automl) return 'mltable';
    const declared = node.declared?.get(name)?.type;
    if (declared !== undefined) return declared;
    const value = node.outputs.get(name);
    if (value?.kind === 'binding') return this.source(value.text)?.type ?? 'uri_folder';
    return (value?.kind === 'data' ? value.type : undefined) ?? 'uri_folder';
  }
}

/** The type that a pipeline input has for its steps. */
export function typedInput(value: InputValue): Typed {
  if (value.kind === 'literal') return { type: literalType(value) };
  const mode = value.mode === undefined ? {} : { mode: value.mode };
  return { type: value.type ?? 'uri_folder', ...mode };
}

export function typedOutput(value: OutputValue): Typed {
  if (value.kind === 'default') return { type: 'uri_folder' };
  return { type: value.type ?? 'uri_folder', ...(value.mode === undefined ? {} : { mode: value.mode }) };
}

/** The component type of a literal. */
export function literalType({ value, whole }: { value: unknown; whole?: boolean }): string {
  if (typeof value === 'boolean') return 'boolean';
  if (typeof value === 'number' || whole) return 'integer';
  return value instanceof PyFloat ? 'number' : 'string';
}
