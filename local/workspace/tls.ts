/** The server certificate of the workspace and its blob service, signed by the state folder's own authority (local/tls.ts). */
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivate } from './files.js';

export interface Certificates {
  /** PEM files. */
  caFile: string;
  certFile: string;
  keyFile: string;
}

const day = 86_400_000;

/** Names that clients use: ours, the blob hosts, and the registry host that azure-ai-ml writes by itself. */
const names = ['localhost', '*.localhost', '*.blob.core.localhost', '*.experiments.azureml.net', '127.0.0.1', '::1'];

function valid(files: Certificates): boolean {
  if (!existsSync(files.caFile) || !existsSync(files.certFile) || !existsSync(files.keyFile)) return false;
  try {
    const soon = Date.now() + 30 * day;
    const certificate = new X509Certificate(readFileSync(files.certFile));
    const authority = new X509Certificate(readFileSync(files.caFile));
    return (
      Date.parse(certificate.validTo) > soon && Date.parse(authority.validTo) > soon && certificate.verify(authority.publicKey)
    );
  } catch (_error) {
    return false; // Unreadable: made anew.
  }
}

/** Makes what is missing or about to expire in `folder`; else gives what is there. */
export async function certificates(folder: string): Promise<Certificates> {
  const files = { caFile: join(folder, 'ca.pem'), certFile: join(folder, 'server.pem'), keyFile: join(folder, 'server.key') };
  if (valid(files)) return files;
  // Loaded only when a certificate is made: most starts find theirs.
  const { authority } = await import('../tls.js');
  const leaf = await (await authority(folder)).issue(names);
  writePrivate(files.keyFile, leaf.key);
  writePrivate(files.certFile, leaf.cert);
  return files;
}
