/**
 * TLS as the agent was configured: its CA on top of the system's, its client certificate, or no verification at all
 * (reference task-contract B.5, B.9; the task library's `getHttpCertConfiguration`). Used for Azure and for Azure DevOps.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createSecureContext, rootCertificates, type SecureContext, type SecureContextOptions } from 'node:tls';
import { Failure } from './errors.js';
import type { AgentNetwork } from './types.js';

/** Goes into the options of an https agent or a TLS socket. Empty: node's own trust. */
export interface TlsSettings {
  secureContext?: SecureContext;
  rejectUnauthorized?: false;
}

/**
 * Made once for many connections: parsing certificates takes longer than a request.
 * Errors: `Failure` (`CaUnreadable`, `ClientCertUnreadable`) with the file, the agent's variable and its option.
 */
export function tlsSettings(network: Omit<AgentNetwork, 'proxy'>): TlsSettings {
  const { ca, clientCertificate, skipCertValidation } = network;
  const lax = skipCertValidation ? { rejectUnauthorized: false as const } : {};
  if (ca === undefined && clientCertificate === undefined) return lax;
  const own = clientCertificate === undefined ? {} : identity(clientCertificate);
  return { secureContext: trusting(ca === undefined ? undefined : authorities(ca), own), ...lax };
}

/** System roots (and NODE_EXTRA_CA_CERTS) plus the agent's. Adding to the default store costs little; all roots passed again would all be parsed again. */
function trusting(pem: string | undefined, own: SecureContextOptions): SecureContext {
  const context = make(own);
  if (pem === undefined) return context;
  const native = context.context as { addCACert?: (pem: string) => void } | undefined;
  if (typeof native?.addCACert === 'function') {
    native.addCACert(pem);
    return context;
  }
  const extra = process.env['NODE_EXTRA_CA_CERTS'];
  const more = extra && existsSync(extra) ? [readFileSync(extra, 'utf8')] : [];
  return make({ ...own, ca: [...rootCertificates, ...more, pem] });
}

function make(options: SecureContextOptions): SecureContext {
  try {
    return createSecureContext(options);
  } catch (error) {
    if (options.key === undefined && options.pfx === undefined) throw error;
    const said = error instanceof Error ? error.message : String(error);
    throw new Failure(`The client certificate of the agent cannot be used: ${said}.`, {
      code: 'ClientCertUnreadable',
      advice:
        'Certificate and key (Agent.ClientCert, Agent.ClientCertKey, or the archive Agent.ClientCertArchive) must belong together, and Agent.ClientCertPassword must open them. Configure the agent again with --sslclientcert, --sslclientcertkey, --sslclientcertarchive and --sslclientcertpassword.',
      cause: error,
    });
  }
}

/** PEM file or text. */
function authorities(ca: string): string {
  if (ca.includes('-----BEGIN')) return ca;
  const advice =
    'The agent names this file in Agent.CAInfo (`--sslcacert` when the agent was configured). Put it back as PEM text, or configure the agent again.';
  let pem: string;
  try {
    pem = readFileSync(ca, 'utf8');
  } catch (error) {
    throw new Failure(`The CA file ${ca} cannot be read.`, { code: 'CaUnreadable', file: ca, advice, cause: error });
  }
  if (pem.includes('-----BEGIN')) return pem;
  throw new Failure(`The CA file ${ca} holds no certificate in PEM form.`, { code: 'CaUnreadable', file: ca, advice });
}

/** The PEM pair when the agent has it, else the archive (PKCS 12): the agent keeps both of the same certificate. */
function identity({ certificate, key, archive, password }: NonNullable<AgentNetwork['clientCertificate']>): SecureContextOptions {
  const secret = password ? { passphrase: password } : {};
  if (certificate && key) {
    return { cert: read(certificate, 'Agent.ClientCert'), key: read(key, 'Agent.ClientCertKey'), ...secret };
  }
  if (archive) return { pfx: read(archive, 'Agent.ClientCertArchive'), ...secret };
  // One PEM file may hold both.
  const both = certificate ? read(certificate, 'Agent.ClientCert') : Buffer.alloc(0);
  if (both.includes('PRIVATE KEY-----')) return { cert: both, key: both, ...secret };
  throw new Failure(`The client certificate of the agent (${certificate ?? 'Agent.ClientCert'}) comes without its private key.`, {
    code: 'ClientCertUnreadable',
    ...(certificate ? { file: certificate } : {}),
    advice: 'Configure the agent again with --sslclientcert, --sslclientcertkey and --sslclientcertarchive.',
  });
}

function read(file: string, variable: string): Buffer {
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Failure(`The client certificate file ${file} (${variable}) cannot be read.`, {
      code: 'ClientCertUnreadable',
      file,
      advice: 'The agent names this file since it was configured. Let its user read it, or configure the agent again.',
      cause: error,
    });
  }
}
