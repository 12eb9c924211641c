/** The one error of this room: what is wrong with what was asked, in words for a user. Tasks and the CLI turn it into their own. */
interface RefusalDetails {
  /** Short machine word, e.g. `GateInvalid`, `StalePromotion`, `PlanChanged`. */
  code: string;
  /** What to do about it. */
  advice?: string;
  /** Task input it stands in. */
  input?: string;
  file?: string;
  /** 1-based, in the text of the input or file. */
  line?: number;
  column?: number;
  cause?: unknown;
}

export class Refusal extends Error {
  readonly code: string;
  readonly details: Readonly<RefusalDetails>;
  constructor(message: string, details: RefusalDetails) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'Refusal';
    this.code = details.code;
    this.details = details;
  }
}
