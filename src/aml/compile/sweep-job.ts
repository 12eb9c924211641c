import type { JobBody, JobFile } from './base-job.js';

export function sweepJob(_job: JobFile): JobBody {
  throw new Error('not built');
}
