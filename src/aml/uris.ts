/** Azure ML's own addresses for bytes (reference azure-ml-rest §0 "Data URIs"): parsed and written in one place. */

interface DatastoreUri {
  datastore: string;
  /** Below the container, no leading slash; '' is its root. */
  path: string;
  /** Only in the long form. */
  subscriptionId?: string;
  resourceGroup?: string;
  workspace?: string;
}

/**
 * Short `azureml://datastores/{ds}/paths/{p}` and long `azureml://subscriptions/…/datastores/{ds}/paths/{p}`; the service also writes the
 * short form without `/paths` (observed §1). Anything else: undefined.
 */
export function parseDatastoreUri(uri: string): DatastoreUri | undefined {
  const long =
    /^azureml:\/\/subscriptions\/([^/]+)\/resourcegroups\/([^/]+)(?:\/providers\/Microsoft\.MachineLearningServices)?\/workspaces\/([^/]+)\/datastores\/([^/]+)(?:\/(?:paths(?:\/|$))?(.*))?$/i.exec(
      uri,
    );
  if (long) {
    const [, subscriptionId = '', resourceGroup = '', workspace = '', datastore = '', path = ''] = long;
    return { datastore, path: decode(path), subscriptionId, resourceGroup, workspace };
  }
  const short = /^azureml:\/\/datastores\/([^/]+)(?:\/(?:paths(?:\/|$))?(.*))?$/i.exec(uri);
  return short ? { datastore: short[1] ?? '', path: decode(short[2] ?? '') } : undefined;
}

/** The long form when subscription, group and workspace are given, else the short one. */
export function formatDatastoreUri(uri: DatastoreUri): string {
  const path = uri.path.replace(/^\/+/, '');
  const tail = `datastores/${uri.datastore}/paths/${path}`;
  if (!uri.subscriptionId || !uri.resourceGroup || !uri.workspace) return `azureml://${tail}`;
  return `azureml://subscriptions/${uri.subscriptionId}/resourcegroups/${uri.resourceGroup}/workspaces/${uri.workspace}/${tail}`;
}

interface JobOutputUri {
  job: string;
  output: string;
  path: string;
}

/** `azureml://jobs/{job}/outputs/{output}[/paths/{p}]`; for the output `artifacts` also without `/paths` (observed §4). */
export function parseJobOutputUri(uri: string): JobOutputUri | undefined {
  const match = /^azureml:\/\/jobs\/([^/]+)\/outputs\/([^/]+)(?:\/(?:paths(?:\/|$))?(.*))?$/i.exec(uri);
  return match ? { job: match[1] ?? '', output: match[2] ?? '', path: match[3] ?? '' } : undefined;
}

/** `runs:/{run}/{path}` of MLflow. */
export function parseRunUri(uri: string): { run: string; path: string } | undefined {
  const match = /^runs:\/+([^/]+)(?:\/(.*))?$/.exec(uri);
  return match ? { run: match[1] ?? '', path: match[2] ?? '' } : undefined;
}

/** `https://{account}.blob.{suffix}/{container}/{path}`; a SAS query is left out. */
export function parseBlobUri(
  uri: string,
): { account: string; container: string; path: string; containerUrl: string } | undefined {
  if (!/^https:\/\//i.test(uri) || !URL.canParse(uri)) return undefined;
  const url = new URL(uri);
  const account = /^([a-z0-9-]+)\.(?:blob|dfs)\./.exec(url.hostname)?.[1];
  const [, container, ...rest] = url.pathname.split('/');
  if (!account || !container) return undefined;
  const host = url.host.replace(/^([a-z0-9-]+)\.dfs\./, '$1.blob.');
  return { account, container, path: rest.map(decode).join('/'), containerUrl: `https://${host}/${container}` };
}

function decode(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
