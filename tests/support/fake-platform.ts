/** The platform of unit tests: inputs in, everything a task said out. No module is mocked. */
import { setMaxListeners } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Clock, Issue, Platform, ServiceEndpoint } from '../../src/task/platform.js';

/** A clock that moves only when somebody sleeps. */
export class FakeClock implements Clock {
  constructor(public time = Date.parse('2026-01-01T00:00:00Z')) {}
  now(): number {
    return this.time;
  }
  date(): number {
    return this.time;
  }
  async sleep(ms: number, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    this.time += ms;
    await new Promise((resolve) => setImmediate(resolve));
    signal?.throwIfAborted();
  }
}

export class FakePlatform implements Platform {
  readonly lines: string[] = [];
  readonly foreignLines: string[] = [];
  readonly warnings: string[] = [];
  readonly issues: Issue[] = [];
  readonly outputs: Record<string, string> = {};
  readonly secrets = new Set<string>();
  readonly attachments: { type: string; name: string; path: string }[] = [];
  readonly summaries: string[] = [];
  readonly tags: string[] = [];
  readonly junit: { path: string; title: string }[] = [];
  readonly progressed: { percent: number; text: string }[] = [];
  readonly temp = mkdtempSync(join(tmpdir(), 'amlops-fake-'));
  readonly abort = new AbortController();
  readonly cancelled = this.abort.signal;
  readonly clock = new FakeClock();

  constructor(
    readonly inputs: Record<string, string> = {},
    readonly variables: Record<string, string> = {},
    readonly endpoints: Record<string, ServiceEndpoint> = {},
  ) {
    setMaxListeners(0, this.cancelled); // as the host's: each request listens
  }

  input(name: string): string | undefined {
    return this.inputs[name]?.trim() || undefined;
  }
  pathInput(name: string): string | undefined {
    return this.input(name);
  }
  variable(name: string): string | undefined {
    const wanted = name.toLowerCase();
    return Object.entries(this.variables).find(([key]) => key.toLowerCase() === wanted)?.[1];
  }
  endpoint(id: string): ServiceEndpoint | undefined {
    return this.endpoints[id];
  }
  secret(value: string): void {
    this.secrets.add(value);
  }
  info(line: string): void {
    this.lines.push(line);
  }
  debug(): void {
    return;
  }
  warn(message: string): void {
    this.warnings.push(message);
  }
  async taken(): Promise<void> {
    // A test reads all.
  }

  foreign(line: string): void {
    this.foreignLines.push(line);
  }
  async group<T>(title: string, body: () => Promise<T>): Promise<T> {
    this.beginGroup(title);
    try {
      return await body();
    } finally {
      this.endGroup();
    }
  }
  beginGroup(title: string): void {
    this.lines.push(`[group] ${title}`);
  }
  endGroup(): void {
    this.lines.push('[endgroup]');
  }
  issue(issue: Issue): void {
    this.issues.push(issue);
  }
  progress(percent: number, text: string): void {
    this.progressed.push({ percent, text });
  }
  output(name: string, value: string): void {
    this.outputs[name] = value;
  }
  attach(type: string, name: string, path: string): void {
    this.attachments.push({ type, name, path });
  }
  summary(path: string): void {
    this.summaries.push(path);
  }
  buildTag(tag: string): void {
    this.tags.push(tag);
  }
  publishJUnit(path: string, title: string): void {
    this.junit.push({ path, title });
  }
}
