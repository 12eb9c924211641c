/** Who answers approvals on this machine: the person at the terminal, everybody, or nobody. */
import { createInterface, type Interface } from 'node:readline';
import { duration, plainText } from './console.js';
import type { ApprovalAnswer, ApprovalQuestion, Approver, RunObserver } from './types.js';

const localUser = 'local user';

/** Every approval is given at once, as the local user, and said so. */
export function approveAll(observer: RunObserver): Approver {
  return (question) => {
    observer.message(`Approved ${describe(question)} as '${localUser}' (--approve all).`);
    return Promise.resolve({ status: 'approved', comment: 'approved by --approve all', by: localUser });
  };
}

/** Nothing is approved: every approval is rejected at once. */
export function approveNone(observer: RunObserver): Approver {
  return (question) => {
    observer.message(`Rejected ${describe(question)} (--approve none).`);
    return Promise.resolve({ status: 'rejected', comment: 'rejected by --approve none', by: localUser });
  };
}

function describe({ resource, stageDisplayName }: ApprovalQuestion): string {
  return `${resource.type} ${plainText(resource.name)} for stage '${plainText(stageDisplayName)}'`;
}

interface Terminal {
  input: NodeJS.ReadableStream;
  output: NodeJS.WritableStream;
  /** Runs the body while nothing else writes to the terminal. */
  exclusive<T>(body: () => Promise<T>): Promise<T>;
}

/**
 * Asks on a terminal, or on lines that are piped in; one question at a time. When the input ends, nobody can answer: what is asked is
 * rejected, with that reason, and never approved.
 */
export function askApprover(terminal: Terminal, observer: RunObserver): Approver & { close(): void } {
  let turn: Promise<unknown> = Promise.resolve();
  let lines: Lines | undefined;
  const ask = async (question: ApprovalQuestion): Promise<ApprovalAnswer | undefined> => {
    const mine = turn.then(async () => {
      if (question.signal.aborted) return undefined;
      lines ??= new Lines(terminal.input);
      const reader = lines;
      return await terminal.exclusive(() => converse(reader, terminal.output, question));
    });
    turn = mine.catch(() => undefined);
    const answer = await mine;
    if (answer?.comment === ended)
      observer.warning(
        `Nobody is there to answer for ${describe(question)}: rejected. Use --approve all to approve without a terminal.`,
      );
    return answer;
  };
  return Object.assign(ask, { close: () => lines?.close() });
}

const ended = 'nobody was there to answer';

async function converse(
  lines: Lines,
  output: NodeJS.WritableStream,
  question: ApprovalQuestion,
): Promise<ApprovalAnswer | undefined> {
  const { approval, check, summaries, signal } = question;
  const approvers = approval.steps.map(({ assignedApprover }) => assignedApprover.displayName).join(', ');
  const text = summaries.map(({ stage, text: summary }) => `--- ${stage}\n${summary.trim()}\n`).join('\n');
  output.write(`\n${text ? `${clean(text)}\n` : ''}`);
  output.write(`Approval needed: ${describe(question)}\n`);
  output.write(`  asked: ${plainText(approvers)}; time-out: ${duration(check.timeout * 60_000)}\n`);
  if (approval.instructions) output.write(`  ${clean(approval.instructions)}\n`);
  for (;;) {
    output.write('Approve? [y]es, [n]o, [b]ypass; a comment may follow: ');
    const line = await lines.next(signal);
    if (line === undefined && signal.aborted) {
      output.write('\n(answered elsewhere, or no longer needed)\n');
      return undefined;
    }
    if (line === undefined) return { status: 'rejected', comment: ended, by: localUser };
    const [, word = '', comment = ''] = /^\s*(\S*)\s*(.*)$/.exec(line) ?? [];
    const status = (
      { y: 'approved', yes: 'approved', n: 'rejected', no: 'rejected', b: 'bypassed', bypass: 'bypassed' } as const
    )[word.toLowerCase() as 'y'];
    if (status) return { status, comment: comment.trim(), by: localUser };
    output.write(word ? `'${plainText(word)}' is no answer.\n` : 'Nothing was answered.\n');
  }
}

const clean = (text: string): string => text.split('\n').map(plainText).join('\n');

/** Lines of a stream, one reader at a time; nothing is lost between questions. */
class Lines {
  readonly #interface: Interface;
  readonly #read: string[] = [];
  #waiting: ((line: string | undefined) => void) | undefined;
  #closed = false;

  constructor(input: NodeJS.ReadableStream) {
    this.#interface = createInterface({ input, terminal: false });
    this.#interface.on('line', (line) => {
      if (this.#waiting) this.#answer(line);
      else this.#read.push(line);
    });
    this.#interface.on('close', () => {
      this.#closed = true;
      this.#answer(undefined);
    });
  }

  /** The next line; undefined when the input has ended or the signal aborts. */
  async next(signal: AbortSignal): Promise<string | undefined> {
    const line = this.#read.shift();
    if (line !== undefined || this.#closed) return line;
    return await new Promise((resolve) => {
      const stop = (): void => this.#answer(undefined);
      this.#waiting = (answer) => {
        signal.removeEventListener('abort', stop);
        resolve(answer);
      };
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
    });
  }

  close(): void {
    this.#interface.close();
  }

  #answer(line: string | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.(line);
  }
}
