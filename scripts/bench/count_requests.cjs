// Preloaded into a task: counts what it sends (signing in aside, as the figures of azure-ai-ml do), and says so at its end.
const https = require('node:https');
const send = https.request;
let requests = 0;
let puts = 0;
https.request = function (...args) {
  const options = args.find((one) => one && typeof one === 'object' && !(one instanceof URL));
  if (!String(options?.path).includes('/oauth2/')) requests += 1;
  if (options?.method === 'PUT' && /\.blob\./.test(String(options.hostname ?? options.host ?? ''))) puts += 1;
  return send.apply(this, args);
};
process.on('exit', () => process.stderr.write(`\ncounted ${requests} requests, ${puts} writes to storage\n`));
