/** A client certificate for tests: itself, its authority, its key (also encrypted, also as an archive). */
import 'reflect-metadata';
import { execFileSync } from 'node:child_process';
import { createPrivateKey, webcrypto } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';

export interface ClientCertificate {
  ca: string;
  cert: string;
  key: string;
  locked(password: string): string;
}

/** Vouches for itself. `rsa`: for sign-in at Microsoft Entra. */
export async function clientCertificate(
  options: { rsa?: boolean; notBefore?: Date; notAfter?: Date } = {},
): Promise<ClientCertificate> {
  const algorithm = options.rsa
    ? { name: 'RSASSA-PKCS1-v1_5', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]), hash: 'SHA-256' }
    : { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=agent',
    notBefore: options.notBefore ?? new Date('2020-01-01'),
    notAfter: options.notAfter ?? new Date('2040-01-01'),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const key = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const text = (passphrase?: string) =>
    key.export({ type: 'pkcs8', format: 'pem', ...(passphrase ? { cipher: 'aes-256-cbc', passphrase } : {}) }).toString();
  const cert = certificate.toString('pem');
  return { ca: cert, cert, key: text(), locked: text };
}

/** PKCS 12, where this machine has openssl; else undefined, and said so. */
export async function clientArchive(
  folder: string,
  certificate: string,
  key: string,
  password: string,
): Promise<string | undefined> {
  const file = join(folder, 'client.pfx');
  try {
    const args = ['pkcs12', '-export', '-in', certificate, '-inkey', key, '-out', file, '-passout', `pass:${password}`];
    execFileSync('openssl', args, { stdio: 'pipe' });
  } catch (error) {
    console.log(`      (no archive: ${(error as Error).message.split('\n')[0]})`);
  }
  return existsSync(file) ? file : undefined;
}
