#!/usr/bin/env node
// Starts the built command line, or says what to run first. No dependencies: it must work on a bare clone.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  console.error(`amlops needs Node.js 20.19 or newer; this is ${process.versions.node}.`);
  process.exit(2);
}
const root = dirname(dirname(fileURLToPath(import.meta.url)));
const entry = join(root, 'dist', 'cli', 'amlops.js');
if (!existsSync(entry)) {
  console.error(
    'amlops is not built yet. Run this first, in ' +
      root +
      ':\n  npm run setup && npm run build\n(`npm start` does both and runs the sample.)',
  );
  process.exit(2);
}
await import(pathToFileURL(entry).href);
