/** Job YAML to the REST writes that submitting it makes. See docs/compile.md. */
import { Failure } from '../../azure/errors.js';
import type { CompiledJob, CompileTarget, JobSource } from './types.js';

export type { CompiledJob, CompileTarget, CompileWarning, JobSource, JobType, Reference, WriteRequest } from './types.js';

/**
 * Compiles a job file and hands its assets to `target`; the job itself is left to the caller.
 * In: the file and overrides. Out: the job's PUT. Errors: one Failure (`JobInvalid`) naming every problem of the file with line, column and
 * the accepted values; Failures of the target. Source of the rules: reference azure-ml-rest §1, recordings in conformance/jobs.
 */
export async function compileJob(source: JobSource, _target: CompileTarget): Promise<CompiledJob> {
  throw new Failure(`Job compilation is not built yet (${source.file}).`, { code: 'NotBuilt' });
}
