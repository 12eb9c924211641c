/** Where a code's bytes go: the container that the workspace gives for an upload, for as long as the upload takes (reference azure-ml-rest §1.3). */
import { Failure } from '../azure/errors.js';
import type { BlobAuth, BlobContainer } from '../azure/types.js';
import { API_VERSIONS } from './compile/versions.js';
import type { Workspace } from './workspace.js';

interface Place {
  container: BlobContainer;
  uri: string;
  auth: BlobAuth;
}

interface PendingUpload {
  pendingUploadId?: string;
  blobReferenceForConsumption?: {
    blobUri?: string;
    credential?: { credentialType?: string; sasUri?: string };
  };
}

/** The upload goes on in another container: what the first one holds counts for nothing. */
class Moved extends Error {
  constructor(readonly place: Place) {
    super('The workspace gave another place for the code when the signature of the first had expired.');
  }
}

/** The upload of that name, begun or begun before; undefined where the service does not take the name a second time. */
export async function resumedUpload(workspace: Workspace, name: string, signal?: AbortSignal): Promise<Place | undefined> {
  try {
    return await pendingUpload(workspace, name, name, signal);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof Failure && (error.details.status === 400 || error.details.status === 409)) return undefined;
    throw error;
  }
}

/** Begins the upload of a code. A SAS that expires before the last file is up is exchanged: the same upload is asked for once more. */
export async function pendingUpload(
  workspace: Workspace,
  name: string,
  pendingUploadId: string | undefined,
  signal?: AbortSignal,
): Promise<Place> {
  const { azure } = workspace;
  const { body } = await azure.request<PendingUpload | undefined>({
    method: 'POST',
    url: `${workspace.id}/codes/${name}/versions/1/startPendingUpload`,
    apiVersion: API_VERSIONS.code,
    body: { ...(pendingUploadId ? { pendingUploadId } : {}), pendingUploadType: 'TemporaryBlobReference' },
    // A place for bytes that nobody uses costs nothing: it may be asked for again.
    retries: 5,
    operation: 'start the upload of the code',
    ...(signal ? { signal } : {}),
  });
  const place = body?.blobReferenceForConsumption;
  const sas = place?.credential?.sasUri;
  const uri = (place?.blobUri ?? sas?.split('?')[0])?.replace(/\/+$/, '');
  if (uri === undefined) {
    throw new Failure('The workspace gave no place to upload code to.', { code: 'PendingUploadIncomplete' });
  }
  if (sas === undefined) {
    const auth: BlobAuth = { kind: 'entra' };
    return { container: azure.blobs(uri, auth), uri, auth };
  }
  const next = async (): Promise<BlobAuth> => {
    const fresh = await pendingUpload(workspace, name, pendingUploadId ?? body?.pendingUploadId, signal);
    if (fresh.uri !== uri) throw new Moved(fresh);
    return fresh.auth;
  };
  const auth: BlobAuth = { kind: 'sas', token: sas.slice(sas.indexOf('?') + 1), renewal: { next } };
  return { container: azure.blobs(sas.split('?')[0] ?? uri, auth), uri, auth };
}

/** Uploads; where the workspace gives another place in the middle of it, there once more. Gives the address of the container that holds the code now. */
export async function inPlace(place: Place, upload: (place: Place, moved: boolean) => Promise<void>): Promise<string> {
  let now = place;
  for (let moves = 0; ; moves++) {
    try {
      await upload(now, moves > 0);
      return now.uri;
    } catch (error) {
      if (!(error instanceof Moved)) throw error;
      if (moves < 2) {
        now = error.place;
        continue;
      }
      throw new Failure(`${error.message} That has happened three times; the code was not uploaded.`, {
        code: 'UploadMoved',
        advice: 'Have large files that are no code ignored (.amlignore), or pass them as a data input.',
        cause: error,
      });
    }
  }
}
