/** What a person sees of a run: a live tree on a terminal, plain lines elsewhere. Foreign text never reaches the terminal raw. */
import type { Writable } from 'node:stream';
import pc from 'picocolors';
import type { RunObserver, TreeNode } from './types.js';

/** Control characters and escape sequences are taken out of text that is not ours. */
export function plainText(text: string): string {
  return text
    .replace(/\u001b\[[0-9;?]*[ -/]*[@-~]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)|\u001b[@-_]/g, '')
    .replace(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, '');
}

export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  return minutes < 60
    ? `${minutes}m ${String(seconds % 60).padStart(2, '0')}s`
    : `${Math.floor(minutes / 60)}h ${String(minutes % 60).padStart(2, '0')}m`;
}

const marks: Record<string, string> = {
  Succeeded: pc.green('✓'),
  SucceededWithIssues: pc.yellow('!'),
  Failed: pc.red('✗'),
  Canceled: pc.yellow('■'),
  Skipped: pc.dim('-'),
  Abandoned: pc.red('?'),
};

interface Entry extends TreeNode {
  depth: number;
  began?: number;
  ended?: number;
  result?: string;
  waiting?: string;
  detail?: string;
}

/** Plain lines: one event a line, logs indented below. `logs: false` leaves the steps' lines out. */
export class PlainConsole implements RunObserver {
  readonly #began = new Map<string, number>();
  readonly #titles = new Map<string, TreeNode>();

  constructor(
    private readonly out: Writable,
    private readonly logs: boolean,
  ) {}

  message(text: string): void {
    this.#write(text);
  }
  warning(text: string): void {
    this.#write(`warning: ${text}`);
  }
  started(node: TreeNode): void {
    const known = this.#titles.has(node.id);
    this.#titles.set(node.id, node);
    if (!known || !this.#began.has(node.id)) this.#began.set(node.id, Date.now());
    if (!known) this.#write(`${this.#indent(node)}> ${this.#name(node)}`);
  }
  waiting(node: TreeNode, what: string): void {
    this.#write(`${this.#indent(node)}  waits for ${plainText(what)}`);
  }
  ended(node: TreeNode, result: string, detail?: string): void {
    const began = this.#began.get(node.id);
    const took = began === undefined ? '' : ` in ${duration(Date.now() - began)}`;
    const said = plainText(detail ?? '').split('\n')[0] ?? '';
    // The conditions of templates are long; the page of the run has them whole.
    const short = result === 'Skipped' && said.length > 160 ? `${said.slice(0, 159)}…` : said;
    this.#write(`${this.#indent(node)}${result}: ${this.#name(node)}${took}${short ? ` (${short})` : ''}`);
  }
  line(node: TreeNode, text: string): void {
    if (this.logs) this.#write(`${this.#indent(node)}  | ${plainText(text)}`);
  }
  issue(node: TreeNode, type: 'error' | 'warning', text: string): void {
    if (!this.logs) this.#write(`${this.#indent(node)}  ${type}: ${plainText(text)}`);
  }

  #indent({ kind }: TreeNode): string {
    return { stage: '', check: '  ', job: '  ', step: '    ' }[kind];
  }
  #name({ kind, title }: TreeNode): string {
    return `${kind} ${plainText(title)}`;
  }
  #write(text: string): void {
    this.out.write(`${new Date().toISOString().slice(11, 19)} ${text}\n`);
  }
}

const kept = 25;

/** The tree of stages, jobs and steps, drawn again as it changes. Logs of failed steps are printed above it. */
export class LiveConsole implements RunObserver {
  readonly #entries: Entry[] = [];
  readonly #tails = new Map<string, string[]>();
  #drawn = 0;
  #paused = 0;
  readonly #timer: NodeJS.Timeout;

  constructor(private readonly out: NodeJS.WriteStream) {
    this.#timer = setInterval(() => this.#draw(), 250);
    this.#timer.unref();
  }

