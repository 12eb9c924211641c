/** Azurite in a process of its own, as it is or tuned: `node --import tsx azurite-child.ts FOLDER plain|tuned`. Sends its port to the parent. */
import { createRequire } from 'node:module';
import { tuneAzurite } from '../../local/workspace/storage/azurite-tuning.js';

interface BlobServer {
  httpServer: { address(): { port: number } };
  start(): Promise<void>;
  close(): Promise<void>;
}

const [folder = '', how] = process.argv.slice(2);
const require = createRequire(import.meta.url);
const azurite = createRequire(require.resolve('azurite/package.json'));
if (how === 'tuned') tuneAzurite(azurite, () => performance.now());
type Class<T> = { default: new (...options: unknown[]) => T };
const { default: Configuration } = azurite('./dist/src/blob/BlobConfiguration') as Class<object>;
const { default: Service } = azurite('./dist/src/blob/BlobServer') as Class<BlobServer>;
const persistence = [{ locationId: 'Default', locationPath: `${folder}/blobs`, maxConcurrency: 50 }];
const files = [`${folder}/index.json`, `${folder}/extents.json`];
const server = new Service(
  new Configuration('127.0.0.1', 0, 60, ...files, persistence, false, undefined, false, undefined, true),
);
await server.start();
process.send?.(server.httpServer.address().port);
process.once('message', () => void server.close().then(() => process.exit(0)));
