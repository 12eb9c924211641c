/** What one step has said so far: issues, result, outputs; and what is still to be done for it at the end of the step or of the job. */
import type { AgentJob } from './job.js';
import type { TaskDefinition } from './task-definition.js';
import type { StepIssue, StepResult, TaskRunResult } from './types.js';

/** Issues of each type that are kept on the record (B.6.2). */
const keptIssues = 10;

const emptyResult = (): TaskRunResult => ({
  result: 'Succeeded',
  issues: [],
  issueCounts: { error: 0, warning: 0 },
  outputVariables: {},
  variables: {},
  attachments: [],
  summaries: [],
  uploads: [],
  artifacts: [],
  testResults: [],
  buildTags: [],
  timeline: [],
  exitCode: null,
  killedBy: null,
  durationMs: 0,
  attempts: 0,
  commands: {},
  problems: [],
});

export class StepState {
  readonly result = emptyResult();
  /** Result by task.complete and exit code. */
  outcome: StepResult | undefined;
  /** A command went wrong: the step fails whatever it says (CommandResult in the agent; a retry does not reset it). */
  commandFailed = false;
  /** `task.complete done=true` was said. */
  done: (() => void) | undefined;
  dropOutput = false;
  readonly taskVariables = new Map<string, { value: string; isReadOnly: boolean }>();

  constructor(
    readonly job: AgentJob,
    readonly definition: TaskDefinition | undefined,
    /** `name:` of the step. */
    readonly step: string,
    readonly keepFolder: string,
    private readonly print: (line: string) => void,
  ) {}

  get debugging(): boolean {
    return this.job.variables.get('system.debug')?.value.toLowerCase() === 'true';
  }

  log(line: string): void {
    this.print(line);
  }

  issue(issue: StepIssue): void {
    const { masker } = this.job;
    const shown = { ...issue, message: masker.mask(issue.message) };
    if (issue.sourcepath !== undefined) shown.sourcepath = masker.mask(issue.sourcepath);
    if (issue.code !== undefined) shown.code = masker.mask(issue.code);
    const counts = this.result.issueCounts;
    counts[issue.type] += 1;
    if (counts[issue.type] <= keptIssues) this.result.issues.push(shown);
    for (const [index, line] of issue.message.split(/\r\n|\r|\n/).entries())
      this.print(index ? line : `##[${issue.type}]${line}`);
  }

  warn(message: string): void {
    this.issue({ type: 'warning', message });
  }

  error(message: string): void {
    this.issue({ type: 'error', message });
  }

  /** Records that the step left open end with it, as successes. */
  closeTimeline(): void {
    for (const record of this.result.timeline) {
      record.state = 'Completed';
      record.result ??= 'Succeeded';
      record.progress ??= 100;
    }
  }

  /** Something that a real agent lets pass: fails the run here. */
  problem(message: string): void {
    if (this.result.problems.includes(message)) return;
    this.result.problems.push(message);
    this.issue({ type: 'error', message, code: 'AgentHarness' });
  }
}
