/** A certificate authority of our own, made on first start, and the server certificate that it signed. */
import { randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { writePrivate } from './files.js';

export interface Certificates {
  /** PEM files. */
  caFile: string;
  certFile: string;
  keyFile: string;
}

const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
const day = 86_400_000;

/** Names that clients use: ours, the blob hosts, and the registry host that azure-ai-ml writes by itself. */
const names = ['localhost', '*.localhost', '*.blob.core.localhost', '*.experiments.azureml.net'];

async function pem(key: webcrypto.CryptoKey): Promise<string> {
  const bytes = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key));
  return `-----BEGIN PRIVATE KEY-----\n${bytes.toString('base64').replace(/.{64}/g, '$&\n').trimEnd()}\n-----END PRIVATE KEY-----\n`;
}

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

/** Makes what is missing or about to expire in `folder`; else gives what is there. The key of the authority is not kept. */
export async function certificates(folder: string): Promise<Certificates> {
  const files = { caFile: join(folder, 'ca.pem'), certFile: join(folder, 'server.pem'), keyFile: join(folder, 'server.key') };
  if (valid(files)) return files;
  // Loaded only when a certificate is made: most starts find theirs.
  await import('reflect-metadata');
  const x509 = await import('@peculiar/x509');
  x509.cryptoProvider.set(webcrypto);
  const subtle = webcrypto.subtle;
  const [authorityKeys, serverKeys] = await Promise.all([
    subtle.generateKey(algorithm, true, ['sign', 'verify']),
    subtle.generateKey(algorithm, true, ['sign', 'verify']),
  ]);
  const serial = () => `00${randomBytes(15).toString('hex')}`;
  const notBefore = new Date(Date.now() - day);
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial(),
    name: `CN=amlops local CA ${randomBytes(4).toString('hex')}`,
    notBefore,
    notAfter: new Date(Date.now() + 3650 * day),
    signingAlgorithm: algorithm,
    keys: authorityKeys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(authorityKeys.publicKey),
    ],
  });
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial(),
    subject: 'CN=localhost',
    issuer: authority.subject,
    notBefore,
    notAfter: new Date(Date.now() + 820 * day),
    signingAlgorithm: algorithm,
    publicKey: serverKeys.publicKey,
    signingKey: authorityKeys.privateKey,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension([
        ...names.map((value) => ({ type: 'dns' as const, value })),
        { type: 'ip' as const, value: '127.0.0.1' },
        { type: 'ip' as const, value: '::1' },
      ]),
      await x509.SubjectKeyIdentifierExtension.create(serverKeys.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authorityKeys.publicKey),
    ],
  });
  writePrivate(files.keyFile, await pem(serverKeys.privateKey));
  writePrivate(files.certFile, `${certificate.toString('pem')}\n${authority.toString('pem')}\n`);
  writePrivate(files.caFile, `${authority.toString('pem')}\n`);
  return files;
}
