// npm run setup: installs the locked packages. `--stamp` takes the installed ones as they are (after `npm install PACKAGE`).
import { setup } from './lib/setup.mjs';

setup({ stampOnly: process.argv.includes('--stamp') });
console.error('Ready. Next: npm run build, npm start, npm test.');
