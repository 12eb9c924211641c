/** The lint rules of the rooms that run on every agent catch what they are there for. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { Linter } from 'eslint';

const root = join(import.meta.dirname, '..', '..');

/** Each is one violation. */
const wrong = [
  "import { chmod } from 'node:fs/promises';",
  "import { symlinkSync } from 'fs';",
  "import fs from 'node:fs'; fs.chmodSync('a', 1);",
  "import fs from 'node:fs'; await fs.promises.lchown('a', 1, 1);",
  "import { execFile } from 'node:child_process';",
  "export const late = await import('node:child_process');",
  "import cluster from 'cluster';",
  "import { posix } from 'node:path';",
  "import path from 'node:path/posix';",
  "import path from 'path'; export const joined = path.posix.join('a');",
  "export const folder = '/tmp/x';",
  "export const folder = '/tmp';",
  'export const folder = (name) => `/dev/${name}`;',
  'export const user = process.getuid();',
  "process.kill(1, 'SIGKILL');",
  'process.umask(0);',
  'export const home = process.env.HOME;',
  "export const home = process.env['HOME'];",
  "export const file = new URL('x', import.meta.url).pathname;",
  "await fetch('x');",
  "await globalThis.fetch('x');",
  "console.log('x');",
];

const right = [
  "import path, { join } from 'node:path'; export const file = path.join(join('a', 'b'), path.sep);",
  "import { readFileSync } from 'node:fs'; export const text = readFileSync('a', 'utf8');",
  "export const id = '/subscriptions/x/resourceGroups/y';",
  'export const host = new URL(address).pathname;',
  "export const url = '/variables'; process.on('SIGINT', stop);",
];

describe('lint rules of tasks and src', () => {
  let problems: (code: string) => string[];
  before(async () => {
    const config = (await import(pathToFileURL(join(root, 'eslint.config.mjs')).href)) as { agentRules: Linter.RulesRecord };
    const linter = new Linter();
    problems = (code) => linter.verify(code, { rules: config.agentRules }).map(({ message }) => message);
  });

  it('refuse what is not the same on Linux, Windows and macOS', () => {
    for (const code of wrong) assert.equal(problems(code).length, 1, `${code}: ${problems(code).join()}`);
  });

  it('leave alone what is', () => {
    for (const code of right) assert.deepEqual(problems(code), [], code);
  });
});
