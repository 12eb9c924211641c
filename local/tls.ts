/** Certificates of the local servers: one authority a state folder, made once; leaves are made when a server starts. */
import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import type * as X509 from '@peculiar/x509';

export interface Leaf {
  /** PEM: the leaf, then the authority. */
  cert: string;
  /** PEM, PKCS8. */
  key: string;
}

interface Authority {
  /** The authority's certificate: PEM text and the file to name in `NODE_EXTRA_CA_CERTS`, `REQUESTS_CA_BUNDLE`, `ca`. */
  pem: string;
  file: string;
  /** A server certificate for DNS names (`*.blob.core.localhost` too) and IP addresses. */
  issue(names: string[]): Promise<Leaf>;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const day = 24 * 3600_000;

async function library(): Promise<typeof X509> {
  return await import('@peculiar/x509');
}

/**
 * The authority of `folder`: `ca.pem` and `ca-key.pem`, made when they are not there. A second process that makes them at the same
 * moment ends with the same pair, because both read back what won.
 */
export async function authority(folder: string): Promise<Authority> {
  const file = join(folder, 'ca.pem');
  const keyFile = join(folder, 'ca-key.pem');
  if (!existsSync(file) || !existsSync(keyFile)) await makeAuthority(folder, file, keyFile);
  const pem = await readFile(file, 'utf8');
  const keyPem = await readFile(keyFile, 'utf8');
  return { pem, file, issue: (names) => issue(pem, keyPem, names) };
}

async function makeAuthority(folder: string, file: string, keyFile: string): Promise<void> {
  const x509 = await library();
  await mkdir(folder, { recursive: true });
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=amlops local authority ${randomBytes(4).toString('hex')}`,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 3650 * day),
    keys: keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  // The key first: a certificate that is there always has its key.
  await replace(keyFile, await exportKey(keys.privateKey), 0o600);
  await replace(file, certificate.toString('pem') + '\n', 0o644);
}

async function issue(caPem: string, caKeyPem: string, names: string[]): Promise<Leaf> {
  const x509 = await library();
  const ca = new x509.X509Certificate(caPem);
  const caKey = await webcrypto.subtle.importKey('pkcs8', fromPem(caKeyPem), algorithm, false, ['sign']);
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: `CN=${names[0] ?? 'localhost'}`,
    issuer: ca.subject,
    notBefore: new Date(Date.now() - day),
    notAfter: new Date(Date.now() + 800 * day),
    publicKey: keys.publicKey,
    signingKey: caKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) ? ('ip' as const) : ('dns' as const), value })),
      ),
      await x509.AuthorityKeyIdentifierExtension.create(ca),
    ],
  });
  return { cert: certificate.toString('pem') + '\n' + caPem, key: await exportKey(keys.privateKey) };
}

function serial(): string {
  const bytes = randomBytes(16);
  bytes[0] = (bytes[0] ?? 0) & 0x7f;
  return bytes.toString('hex');
}

async function exportKey(key: webcrypto.CryptoKey): Promise<string> {
  const base64 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${base64.match(/.{1,64}/g)?.join('\n') ?? ''}\n-----END PRIVATE KEY-----\n`;
}

function fromPem(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64');
}

async function replace(path: string, text: string, mode: number): Promise<void> {
  const aside = `${path}.${randomBytes(6).toString('hex')}`;
  await writeFile(aside, text, { mode });
  await rename(aside, path);
}
