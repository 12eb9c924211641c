/** One request to the local Azure DevOps, and its answer. */
import type { LocalDevOps } from './server.js';
import type { Identity } from './types.js';

export interface Caller {
  identity: Identity;
  /** A job's own token may read, tag and retain; it may not approve or change checks. */
  job?: { runId: number; jobId: string };
}

export interface Call {
  method: string;
  params: Record<string, string>;
  query: URLSearchParams;
  /** The `Accept` header: some resources answer as text or as JSON. */
  accept: string;
  body: unknown;
  caller: Caller;
  server: LocalDevOps;
  /** `https://localhost:PORT/local/PROJECT-ID` */
  projectUrl: string;
}

export interface Answer {
  status?: number;
  body?: unknown;
  text?: string;
  file?: string;
  /** A zip file. */
  zip?: Buffer;
  headers?: Record<string, string>;
}

/** An answer that is an error, in the service's form. */
export class DevOpsError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly typeKey = 'InvalidRequestException',
  ) {
    super(message);
  }
}
