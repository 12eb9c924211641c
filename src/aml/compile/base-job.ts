/** What every job file has: name, tags, experiment, compute, identity, services (reference azure-ml-rest §1.2). */
import path from 'node:path';
import type { Context } from './context.js';
import type { YMap } from './document.js';
import { child, textOf } from './document.js';
import { identity, identityToRest, services, servicesToRest, stringMap } from './fields.js';
import { asText, isTreeObject, type Tree, type TreeObject } from './pending.js';
import { computeId } from './refs.js';
import { readObject, schemaName, str, type Field, type ObjectOptions } from './schema.js';
import type { JobType } from './types.js';

export const baseFields: Record<string, Field> = {
  $schema: schemaName,
  type: str,
  name: str,
  display_name: str,
  description: str,
  experiment_name: str,
  tags: stringMap,
  properties: stringMap,
  services,
  compute: str,
  identity,
};
/** Keys that the service fills in; a file may hold them, they are not sent. */
export const readOnlyKeys = ['id', 'status', 'creation_context', 'log_files', 'parameters'];

export interface JobFile {
  context: Context;
  root: YMap;
  /** Folder of the file. */
  base: string;
  file: string;
}

export interface JobBody {
  /** It may have outputs that no file names: those of a registered component. */
  moreOutputs?: boolean;
  type: JobType;
  properties: TreeObject;
  needsAmlToken: boolean;
}

/** Reads the keys of a job, its own schema's and the common ones. */
export function readJob(job: JobFile, fields: Readonly<Record<string, Field>>, options: ObjectOptions): TreeObject {
  return readObject(
    job.root,
    { ...baseFields, ...fields },
    { ...options, elsewhere: [...readOnlyKeys, ...(options.elsewhere ?? [])] },
    job.context.reader(job.base),
  );
}

/** The common members of a job's body. Names and experiment are set by the caller of compilation. */
export function commonBody(job: JobFile, read: TreeObject): TreeObject {
  return {
    description: read['description'],
    tags: read['tags'] ?? {},
    properties: read['properties'] ?? {},
    isArchived: false,
    ...(read['services'] === undefined ? {} : { services: servicesToRest(read['services'], 'camel') }),
    ...(read['identity'] === undefined ? {} : { identity: identityToRest(read['identity'], 'camel') }),
    ...(compute(job) === undefined ? {} : { computeId: compute(job) }),
  };
}

export function compute(job: JobFile): Tree {
  const node = child(job.root, 'compute');
  const text = textOf(node);
  if (text === undefined || !node) return undefined;
  if (/^(azureml:)?local$/i.test(text)) {
    job.context.local = node.place;
    if ((textOf(child(job.root, 'type')) ?? 'command') === 'command') return undefined;
    job.context.problems.add(
      node.place,
      'compute: local runs a job on the machine that submits it; that is not supported.',
      'azureml:NAME or serverless',
    );
    return undefined;
  }
  const type = textOf(child(job.root, 'type')) ?? 'command';
  return computeId(job.context, text, node.place, type === 'pipeline', ['command', 'sweep', 'spark'].includes(type));
}

export function usesUserIdentity(read: TreeObject): boolean {
  const value = read['identity'];
  return isTreeObject(value) && asText(value['type']).toLowerCase().replaceAll('_', '') === 'useridentity';
}

/** Default experiment: the folder of the file, without spaces. */
export function defaultExperiment(file: string, paths: Pick<typeof path, 'basename' | 'dirname' | 'resolve'> = path): string {
  return paths.basename(paths.dirname(paths.resolve(file))).replaceAll(' ', '') || 'Default';
}
