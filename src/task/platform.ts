/**
 * The seam between a task and the agent. Everything a task knows of the outside comes through `Platform`; the agent's
 * adapter (src/task/agent-platform.ts) is the only importer of azure-pipelines-task-lib, tests use tests/support/fake-platform.ts.
 */
import type { Clock } from '../azure/types.js';

/** Result words of the agent (reference task-contract B.6.2: case-sensitive). A cancelled task says nothing: the agent does. */
export type TaskResult = 'Succeeded' | 'SucceededWithIssues' | 'Failed';

export interface Issue {
  type: 'error' | 'warning';
  message: string;
  /** Path below the repository's root, `/` between folders. */
  sourcePath?: string;
  line?: number;
  column?: number;
  code?: string;
}

/** A service connection as the agent hands it over; names of parameters and data are lower-case. */
export interface ServiceEndpoint {
  id: string;
  url: string;
  scheme: string;
  parameters: Readonly<Record<string, string>>;
  data: Readonly<Record<string, string>>;
}

export type { Clock };

export interface Platform {
  /** An input after the agent's macro expansion, trimmed; undefined when empty. An unexpanded `$(x)` is left for the input parser to refuse. */
  input(name: string): string | undefined;
  /** A filePath input; undefined when the user gave none (the agent turns empty into the repository's root). */
  pathInput(name: string): string | undefined;
  /** A pipeline variable by its dotted name, e.g. `Build.BuildId`. */
  variable(name: string): string | undefined;
  endpoint(id: string): ServiceEndpoint | undefined;
  /** Masks a value in every later line. Called the moment a token, SAS or key is received. */
  secret(value: string): void;

  /** One line of our own text. Neutralises logging commands in it all the same: our text quotes foreign text. */
  info(line: string): void;
  debug(line: string): void;
  warn(message: string): void;
  /** A line of foreign text (a job's log). Never becomes a command. */
  foreign(line: string): void;
  /** Resolves when the agent has taken what was printed, or cancels: who prints without an end waits for it, for the stream keeps what nobody takes. */
  taken(): Promise<void>;
  group<T>(title: string, body: () => Promise<T>): Promise<T>;
  beginGroup(title: string): void;
  endGroup(): void;
  issue(issue: Issue): void;
  progress(percent: number, text: string): void;

  output(name: string, value: string, options?: { secret?: boolean }): void;
  /** Attachment of the run; the file stays until the job ends. */
  attach(type: string, name: string, path: string): void;
  /** Markdown shown in the run's summary. */
  summary(path: string): void;
  buildTag(tag: string): void;
  publishJUnit(path: string, title: string): void;

  /** Agent.TempDirectory: the place for files that attachments and summaries need. */
  readonly temp: string;
  /** Aborts when the agent cancels (SIGINT, SIGTERM). */
  readonly cancelled: AbortSignal;
  readonly clock: Clock;
}

/** What a task's `run` gives back; the host turns it into the one `task.complete`. */
export interface Outcome {
  result: TaskResult;
  /** Said as the reason when Failed, as the closing line otherwise. */
  message?: string;
}
