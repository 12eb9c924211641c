import { setup } from './lib/setup.mjs';

setup();
console.error('Ready. Next: npm run build, npm start, npm test.');
