// Models of the local workspace with @azure/arm-machinelearning: node samples/clients/list_models.mjs [CONNECTION.json]
import { readFileSync } from 'node:fs';
import { AzureMachineLearningWorkspaces } from '@azure/arm-machinelearning';
import { ClientSecretCredential } from '@azure/identity';

const up = JSON.parse(readFileSync(process.argv[2] ?? '.amlops/connection.json', 'utf8'));
const [place] = up.workspaces;
// The certificate authority that `amlops up` made on its first start.
const tlsOptions = { ca: readFileSync(up.ca, 'utf8') };
const credential = new ClientSecretCredential(up.tenantId, place.clientId, place.clientSecret, {
  authorityHost: up.authority,
  disableInstanceDiscovery: true,
  tlsOptions,
});
const client = new AzureMachineLearningWorkspaces(credential, place.subscriptionId, {
  endpoint: up.resourceManager,
  credentialScopes: [`${up.resourceManager}/.default`],
  tlsOptions,
});
for await (const model of client.modelContainers.list(place.resourceGroup, place.name)) {
  console.log(model.name, model.properties.latestVersion);
}
