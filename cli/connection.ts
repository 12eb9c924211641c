/** A workspace of connection.json, for the commands that read it. Each command keeps its own words for what it found. */
import { connectAzure } from '../src/azure/azure.js';
import { Failure } from '../src/azure/errors.js';
import { openWorkspace, type Workspace } from '../src/aml/workspace.js';
import { Refusal } from '../src/release/refusal.js';
import { readConnectionFile, workspaceEntry } from '../local/connection-file.js';

/** Opens `name` with the principal that connection.json holds for it. Errors: `Failure` `ConnectionFile`. */
export function openFrom(file: string, name: string): Workspace {
  const connection = readConnectionFile(file);
  const entry = workspaceEntry(connection, name);
  const azure = connectAzure(
    {
      name: `${entry.name} of ${file}`,
      resourceManager: connection.resourceManager.replace(/\/+$/, ''),
      authority: connection.authority.replace(/\/+$/, ''),
      tenantId: connection.tenantId,
      clientId: entry.clientId ?? connection.clientId,
      subscriptionId: entry.subscriptionId,
      credential: { kind: 'secret', clientSecret: entry.clientSecret ?? connection.clientSecret },
      ca: connection.ca,
    },
    // Nothing is masked on a terminal, and nothing secret is printed.
    { onSecret: () => undefined, userAgent: 'azure-machine-learning-mlops cli' },
  );
  return openWorkspace(azure, {
    subscriptionId: entry.subscriptionId,
    resourceGroup: entry.resourceGroup,
    workspace: entry.name,
  });
}

/** Runs a command's body: 0, or the number it gives; what is wrong goes to standard error with advice and ends in 1. */
export async function exitWith(command: string, body: () => Promise<number>): Promise<void> {
  try {
    process.exitCode = await body();
  } catch (error) {
    if (!(error instanceof Failure) && !(error instanceof Refusal)) throw error;
    process.stderr.write(`amlops ${command}: ${error.message}${error.details.advice ? `\n${error.details.advice}` : ''}\n`);
    process.exitCode = 1;
  }
}
