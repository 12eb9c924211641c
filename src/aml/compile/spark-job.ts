import type { JobBody, JobFile } from './base-job.js';

export function sparkJob(_job: JobFile): JobBody {
  throw new Error('not built');
}
