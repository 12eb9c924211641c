// The bare work of an upload, as a process of its own: read every file of a folder and PUT it, 16 at a time, over kept connections.
// Usage: node raw_upload.mjs FOLDER CONTAINER_URL CA_FILE   (the container's signature, as an upload of code gets one, in RAW_SAS)
import { readdirSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Agent, request } from 'node:https';
import { join, relative } from 'node:path';

const [folder, url, ca] = process.argv.slice(2);
const width = 16;
const agent = new Agent({ keepAlive: true, maxSockets: width, ca: readFileSync(ca) });
const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map((entry) => join(entry.parentPath ?? entry.path, entry.name));
const lookup = (_name, options, done) =>
  options.all ? done(null, [{ address: '127.0.0.1', family: 4 }]) : done(null, '127.0.0.1', 4);

async function put(file) {
  const body = await readFile(file);
  const headers = {
    'x-ms-version': '2023-11-03',
    'x-ms-date': new Date().toUTCString(),
    'x-ms-blob-type': 'BlockBlob',
    'Content-Length': body.length,
  };
  await new Promise((resolve, reject) => {
    const sent = request(
      `${url}/${relative(folder, file)}?${process.env.RAW_SAS}`,
      { method: 'PUT', agent, headers, lookup },
      (reply) => {
        reply.resume();
        reply.on('end', () => (reply.statusCode === 201 ? resolve() : reject(new Error(`PUT ${file}: ${reply.statusCode}`))));
      },
    );
    sent.on('error', reject);
    sent.end(body);
  });
}

let next = 0;
await Promise.all(
  Array.from({ length: width }, async () => {
    for (let at = next++; at < files.length; at = next++) await put(files[at]);
  }),
);
agent.destroy();
