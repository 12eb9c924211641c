/** Client assertion of a certificate credential (reference task-contract C.1: a signed JWT, `x5t` = SHA-1 thumbprint). */
import { createHash, createPrivateKey, randomUUID, sign, X509Certificate, type KeyObject } from 'node:crypto';
import { Failure } from './errors.js';

export interface Certificate {
  key: KeyObject;
  thumbprint: string;
  thumbprint256: string;
  notAfter: number;
}

/** Takes a PEM text with the private key and the certificate, as a service connection holds it. */
export function readCertificate(pem: string, connection: string): Certificate {
  const bad = (what: string, cause?: unknown) =>
    new Failure(`The certificate of service connection ${connection} ${what}.`, {
      code: 'CertificateUnusable',
      advice:
        'A service connection with a certificate holds one PEM text: the private key (unencrypted) and the certificate below each other.',
      cause,
    });
  const keyPem = /-----BEGIN ([A-Z ]*)PRIVATE KEY-----[\s\S]+?-----END \1PRIVATE KEY-----/.exec(pem)?.[0];
  const certificatePem = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/.exec(pem)?.[0];
  if (!keyPem) throw bad('has no private key');
  if (!certificatePem) throw bad('has no certificate beside its key');
  let key: KeyObject;
  let certificate: X509Certificate;
  try {
    key = createPrivateKey(keyPem);
    certificate = new X509Certificate(certificatePem);
  } catch (error) {
    throw bad('cannot be read', error);
  }
  if (key.asymmetricKeyType !== 'rsa') throw bad(`has a key of type ${key.asymmetricKeyType}; Microsoft Entra takes RSA`);
  if (!certificate.checkPrivateKey(key)) throw bad('does not belong to its private key');
  const digest = (name: string) => createHash(name).update(certificate.raw).digest('base64url');
  return { key, thumbprint: digest('sha1'), thumbprint256: digest('sha256'), notAfter: Date.parse(certificate.validTo) };
}

/** A JWT for `audience` (the token endpoint), good for ten minutes from `now` (milliseconds). */
export function clientAssertion(certificate: Certificate, clientId: string, audience: string, now: number): string {
  const seconds = Math.floor(now / 1000);
  const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const head = part({ alg: 'RS256', typ: 'JWT', x5t: certificate.thumbprint, 'x5t#S256': certificate.thumbprint256 });
  const claims = part({
    aud: audience,
    iss: clientId,
    sub: clientId,
    jti: randomUUID(),
    nbf: seconds - 60,
    iat: seconds,
    exp: seconds + 600,
  });
  const text = `${head}.${claims}`;
  return `${text}.${sign('RSA-SHA256', Buffer.from(text), certificate.key).toString('base64url')}`;
}
