/** Names in `downloadOutputs` that the job does not have: said before hours of training, not after them. */
import { Failure } from '../../src/azure/errors.js';
import type { Inputs } from './inputs.js';

/** Whether every output is asked for, whatever their names. */
export function wantsAll({ downloadOutputs }: Pick<Inputs, 'downloadOutputs'>): boolean {
  return downloadOutputs.length === 1 && downloadOutputs[0]?.toLowerCase() === 'all';
}

/** `names`: the outputs that the job's file names. Kinds of jobs with outputs that no file names pass. Errors: `Failure` `OutputUnknown`. */
export function checkDownloads(inputs: Inputs, type: string, names: readonly string[]): void {
  if (inputs.action === 'submit' || wantsAll(inputs) || !/^(command|pipeline)$/i.test(type)) return;
  const unknown = inputs.downloadOutputs.filter((name) => name !== 'default' && !names.includes(name));
  if (unknown.length === 0) return;
  throw new Failure(`The job has no output ${unknown.map((name) => `"${name}"`).join(' and no output ')}.`, {
    code: 'OutputUnknown',
    input: 'downloadOutputs',
    advice: names.length > 0 ? `Its outputs: ${names.join(', ')}.` : 'Its file names no outputs.',
  });
}
