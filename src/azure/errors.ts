/** Errors that a user reads. One class, so that one place (src/task/host.ts, cli) can word them. */
export interface FailureDetails {
  /** Short machine word, e.g. `InputInvalid`, `AuthorizationFailed`, `AADSTS700024`. */
  code: string;
  /** What to do about it. */
  advice?: string;
  /** Where: input name, file, line, column (1-based). */
  input?: string;
  file?: string;
  line?: number;
  column?: number;
  /** Azure's own: HTTP status and the ids that support asks for. */
  status?: number;
  operation?: string;
  requestId?: string;
  correlationId?: string;
  cause?: unknown;
}

export class Failure extends Error {
  readonly code: string;
  readonly details: Readonly<FailureDetails>;
  constructor(message: string, details: FailureDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'Failure';
    this.code = details.code;
    this.details = details;
  }
}

/** A message that another sentence follows: with its full stop, which those of services often lack. */
export function sentence(message: string): string {
  return /[.!?]\s*$/.test(message) ? message.trimEnd() : `${message.trimEnd()}.`;
}
