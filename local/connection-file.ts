/**
 * `connection.json`: written by `amlops up`, read by everything local and by the client kit (design §4). This is its one reader on our
 * side, with the fields by name.
 */
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { Failure } from '../src/azure/errors.js';

export interface WorkspaceEntry {
  name: string;
  resourceGroup: string;
  location: string;
  subscriptionId: string;
  clientId?: string;
  clientSecret?: string;
}

/** A service connection that a local pipeline may name. */
export interface ServiceConnectionEntry {
  name: string;
  /** GUID. */
  id: string;
  /** Resource manager. */
  url: string;
  scheme: 'ServicePrincipal' | 'WorkloadIdentityFederation';
  tenantId: string;
  clientId: string;
  /** Scheme ServicePrincipal only. */
  clientSecret?: string;
  subscriptionId: string;
  /** What its principal may do, for people: `Contributor`, `Reader`. */
  role?: string;
}

/** Who signs the assertions of federated connections, and with what. */
export interface Federation {
  issuer: string;
  audience: string;
  /** Private key, PKCS8 PEM or JWK JSON; relative to connection.json. */
  keyFile: string;
  /** `kid` of the assertions. */
  keyId?: string;
}

export interface ConnectionFile {
  resourceManager: string;
  authority: string;
  metadata: Record<string, string>;
  mlflowTracking?: string;
  /** PEM file to trust; relative to connection.json. */
  ca: string;
  tenantId: string;
  clientId: string;
  clientSecret: string;
  subscriptionId: string;
  resourceGroup?: string;
  workspaces: WorkspaceEntry[];
  registry?: string;
  serviceConnections: ServiceConnectionEntry[];
  federation?: Federation;
}

const strings = ['resourceManager', 'authority', 'ca', 'tenantId', 'subscriptionId'] as const;

/** Reads and checks the file; paths in it come out absolute. Errors: Failure `ConnectionFile` that names what is missing. */
export function readConnectionFile(path: string): ConnectionFile {
  const advice = 'Start `amlops up`: it writes this file when it is ready.';
  const bad = (what: string, cause?: unknown): Failure =>
    new Failure(`${path}: ${what}`, { code: 'ConnectionFile', file: path, advice, cause });
  let file: Partial<ConnectionFile>;
  try {
    file = JSON.parse(readFileSync(path, 'utf8')) as Partial<ConnectionFile>;
  } catch (error) {
    throw bad((error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file.' : (error as Error).message, error);
  }
  if (typeof file !== 'object' || file === null) throw bad('this is no JSON object.');
  for (const key of strings) if (typeof file[key] !== 'string' || file[key] === '') throw bad(`"${key}" is missing.`);
  if (!Array.isArray(file.workspaces) || file.workspaces.length === 0) throw bad('"workspaces" is missing or empty.');
  const whole = { serviceConnections: [], ...file } as ConnectionFile;
  const from = dirname(resolve(path));
  return {
    ...whole,
    ca: resolve(from, whole.ca),
    ...(whole.federation ? { federation: { ...whole.federation, keyFile: resolve(from, whole.federation.keyFile) } } : {}),
  };
}

/** The workspace of that name. Errors: Failure `ConnectionFile` with the names there are. */
export function workspaceEntry(file: ConnectionFile, name: string): WorkspaceEntry {
  const found = file.workspaces.find((entry) => entry.name.toLowerCase() === name.toLowerCase());
  if (found) return { ...found, subscriptionId: found.subscriptionId ?? file.subscriptionId };
  throw new Failure(`There is no workspace ${name}; there are: ${file.workspaces.map((entry) => entry.name).join(', ')}.`, {
    code: 'ConnectionFile',
  });
}