  message(text: string): void {
    this.#above(text);
  }
  warning(text: string): void {
    this.#above(`${pc.yellow('warning:')} ${text}`);
  }
  started(node: TreeNode): void {
    const entry = this.#entry(node);
    entry.began ??= Date.now();
    delete entry.waiting;
  }
  waiting(node: TreeNode, what: string): void {
    this.#entry(node).waiting = what;
  }
  ended(node: TreeNode, result: string, detail?: string): void {
    const entry = this.#entry(node);
    Object.assign(entry, { result, ended: Date.now(), ...(detail ? { detail } : {}) });
    delete entry.waiting;
    if (node.kind === 'step' && result === 'Failed') {
      const tail = this.#tails.get(node.id) ?? [];
      this.#above(`${pc.red('✗')} ${plainText(node.title)}\n${tail.map((line) => `  ${pc.dim('|')} ${line}`).join('\n')}`);
    }
    this.#tails.delete(node.id);
  }
  line(node: TreeNode, text: string): void {
    const tail = this.#tails.get(node.id) ?? [];
    tail.push(plainText(text));
    if (tail.length > kept) tail.shift();
    this.#tails.set(node.id, tail);
  }
  issue(): void {
    return; // the tail of a failed step has it
  }

  /** Leaves the terminal to somebody else (a question) while `body` runs. */
  async pause<T>(body: () => Promise<T>): Promise<T> {
    this.#draw();
    this.#drawn = 0;
    this.#paused += 1;
    try {
      return await body();
    } finally {
      this.#paused -= 1;
    }
  }

  /** The last picture stays. */
  close(): void {
    clearInterval(this.#timer);
    this.#draw(true);
    this.#paused = Infinity;
  }

  #entry(node: TreeNode): Entry {
    const known = this.#entries.find(({ id }) => id === node.id);
    if (known) return known;
    const parent = this.#entries.findIndex(({ id }) => id === node.parent);
    const entry: Entry = { ...node, depth: parent < 0 ? 0 : (this.#entries[parent]?.depth ?? 0) + 1 };
    let at = parent < 0 ? this.#entries.length : parent + 1;
    while (parent >= 0 && at < this.#entries.length && (this.#entries[at]?.depth ?? 0) > (this.#entries[parent]?.depth ?? 0))
      at += 1;
    this.#entries.splice(at, 0, entry);
    return entry;
  }

  #above(text: string): void {
    if (this.#paused === 0) this.#erase();
    this.out.write(`${text}\n`);
    if (this.#paused === 0) this.#draw();
  }

  #erase(): void {
    if (this.#drawn > 0) this.out.write(`\u001b[${this.#drawn}A\u001b[J`);
    this.#drawn = 0;
  }

  #draw(all = false): void {
    if (this.#paused > 0) return;
    // A terminal that does not know its size says 0. The last picture is cut nowhere: reasons are read there.
    const width = all ? Infinity : Math.max(20, (this.out.columns || 80) - 1);
    const height = all ? Infinity : Math.max(5, (this.out.rows || 24) - 2);
    let lines = this.#visible(all).map((entry) => this.#line(entry, width));
    if (lines.length > height) lines = lines.slice(-height);
    this.#erase();
    this.out.write(lines.map((line) => `${line}\n`).join(''));
    this.#drawn = all ? 0 : lines.length;
  }

  /** Steps are shown while their stage runs, and where something went wrong. */
  #visible(all: boolean): Entry[] {
    const open = new Set(this.#entries.filter(({ depth, ended }) => depth === 0 && ended === undefined).map(({ id }) => id));
    let stage = '';
    return this.#entries.filter((entry) => {
      if (entry.depth === 0) stage = entry.id;
      const bad = entry.result !== undefined && !['Succeeded', 'Skipped'].includes(entry.result);
      return entry.depth < 2 || bad || (!all && open.has(stage));
    });
  }

  #line(entry: Entry, width: number): string {
    const mark = entry.result ? (marks[entry.result] ?? '?') : entry.waiting ? pc.yellow('…') : pc.cyan('•');
    const took = entry.began === undefined ? '' : duration((entry.ended ?? Date.now()) - entry.began);
    const note = entry.waiting ? ` waits for ${entry.waiting}` : entry.detail ? ` ${entry.detail.split('\n')[0]}` : '';
    const text = plainText(`${entry.title}${took ? `  ${took}` : ''}${note}`);
    const indent = '  '.repeat(entry.depth);
    const room = width - indent.length - 2;
    return `${indent}${mark} ${text.length > room ? `${text.slice(0, room - 1)}…` : text}`;
  }
}
