/** References to data and assets, in all the forms that jobs use (azure-ml-rest.md §0 "Id forms"). */

type Reference =
  /** A place in a datastore of this workspace. */
  | { kind: 'datastore'; datastore: string; path: string }
  /** Output of a job: `azureml://jobs/{job}/outputs/{output}/paths/{path}`. */
  | { kind: 'jobOutput'; job: string; output: string; path: string }
  /** Artifact of a run: `runs:/{run}/{path}`. */
  | { kind: 'runArtifact'; run: string; path: string }
  /** Versioned asset of a workspace or registry; version undefined with a label. */
  | { kind: 'asset'; type: string; name: string; version?: string; label?: string; registry?: string }
  | { kind: 'web'; url: string }
  /** Storage that is not this workspace's (`wasbs:`, `abfss:`, another workspace's datastore). */
  | { kind: 'foreign'; uri: string }
  | { kind: 'unknown'; uri: string };

const decode = (path: string): string => {
  try {
    return decodeURIComponent(path);
  } catch {
    return path; // a lone % in a blob name
  }
};

/**
 * Reads a reference.
 * @param workspace name of the workspace whose long datastore ids are "ours"
 */
export function parseReference(text: string, workspace: { name: string }): Reference {
  const uri = text.trim();
  const bare = uri.replace(/^azureml:(?!\/\/)/i, '');
  let match = /^azureml:\/\/datastores\/([^/]+)(?:\/(?:paths\/)?(.*))?$/i.exec(uri);
  if (match) return { kind: 'datastore', datastore: match[1] ?? '', path: decode(match[2] ?? '') };
  match =
    /^azureml:\/\/subscriptions\/[^/]+\/resourcegroups\/[^/]+(?:\/providers\/[^/]+)?\/workspaces\/([^/]+)\/datastores\/([^/]+)(?:\/paths\/(.*))?$/i.exec(
      uri,
    );
  if (match)
    return match[1]?.toLowerCase() === workspace.name.toLowerCase()
      ? { kind: 'datastore', datastore: match[2] ?? '', path: decode(match[3] ?? '') }
      : { kind: 'foreign', uri };
  match = /^azureml:\/\/jobs\/([^/]+)\/outputs\/([^/]+)(?:\/(?:paths\/)?(.*))?$/i.exec(uri);
  if (match) return { kind: 'jobOutput', job: match[1] ?? '', output: match[2] ?? '', path: decode(match[3] ?? '') };
  match = /^runs:\/+([^/]+)\/?(.*)$/i.exec(uri);
  if (match) return { kind: 'runArtifact', run: match[1] ?? '', path: decode(match[2] ?? '') };
  match = /^azureml:\/\/registries\/([^/]+)\/([a-z]+)\/([^/]+)(?:\/(versions|labels)\/([^/]+))?$/i.exec(uri);
  if (match) return asset(match[2], match[3], match[4], match[5], match[1]);
  match = /^azureml:\/\/locations\/[^/]+\/workspaces\/[^/]+\/([a-z]+)\/([^/]+)\/(versions|labels)\/([^/]+)$/i.exec(uri);
  if (match) return asset(match[1], match[2], match[3], match[4]);
  match = /\/workspaces\/[^/]+\/([a-z]+)\/([^/]+)(?:\/(versions|labels)\/([^/]+))?$/i.exec(bare);
  if (match && bare.startsWith('/')) return asset(match[1], match[2], match[3], match[4]);
  if (/^https?:\/\//i.test(uri)) return { kind: 'web', url: uri };
  if (/^(wasbs?|abfss?|adl):\/\//i.test(uri)) return { kind: 'foreign', uri };
  return { kind: 'unknown', uri };
}

function asset(type = '', name = '', how?: string, which?: string, registry?: string): Reference {
  return {
    kind: 'asset',
    type: type.toLowerCase(),
    name: decodeURIComponent(name),
    ...(how?.toLowerCase() === 'labels' ? { label: which ?? '' } : which !== undefined ? { version: which } : {}),
    ...(registry !== undefined && { registry }),
  };
}

/** `azureml:NAME@label` and `azureml:NAME:VERSION`, the short forms that are left to the service (curated environments). */
export function parseShort(text: string): { name: string; version?: string; label?: string } | undefined {
  const match = /^(?:azureml:)?([A-Za-z0-9][\w.-]*)(?:@([\w.-]+)|:([\w.-]+))?$/.exec(text.trim());
  if (!match) return undefined;
  return {
    name: match[1] ?? '',
    ...(match[2] !== undefined && { label: match[2] }),
    ...(match[3] !== undefined && { version: match[3] }),
  };
}

/** Last segment of an ARM id. */
export function lastSegment(id: string): string {
  return id.replace(/\/+$/, '').split('/').pop() ?? id;
}

/**
 * Run history's word for an ARM input or output type. Models go as what they are in storage: the official client cannot read a run
 * whose outputs are typed `MLFlowModel` and friends (azure-ml-rest.md, corrections).
 */
export function historyType(type: string): string {
  return { uri_file: 'UriFile', mltable: 'MLTable' }[type] ?? 'UriFolder';
}
