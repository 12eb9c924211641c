/**
 * What a task asks of Azure DevOps while no local Azure DevOps runs: the OIDC endpoint of federated connections, over https on
 * localhost (task-contract C.2), and the `OPTIONS /_apis` that node clients begin with. Everything else is 501: never a fake success.
 */
import { createPrivateKey, generateKeyPairSync, randomBytes, randomUUID, type JsonWebKey, type KeyObject } from 'node:crypto';
import { createServer } from 'node:https';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { readFileSync } from 'node:fs';
import { SignJWT } from 'jose';
import { Failure } from '../../src/azure/errors.js';
import { authority } from '../tls.js';
import type { Federation } from '../connection-file.js';
import type { AgentEndpoint } from './types.js';

const federationAudience = 'api://AzureADTokenExchange';

export interface AgentServices {
  collection: { uri: string; oidcRequestUri: string; accessToken: string };
  caPem: string;
  close(): Promise<void>;
}

interface ServiceOptions {
  federation?: Federation;
  assertionSeconds: number;
  /** Milliseconds since 1970, of the job's clock. */
  now: () => number;
  /** Keeps the certificates. */
  folder: string;
  connections: (id: string) => AgentEndpoint | undefined;
}

/** Signs the assertion of one federated connection. Its subject is the connection's own (`workloadIdentityFederationSubject`). */
export type AssertionSigner = (connection: AgentEndpoint, now: number) => Promise<string>;

/** A signer with the workspace's key, or with one that nobody trusts (then sign-in says so, as Entra would). */
export function assertionSigner(federation: Federation | undefined, seconds: number): AssertionSigner {
  let key: KeyObject;
  if (federation) {
    try {
      key = readKey(federation.keyFile);
    } catch (error) {
      throw new Failure(`The key for federated assertions cannot be read: ${(error as Error).message}`, {
        code: 'FederationKey',
        file: federation.keyFile,
        advice: 'Start `amlops up` again: it writes the key that connection.json names.',
        cause: error,
      });
    }
  } else {
    key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey;
  }
  const alg = key.asymmetricKeyType === 'rsa' ? 'RS256' : 'ES256';
  return async (connection, now) => {
    const at = Math.floor(now / 1000);
    return await new SignJWT({ nonce: randomBytes(8).toString('hex') })
      .setProtectedHeader({ alg, typ: 'JWT', kid: federation?.keyId ?? 'unknown' })
      .setIssuer(connectionDatum(connection, 'workloadIdentityFederationIssuer') ?? federation?.issuer ?? 'https://localhost')
      .setSubject(connectionDatum(connection, 'workloadIdentityFederationSubject') ?? `sc://local/local/${connection.name}`)
      .setAudience(federation?.audience ?? federationAudience)
      .setIssuedAt(at)
      .setNotBefore(at)
      .setExpirationTime(at + seconds)
      .setJti(randomUUID())
      .sign(key);
  };
}

/** A private key file: PEM, a JWK, or JSON with one as `privateJwk` (what `amlops up` writes). */
function readKey(file: string): KeyObject {
  const text = readFileSync(file, 'utf8');
  if (!text.trimStart().startsWith('{')) return createPrivateKey(text);
  const json = JSON.parse(text) as JsonWebKey & { privateJwk?: JsonWebKey };
  return createPrivateKey({ key: json.privateJwk ?? json, format: 'jwk' });
}

const connectionDatum = ({ data, parameters }: AgentEndpoint, key: string): string | undefined =>
  Object.entries({ ...data, ...parameters }).find(([name]) => name.toLowerCase() === key.toLowerCase())?.[1];

/** Starts them on a free port of the loopback address. */
export async function startServices(options: ServiceOptions): Promise<AgentServices> {
  const sign = assertionSigner(options.federation, options.assertionSeconds);
  const ca = await authority(options.folder);
  const leaf = await ca.issue(['localhost', '127.0.0.1']);
  const accessToken = randomBytes(40).toString('base64url');
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const send = (status: number, body?: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json; charset=utf-8' });
      response.end(body === undefined ? '' : JSON.stringify(body));
    };
    const url = new URL(request.url ?? '/', 'https://localhost');
    request.resume();
    if (request.headers.authorization !== `Bearer ${accessToken}`) {
      send(401, { message: 'The request needs the token of the job (System.AccessToken).' });
    } else if (request.method === 'OPTIONS' && /\/_apis(\/|$)/.test(url.pathname)) {
      send(200, { value: [], count: 0 });
    } else if (!/\/oidctoken$/.test(url.pathname)) {
      send(501, {
        message: `${request.method} ${url.pathname} is not part of \`amlops task\`; \`amlops run\` brings a local Azure DevOps.`,
      });
    } else if (request.method !== 'POST') {
      send(405, { message: `The requested resource does not support http method '${request.method}'.` });
    } else {
      const id = url.searchParams.get('serviceConnectionId') ?? '';
      const connection = options.connections(id);
      if (connection?.scheme.toLowerCase() !== 'workloadidentityfederation') {
        send(404, { message: `There is no federated service connection ${id}.` });
      } else {
        send(200, { oidcToken: await sign(connection, options.now()) });
      }
    }
  };
  const server = createServer({ cert: leaf.cert, key: leaf.key }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      response.writeHead(500).end(JSON.stringify({ message: error instanceof Error ? error.message : String(error) }));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(0, '127.0.0.1', resolve);
  });
  const base = `https://localhost:${(server.address() as AddressInfo).port}/local/`;
  return {
    collection: {
      uri: base,
      oidcRequestUri: `${base}5d2f4a4e-53a1-4b1e-9a7e-4c3a36f7b002/_apis/distributedtask/hubs/build/plans/${randomUUID()}/jobs/${randomUUID()}/oidctoken`,
      accessToken,
    },
    caPem: ca.pem,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
