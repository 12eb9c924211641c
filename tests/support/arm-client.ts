/** The unmodified @azure/arm-machinelearning, signed in to an embedded workspace. */
import { readFileSync } from 'node:fs';
import { AzureMachineLearningWorkspaces } from '@azure/arm-machinelearning';
import type { Connection } from '../../local/workspace/connection.js';
import { tokenOf } from './workspace.js';

/** A client with the rights of the connection's first service principal. */
export function armClient(connection: Connection): AzureMachineLearningWorkspaces {
  return new AzureMachineLearningWorkspaces(
    { getToken: async () => ({ token: await tokenOf(connection), expiresOnTimestamp: Date.now() + 3_000_000 }) },
    connection.subscriptionId,
    {
      endpoint: connection.resourceManager,
      credentialScopes: [`${connection.resourceManager}/.default`],
      tlsOptions: { ca: readFileSync(connection.ca, 'utf8') },
    },
  );
}

/** The names of a list, page by page. */
export async function namesOf<T extends { name?: string }>(items: AsyncIterable<T>): Promise<string[]> {
  const found: string[] = [];
  for await (const item of items) found.push(item.name ?? '');
  return found;
}
