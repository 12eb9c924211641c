/** Folders and files that go to storage: code snapshots and local data. */

/** A file, or what of it was listed, as a piece of another. */
export interface FilePart {
  path: string;
  size: number;
  mtimeMs: number;
}

export interface SnapshotFile {
  /** Absolute path on this machine. */
  path: string;
  /** Path in the snapshot, `/` between folders, without the snapshot folder's own name. */
  name: string;
  size: number;
  /** For noticing a change between hashing and sending. */
  mtimeMs: number;
  /** What it consists of, where it is no file of this machine (a folder as zip; `path` is the folder then). */
  parts?: readonly (Buffer | FilePart)[];
}

/** Code of a job or component, listed and hashed (reference azure-ml-rest §1.4). */
export interface CodeSnapshot {
  /** Key of this snapshot for memory: folder, included folders and ignore rules. */
  key: string;
  /** Folder name in storage: blobs are `{folder}/{file.name}`. */
  folder: string;
  files: SnapshotFile[];
  bytes: number;
  /** SHA-256 hex over names, sizes and contents. */
  hash: string;
  hashVersion: '202208';
  /** What was left out although nobody asked for it (links, folders that cannot be read) and lines that are no patterns. */
  warnings: string[];
}

/** A local data input or build context (reference azure-ml-rest §1.4, last bullet). */
export interface LocalData {
  kind: 'file' | 'folder';
  /** Absolute path on this machine. */
  path: string;
  /** Last segment of the path: `LocalUpload/{id}/{name}`. */
  name: string;
  /** 64 hex digits: SHA-256 with the client's seed. */
  id: string;
  files: SnapshotFile[];
  bytes: number;
  /** As for code. */
  warnings: string[];
  /** Datastore to use; absent: the workspace's default. */
  datastore?: string;
}
