/** `amlops up`: the embedded Azure ML in the foreground. */
import { mkdirSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Option, type Command } from 'commander';
import { Failure } from '../src/azure/errors.js';
import { writePrivate } from '../local/workspace/files.js';
import { ownStateFolder } from '../local/state-folder.js';
import { startWorkspace } from '../local/workspace/start.js';

interface UpOptions {
  workspaces: string;
  registry: string;
  state: string;
  port?: number;
  connection?: string;
  storage: 'keys' | 'identity';
  faults?: string;
  latency?: string;
}

function explain(error: unknown): void {
  const advice = error instanceof Failure && error.details.advice !== undefined ? `\n${error.details.advice}` : '';
  process.stderr.write(`amlops up: ${error instanceof Error ? error.message : String(error)}${advice}\n`);
}

function port(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0 || value > 65535) throw new Error(`--port: '${text}' is not a port (0 to 65535).`);
  return value;
}

async function up(options: UpOptions): Promise<void> {
  let end: (code: number) => void = () => undefined;
  const ended = new Promise<number>((done) => (end = done));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(0));
  const write = (level: string) => (message: string, error?: unknown) =>
    void process.stderr.write(
      `${level}${message}${error === undefined ? '' : `: ${error instanceof Error ? (error.stack ?? error.message) : JSON.stringify(error)}`}\n`,
    );
  ownStateFolder(options.state);
  const running = await startWorkspace({
    state: options.state,
    workspaces: options.workspaces
      .split(',')
      .map((name) => name.trim())
      .filter(Boolean),
    registry: options.registry,
    storage: options.storage,
    ...(options.port === undefined ? {} : { port: options.port }),
    ...(options.faults === undefined ? {} : { faults: options.faults }),
    ...(options.latency === undefined ? {} : { latency: options.latency }),
    log: { warn: write('warning: '), error: write('error: ') },
    onFailure: (failure) => {
      explain(failure);
      end(1);
    },
  });
  const file = resolve(options.connection ?? `${options.state}/connection.json`);
  mkdirSync(dirname(file), { recursive: true });
  writePrivate(file, `${JSON.stringify(running.connection, null, 2)}\n`);
  process.stdout.write(`ready ${running.url}\n`);
  process.exitCode = await ended;
  await running.close();
}

export function register(program: Command): void {
  program
    .command('up')
    .description('the embedded Azure ML in the foreground')
    .option(
      '--workspaces <names>',
      'workspaces, separated by commas; name@region for one elsewhere than the registry',
      'dev,test,prod',
    )
    .option('--registry <name>', 'registry that the workspaces share', 'shared')
    .option('--state <dir>', 'folder that keeps everything', '.amlops')
    .option('--port <n>', 'port to serve on (default: the last one, else a free one)', port)
    .option('--connection <file>', 'where to write connection.json (default: in the state folder)')
    .addOption(
      new Option('--storage <mode>', 'account keys and SAS, or Entra tokens only (of workspaces that are made now)')
        .choices(['keys', 'identity'])
        .default('keys'),
    )
    .option('--faults <spec>', 'inject faults, e.g. seed=7,rate=0.1,kinds=429+503 (docs/workspace.md)')
    .option('--latency <spec>', 'slow state transitions, e.g. states=2,Queued=5 (docs/workspace.md)')
    .action(async (options: UpOptions) => {
      try {
        await up(options);
      } catch (error) {
        if (process.env['AMLOPS_TRACE'] && error instanceof Error) process.stderr.write(`${error.stack ?? ''}\n`);
        explain(error);
        process.exitCode = 1;
      }
      // Sockets of clients that never close must not keep the process.
      setTimeout(() => process.exit(), 2000).unref();
    });
}
