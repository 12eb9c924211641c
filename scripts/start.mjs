// npm start [-- --scenario train|retrain] [-- --approve ask|all|none]: sets up, builds, brings dev, test and prod up on this
// machine and runs samples/diabetes from training through approval to production.
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { spawn } from 'node:child_process';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';
import { root, setup, run } from './lib/setup.mjs';

const { values } = parseArgs({
  options: {
    scenario: { type: 'string', default: 'train' },
    approve: { type: 'string' },
    state: { type: 'string', default: '.amlops' },
  },
});
const scenarios = { train: 'azure-pipelines.yml', retrain: 'azure-pipelines-retrain.yml' };
const pipeline = scenarios[values.scenario];
if (!pipeline) {
  console.error(`Unknown scenario '${values.scenario}'; there are ${Object.keys(scenarios).join(' and ')}.`);
  process.exit(2);
}
setup();
await (await import('./build.mjs')).build();
run(process.execPath, ['scripts/package.mjs']);

const state = join(root, values.state);
const connection = join(state, 'connection.json');
mkdirSync(state, { recursive: true });
const cli = join(root, 'bin', 'amlops.mjs');
const up = spawn(process.execPath, [cli, 'up', '--state', state, '--connection', connection], {
  cwd: root,
  stdio: ['ignore', 'pipe', 'inherit'],
  detached: process.platform !== 'win32',
});
let ended = false;
const gone = new Promise((resolve) => up.once('exit', (code, signal) => ((ended = true), resolve(code ?? signal))));
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => undefined); // the pipeline's run handles Ctrl-C; the workspace is stopped after it

let code;
try {
  await ready();
  const interactive = process.stdin.isTTY && process.stdout.isTTY;
  const approve = values.approve ?? (interactive ? 'ask' : 'all');
  if (approve === 'all') console.error('No terminal to ask at: every approval is given as "local user".');
  const sample = join('samples', 'diabetes');
  const report = join(state, 'report');
  code = await amlops(
    'run',
    join(sample, pipeline),
    '--connection',
    connection,
    '--environments',
    join(sample, 'environments.yml'),
    '--approve',
    approve,
    '--report',
    report,
  );
  console.error(`\nThe page of the run: ${relative(process.cwd(), join(report, 'index.html'))}`);
  console.error('\nWhat is in production, and why:\n');
  const why = await amlops('why', '--connection', connection, '--workspace', 'prod', '--model', 'diabetes');
  if (code === 0) code = why;
} finally {
  if (!ended) up.kill('SIGTERM');
  await gone;
}
process.exitCode = code;

/** Resolves when the workspace serves; refuses when it ends before. */
async function ready() {
  let text = '';
  await new Promise((resolve, reject) => {
    up.stdout.on('data', (chunk) => {
      text += chunk;
      const line = /^ready (\S+)/m.exec(text);
      if (line) resolve(line[1]);
    });
    void gone.then((how) => reject(new Error(`amlops up ended (${how}) before it was ready`)));
  });
  const { workspaces } = JSON.parse(readFileSync(connection, 'utf8'));
  console.error(`Azure Machine Learning on this machine: workspaces ${workspaces.map((w) => w.name).join(', ')}.`);
}

/** Runs one command of ours in the foreground; gives its exit code. */
async function amlops(...args) {
  if (!existsSync(cli)) throw new Error('bin/amlops.mjs is missing');
  const child = spawn(process.execPath, [cli, ...args], { cwd: root, stdio: 'inherit' });
  return await new Promise((resolve) => child.once('exit', (status) => resolve(status ?? 1)));
}
