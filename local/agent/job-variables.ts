/** Variables that the agent adds, and stand-ins for those that the server sends (task-contract B.5). */
import { randomUUID } from 'node:crypto';
import { arch, hostname } from 'node:os';
import type { JobFolders } from './job.js';
import type { JobOptions, JobVariable } from './types.js';

/** Version that the harness claims to be: one that has node20_1 and node24. */
const agentVersion = '4.265.1';

const fixed = (value: string): JobVariable => ({ value, isReadOnly: true });

/** What the agent itself knows. */
export function agentVariables(folders: JobFolders): Record<string, JobVariable> {
  const os = { linux: 'Linux', darwin: 'Darwin', win32: 'Windows_NT' }[process.platform as 'linux'];
  const all: Record<string, string> = {
    'Agent.Id': '1',
    'Agent.Name': 'amlops',
    'Agent.MachineName': hostname(),
    'Agent.JobName': 'Job',
    'Agent.Version': agentVersion,
    'Agent.HomeDirectory': folders.root,
    'Agent.RootDirectory': folders.work,
    'Agent.WorkFolder': folders.work,
    'Agent.IsSelfHosted': '1',
    'Agent.OS': os,
    'Agent.OSArchitecture': arch() === 'arm64' ? 'ARM64' : 'X64',
    'Agent.ToolsDirectory': folders.tools,
    'Agent.TempDirectory': folders.temp,
    'Agent.BuildDirectory': folders.build,
    'Pipeline.Workspace': folders.build,
    'Build.SourcesDirectory': folders.sources,
    'Build.Repository.LocalPath': folders.sources,
    'Build.ArtifactStagingDirectory': folders.staging,
    'Build.StagingDirectory': folders.staging,
    'Build.BinariesDirectory': folders.binaries,
    'Common.TestResultsDirectory': folders.testResults,
    'System.DefaultWorkingDirectory': folders.sources,
    'System.ArtifactsDirectory': folders.staging,
    VSTS_PROCESS_LOOKUP_ID: `vsts_${randomUUID()}`,
  };
  return {
    ...Object.fromEntries(Object.entries(all).map(([name, value]) => [name, fixed(value)])),
    'Agent.JobStatus': { value: 'Succeeded' },
  };
}

/** A run as the server would describe it. A caller that has a real one gives its own values. */
export function serverVariables(): Record<string, JobVariable> {
  const now = new Date();
  // A new run each time, as in Azure Pipelines: names that are derived from the run must not meet those of an earlier one.
  const buildId = String(Math.floor(now.getTime() / 10) % 2_000_000_000);
  const all: Record<string, string> = {
    'System.CollectionId': '5d2f4a4e-53a1-4b1e-9a7e-4c3a36f7b001',
    'System.TeamProject': 'local',
    'System.TeamProjectId': '5d2f4a4e-53a1-4b1e-9a7e-4c3a36f7b002',
    'System.HostType': 'build',
    'System.ServerType': 'Hosted',
    'System.PlanId': randomUUID(),
    'System.TimelineId': randomUUID(),
    'System.JobId': randomUUID(),
    'System.JobName': 'Job',
    'System.JobDisplayName': 'Job',
    'System.JobAttempt': '1',
    'System.PhaseName': 'Job',
    'System.PhaseDisplayName': 'Job',
    'System.PhaseAttempt': '1',
    'System.StageName': '__default',
    'System.StageDisplayName': '__default',
    'System.StageAttempt': '1',
    'System.DefinitionId': '1',
    'System.DefinitionName': 'amlops task',
    'System.Culture': 'en-US',
    'System.EnableAccessToken': 'SecretVariable',
    'Build.BuildId': buildId,
    'Build.BuildUri': `vstfs:///Build/Build/${buildId}`,
    'Build.ContainerId': '1',
    'Build.DefinitionName': 'amlops task',
    'Build.Reason': 'Manual',
    'Build.RequestedFor': 'local user',
    'Build.Repository.Id': 'local',
    'Build.Repository.Name': 'local',
    'Build.Repository.Provider': 'Git',
    'Build.Repository.Uri': '',
    'Build.SourceBranch': 'refs/heads/main',
    'Build.SourceBranchName': 'main',
    'Build.SourceVersion': '0'.repeat(40),
    'Build.SourceVersionMessage': '',
  };
  const day = now.toISOString().slice(0, 10).replaceAll('-', '');
  return {
    ...Object.fromEntries(Object.entries(all).map(([name, value]) => [name, fixed(value)])),
    'Build.BuildNumber': { value: `${day}.1` },
  };
}

/** Collection, its OIDC endpoint and the job's token. The token stays secret unless the pipeline maps it. */
export function collectionVariables(uri: string, oidcRequestUri: string, accessToken: string): Record<string, JobVariable> {
  return {
    'System.CollectionUri': fixed(uri),
    'System.TeamFoundationCollectionUri': fixed(uri),
    'System.TeamFoundationServerUri': fixed(uri),
    'System.TaskDefinitionsUri': fixed(uri),
    'System.OidcRequestUri': fixed(oidcRequestUri),
    'System.AccessToken': { value: accessToken, isSecret: true, isReadOnly: true },
  };
}

/** Proxy and certificates of the agent (B.5). */
export function networkVariables(
  { proxy, certificates }: Pick<JobOptions, 'proxy' | 'certificates'>,
  caFile: string | undefined,
): Record<string, JobVariable> {
  const variables: Record<string, JobVariable> = {};
  if (caFile) variables['Agent.CAInfo'] = fixed(caFile);
  const { certificate, key, archive, password, skipValidation } = certificates ?? {};
  if (certificate) variables['Agent.ClientCert'] = fixed(certificate);
  if (key) variables['Agent.ClientCertKey'] = fixed(key);
  if (archive) variables['Agent.ClientCertArchive'] = fixed(archive);
  if (password) variables['Agent.ClientCertPassword'] = { value: password, isSecret: true, isReadOnly: true };
  if (skipValidation) variables['Agent.SkipCertValidation'] = fixed('True');
  if (proxy) {
    variables['Agent.ProxyUrl'] = fixed(proxy.url);
    if (proxy.username) variables['Agent.ProxyUsername'] = fixed(proxy.username);
    if (proxy.password) variables['Agent.ProxyPassword'] = { value: proxy.password, isSecret: true, isReadOnly: true };
    if (proxy.bypass) variables['Agent.ProxyBypassList'] = fixed(JSON.stringify(proxy.bypass));
  }
  return variables;
}
