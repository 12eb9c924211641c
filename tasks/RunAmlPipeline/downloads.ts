/** Names in `downloadOutputs` that the job does not have: said before hours of training, not after them. */
import { Failure } from '../../src/azure/errors.js';
import type { JobSource } from '../../src/aml/compile/types.js';
import type { Workspace } from '../../src/aml/workspace.js';
import type { Inputs } from './inputs.js';

/** Whether every output is asked for, whatever their names. */
export function wantsAll({ downloadOutputs }: Pick<Inputs, 'downloadOutputs'>): boolean {
  return downloadOutputs.length === 1 && downloadOutputs[0]?.toLowerCase() === 'all';
}

/** Whether names are asked for that a job may not have. */
export function needsCheck(inputs: Inputs): boolean {
  return inputs.action !== 'submit' && inputs.downloadOutputs.length > 0 && !wantsAll(inputs);
}

/** `names`: the outputs that the job's file names. Kinds of jobs with outputs that no file names pass. Errors: `Failure` `OutputUnknown`. */
export function checkDownloads(inputs: Inputs, type: string, names: readonly string[]): void {
  if (!needsCheck(inputs) || !/^(command|pipeline)$/i.test(type)) return;
  const unknown = inputs.downloadOutputs.filter((name) => name !== 'default' && !names.includes(name));
  if (unknown.length === 0) return;
  throw new Failure(`The job has no output ${unknown.map((name) => `"${name}"`).join(' and no output ')}.`, {
    code: 'OutputUnknown',
    input: 'downloadOutputs',
    advice: names.length > 0 ? `Its outputs: ${names.join(', ')}.` : 'Its file names no outputs.',
  });
}

/** The same of a file that is not submitted yet: it is compiled without a write. What is wrong with it is told by the real compilation. */
export async function foreseeDownloads(inputs: Inputs, request: JobSource, workspace: Workspace): Promise<void> {
  const { compileJob, offlineTarget } = await import('../../src/aml/compile/index.js');
  const compiled = await compileJob(request, offlineTarget(workspace)).catch((error: unknown) => {
    request.signal?.throwIfAborted();
    if (!(error instanceof Failure)) throw error;
    return undefined;
  });
  const { outputs, componentId } = compiled?.body.properties ?? {};
  // A job that is a registered component has the component's outputs.
  if (compiled && componentId === undefined)
    checkDownloads(inputs, compiled.type, Object.keys((outputs as object | undefined) ?? {}));
}
