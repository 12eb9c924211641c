/** Job YAML to the REST writes that submitting it makes. See docs/compile.md. */
import path from 'node:path';
import { Failure } from '../../azure/errors.js';
import { defaultExperiment, type JobBody, type JobFile } from './base-job.js';
import { commandJob } from './command-job.js';
import { Context } from './context.js';
import { child, textOf, type YMap } from './document.js';
import { gitProperties } from './git.js';
import { generateName } from './names.js';
import { applyInputs, applyOverrides } from './overrides.js';
import { autoMLJob } from './automl-job.js';
import { pipelineJob } from './pipeline-job.js';
import { sparkJob } from './spark-job.js';
import { sweepJob } from './sweep-job.js';
import { compact, materialise, type TreeObject } from './pending.js';
import { isObject, plain } from './python.js';
import { nearest, oneOf } from './problems.js';
import { what } from './schema.js';
import type { CompiledJob, CompileTarget, JobSource } from './types.js';
import { JOB_API_VERSION } from './versions.js';

export { offlineTarget, type Lookups } from './offline.js';
export { bodyText } from './python.js';
export type { CompiledJob, CompileTarget, CompileWarning, JobSource, JobType, Reference, WriteRequest } from './types.js';

type Compiler = (job: JobFile) => JobBody;

const TYPES: Record<string, Compiler> = {
  command: commandJob,
  pipeline: pipelineJob,
  sweep: sweepJob,
  spark: sparkJob,
  automl: autoMLJob,
};

/**
 * Compiles a job file and hands its assets to `target`; the job itself is left to the caller.
 * In: the file and overrides. Out: the job's PUT. Errors: one Failure (`JobInvalid`) naming every problem of the file with line, column and
 * the accepted values; Failures of the target. Source of the rules: reference azure-ml-rest §1, recordings in conformance/jobs.
 */
export async function compileJob(source: JobSource, target: CompileTarget): Promise<CompiledJob> {
  const file = path.resolve(source.file);
  const context = new Context(target.workspaceId, source.signal);
  const root = context.yaml(file);
  if (root && root.kind !== 'map') context.problems.add(root.place, 'A job is a mapping.', 'type: command, pipeline, sweep, …');
  if (root?.kind !== 'map') {
    context.problems.throwIfAny(file);
    throw new Failure(`${source.file} holds no job.`, { code: 'JobInvalid', file });
  }
  applyOverrides(root, source.overrides ?? [], context.problems);
  applyInputs(root, source.inputs ?? {}, context.problems);
  const compiler = compilerOf(root, context);
  const job: JobFile = { context, root, base: path.dirname(file), file };
  const body = compiler?.(job);
  await context.settle();
  if (context.local) {
    const why = 'compute: local runs a job on the machine that submits it; that is not supported.';
    if (target.sends) context.problems.add(context.local, why, 'azureml:NAME or serverless');
    else context.problems.warn(context.local, why);
  }
  context.problems.throwIfAny(file);
  if (!body) throw new Failure(`${source.file} holds no job.`, { code: 'JobInvalid', file });
  source.signal?.throwIfAborted();
  const outputs = Object.keys(compact(body.properties['outputs'] ?? {}) as TreeObject);
  const read = { type: body.type, needsAmlToken: body.needsAmlToken, ...(body.moreOutputs ? {} : { outputs }) };
  const naming = nameOf((await source.onRead?.(read)) ?? source.name, root);
  source.signal?.throwIfAborted();
  const warnings = await target.check(context.references, source.signal);
  const properties: TreeObject = { ...body.properties, ...headings(source, root, naming.name) };
  properties['properties'] = {
    ...gitProperties(job.base, source.env ?? process.env, context.problems),
    ...(properties['properties'] as TreeObject),
  };
  const written = plain(await materialise(compact(properties), { target, sequential: target.sequential, signal: source.signal }));
  const sent = { properties: isObject(written) ? (written as Record<string, unknown>) : {} };
  const request = {
    method: 'PUT' as const,
    path: `${target.workspaceId}/jobs/${encodeURIComponent(naming.name)}`,
    query: { 'api-version': JOB_API_VERSION[body.type] },
    body: sent,
  };
  return {
    ...naming,
    type: body.type,
    displayName: String(sent.properties['displayName']),
    experimentName: String(sent.properties['experimentName']),
    path: request.path,
    query: request.query,
    body: sent,
    needsAmlToken: body.needsAmlToken,
    warnings: [...context.problems.warnings, ...warnings],
    requests: [...target.requests, request],
    upload: { ...target.upload },
  };
}

function compilerOf(root: YMap, context: Context): Compiler | undefined {
  const node = child(root, 'type');
  if (!checkSchema(root, context)) return undefined;
  if (!node) return commandJob;
  // Types are written in lower case; `Pipeline` is a type of nothing to the client.
  const name = (textOf(node) ?? '').toLowerCase();
  const known = Object.hasOwn(TYPES, name) && textOf(node) === name ? TYPES[name] : undefined;
  if (known) return known;
  const near = nearest(name, Object.keys(TYPES));
  context.problems.add(
    node.place,
    name === 'parallel'
      ? 'A parallel job runs only as a step of a pipeline.'
      : `${textOf(node) === undefined ? what(node) : JSON.stringify(textOf(node))} is no type of job that can be submitted.${near ? ` Did you mean ${near}?` : ''}`,
    oneOf(Object.keys(TYPES)),
  );
  return undefined;
}

/** Whether this may be a job: `$schema` of another kind of file says that the wrong file was named, and its keys are no mistakes then. */
function checkSchema(root: YMap, context: Context): boolean {
  const node = child(root, '$schema');
  const text = textOf(node);
  if (!node || text === undefined) return true;
  const kind = /\/([A-Za-z]+)\.schema\.json$/.exec(text)?.[1];
  if (kind === undefined || /Job$/i.test(kind) || child(root, 'type')) return true;
  if (root.entries.has('command') && /component$/i.test(kind)) return true;
  context.problems.add(
    node.place,
    `This file says that it is a ${kind}, not a job.`,
    'a job file, e.g. with commandJob.schema.json or pipelineJob.schema.json',
  );
  return false;
}

function nameOf(given: string | undefined, root: YMap): Pick<CompiledJob, 'name' | 'nameFrom'> {
  if (given !== undefined) return { name: given, nameFrom: 'source' };
  const own = textOf(child(root, 'name'));
  // The client writes the names of command jobs in lower case, and leaves the others.
  const command = (textOf(child(root, 'type')) ?? 'command') === 'command';
  return own !== undefined && own !== ''
    ? { name: command ? own.toLowerCase() : own, nameFrom: 'file' }
    : { name: generateName(), nameFrom: 'generated' };
}

/** Names, description and tags: the caller's, else the file's, else made from name and folder. */
function headings(source: JobSource, root: YMap, name: string): TreeObject {
  const text = (key: string): string | undefined => textOf(child(root, key));
  const fileTags = child(root, 'tags');
  const tags: TreeObject = {};
  if (fileTags?.kind === 'map')
    for (const [key, { value }] of fileTags.entries) tags[key] = value.kind === 'scalar' ? value.value : undefined;
  const description = source.description ?? text('description');
  return {
    // An empty name is none to the client.
    displayName: source.displayName ?? (text('display_name') || name),
    experimentName: source.experimentName ?? (text('experiment_name') || defaultExperiment(source.file)),
    ...(description === undefined ? {} : { description }),
    tags: { ...tags, ...source.tags },
  };
}
