// npm run check: types, lint, format and the rules of the house.
import { root, setup, run } from './lib/setup.mjs';
import { join } from 'node:path';

setup();
const bin = (name) => join(root, 'node_modules', name);
run(process.execPath, [bin('typescript/bin/tsc'), '-p', '.']);
run(process.execPath, [
  bin('eslint/bin/eslint.js'),
  '.',
  '--max-warnings',
  '0',
  '--cache',
  '--cache-location',
  'node_modules/.cache/eslint',
]);
run(process.execPath, [bin('prettier/bin/prettier.cjs'), '--check', '--log-level', 'warn', '.']);
run(process.execPath, [bin('mocha/bin/mocha.js'), 'tests/house/**/*.test.ts']);
