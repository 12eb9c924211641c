/** From an environment reference to the requirements of a virtual environment, and to the environment itself. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'yaml';
import { Failure } from '../../../../src/azure/errors.js';
import { ensureVenv, findPython, readBuildLog, type Venv } from '../../../python.js';
import type { Ctx, WorkspaceRecord } from '../../context.js';
import { JobFailure } from '../types.js';
import { parseReference, parseShort } from '../uris.js';
import { loosen, readConda, type Requirements } from './conda.js';
import { readDockerfile } from './dockerfile.js';
import { curated, findRow, imageName, images, type EnvironmentRow } from './tables.js';

export interface EnvironmentPlan extends Requirements {
  name: string;
  /** Variables that the image or Dockerfile sets. */
  variables: Record<string, string>;
}

interface UserTables {
  environments: EnvironmentRow[];
  images: EnvironmentRow[];
}

/** Rows that the user adds: `environments.yml` of the state folder, or the file that AMLOPS_ENVIRONMENTS names. @throws Failure `EnvironmentTableInvalid` */
async function readUserTables(root: string): Promise<UserTables> {
  const path = process.env['AMLOPS_ENVIRONMENTS'] ?? join(root, 'environments.yml');
  const text = await readFile(path, 'utf8').catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT' && !process.env['AMLOPS_ENVIRONMENTS']) return '';
    throw new Failure(`${path} cannot be read: ${String(error)}`, { code: 'EnvironmentTableInvalid', file: path });
  });
  const content = (parse(text) ?? {}) as Partial<Record<keyof UserTables, unknown>>;
  const rows = (key: keyof UserTables): EnvironmentRow[] => {
    const list = content[key] ?? [];
    const good =
      Array.isArray(list) &&
      list.every((row: Partial<EnvironmentRow>) => typeof row.match === 'string' && Array.isArray(row.requirements));
    if (!good)
      throw new Failure(`${path}: '${key}' must be a list of {match, requirements}.`, {
        code: 'EnvironmentTableInvalid',
        file: path,
      });
    return list as EnvironmentRow[];
  };
  return { environments: rows('environments'), images: rows('images') };
}

/** A plain text member of an asset's properties. */
function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

/** Small text files of a build context, read ahead (a Dockerfile reader is not asynchronous). */
async function readContext(ctx: Ctx, ws: WorkspaceRecord, contextUri: string): Promise<Map<string, string>> {
  const place = ctx.storage.resolve(ws, contextUri);
  if (!place) throw new JobFailure(`The build context ${contextUri} is not in this workspace's storage.`);
  const prefix = place.path.replace(/\/?$/, '/');
  const files = new Map<string, string>();
  for await (const blob of ctx.storage.list({ ...place, path: prefix })) {
    if (blob.size > 1_000_000 || files.size > 500) continue;
    const bytes = await ctx.storage.read({ ...place, path: blob.name });
    if (bytes) files.set(blob.name.slice(prefix.length), bytes.toString('utf8'));
  }
  return files;
}

/**
 * What an environment asks for. `reference`: ARM id, registry id or short curated name (`azureml:AzureML-sklearn-1.5@latest`).
 * @throws ServiceError 404 unknown environment · JobFailure what the tables do not know, and Dockerfiles that need Docker
 */
export async function planEnvironment(ctx: Ctx, ws: WorkspaceRecord, reference: string): Promise<EnvironmentPlan> {
  const user = await readUserTables(ctx.world.root);
  const rowName = curatedName(ws, reference);
  if (rowName !== undefined) {
    const row = findRow([...user.environments, ...curated], rowName);
    if (row) return fromRow(row, rowName);
  }
  const asset = ctx.assets.resolve(ws, reference, 'environments');
  const properties = asset.properties;
  const row = findRow(user.environments, asset.name);
  if (row) return fromRow(row, asset.name);
  const build = properties['build'] as { contextUri?: string; dockerfilePath?: string } | null | undefined;
  const conda = text(properties['condaFile']);
  let image = text(properties['image']);
  const plan: EnvironmentPlan = { name: asset.name, lines: [], notes: [], variables: {} };
  if (build?.contextUri) {
    const files = await readContext(ctx, ws, build.contextUri);
    const path = build.dockerfilePath ?? 'Dockerfile';
    const dockerfile = files.get(path);
    if (dockerfile === undefined) throw new JobFailure(`The build context has no ${path}.`);
    try {
      const read = readDockerfile(dockerfile, path, (name) => files.get(name));
      image = read.image;
      Object.assign(plan.variables, read.environment);
      merge(plan, read);
    } catch (error) {
      if (error instanceof Failure) throw new JobFailure(error.message);
      throw error;
    }
  }
  if (image !== undefined) {
    const name = imageName(image);
    const known = findRow([...user.images, ...images], name) ?? findRow(user.images, image);
    if (!known)
      throw new JobFailure(
        `Image '${image}' of environment '${asset.name}' is not in the table of images that can stand for a Python environment here. ` +
          `Add a row to environments.yml in the state folder: images: [{match: "${name}", requirements: [...]}].`,
      );
    plan.notes.push(`image '${image}' stands for Python with ${known.requirements.length} packages of its own`);
    plan.lines.unshift(...known.requirements);
  }
  if (conda !== undefined) {
    try {
      merge(plan, readConda(conda));
    } catch (error) {
      if (error instanceof Failure) throw new JobFailure(error.message);
      throw error;
    }
  }
  if (image === undefined && conda === undefined && !build)
    throw new JobFailure(`Environment '${asset.name}' has neither an image nor a build context nor a conda file.`);
  return plan;
}

function merge(plan: EnvironmentPlan, read: Requirements): void {
  plan.lines.push(...read.lines);
  plan.notes.push(...read.notes);
  if (read.python !== undefined) plan.python = read.python;
}

function fromRow(row: EnvironmentRow, name: string): EnvironmentPlan {
  return {
    name,
    lines: [...row.requirements],
    notes: [`environment '${name}' is read from the table of environments`, ...(row.note ? [row.note] : [])],
    variables: {},
  };
}

/** Name under which a reference may stand in the table: registry `azureml` and short curated names. */
function curatedName(ws: { name: string }, reference: string): string | undefined {
  const parsed = parseReference(reference, ws);
  if (parsed.kind === 'asset') return parsed.registry?.toLowerCase() === 'azureml' ? parsed.name : undefined;
  return parsed.kind === 'unknown' ? parseShort(reference)?.name : undefined;
}

/** Whether there is such an environment. @throws ServiceError 404 as the service words it */
export async function checkEnvironment(ctx: Ctx, ws: WorkspaceRecord, reference: string): Promise<void> {
  const name = curatedName(ws, reference);
  if (name === undefined || !findRow([...(await readUserTables(ctx.world.root)).environments, ...curated], name))
    ctx.assets.resolve(ws, reference, 'environments');
}

const tracking = /^(mlflow|mlflow-skinny|azureml-mlflow)\b(?!-)/i;

/** Requirements of the venv: those of the plan, and mlflow in some form, because every job may log. */
export function requirementsOf(plan: EnvironmentPlan): string[] {
  const lines = [...new Set(plan.lines)];
  return lines.some((line) => tracking.test(line)) ? lines : [...lines, 'mlflow-skinny'];
}

export interface BuiltEnvironment {
  venv: Venv;
  variables: Record<string, string>;
  /** Text of `azureml-logs/20_image_build_log.txt`. */
  log: string;
}

/**
 * The virtual environment of a plan. A Python pin is replaced by the host's Python; when pins that belong to that old Python cannot be
 * installed, they are loosened (both said in the log).
 * @throws JobFailure `Image build failed` with the log in `log`
 */
export async function buildEnvironment(plan: EnvironmentPlan, signal?: AbortSignal): Promise<BuiltEnvironment> {
  const python = await findPython();
  const head = plan.notes.map((note) => `# ${note}`);
  const [major, minor] = python.version.split('.');
  const replaced = plan.python !== undefined && !`${plan.python}.`.startsWith(`${major}.${minor}.`);
  if (replaced)
    head.push(`# WARNING: Python ${plan.python} is asked for; this machine's Python ${python.version} is used instead`);
  const requirements = requirementsOf(plan);
  const request = { name: plan.name, ...(signal && { signal }) };
  const done = async (venv: Venv): Promise<BuiltEnvironment> => ({
    venv,
    variables: plan.variables,
    log: `${[...head, venv.built ? '# built' : '# taken from the cache; the log of its build:'].join('\n')}\n${await readBuildLog(venv)}`,
  });
  try {
    return await done(await ensureVenv({ ...request, requirements }));
  } catch (error) {
    if (!(error instanceof Failure) || error.code !== 'EnvironmentBuildFailed') throw error;
    const loose = requirements.map(loosen);
    if (!replaced || loose.join() === requirements.join()) throw imageBuildFailed([...head, error.message].join('\n'));
    head.push(
      '# WARNING: the versions that are pinned cannot be had for this Python; they are loosened:',
      `# ${error.message.split('\n').at(-1)}`,
    );
    try {
      return await done(await ensureVenv({ ...request, requirements: loose }));
    } catch (second) {
      if (!(second instanceof Failure)) throw second;
      throw imageBuildFailed([...head, error.message, second.message].join('\n'));
    }
  }
}

/** The service's words (azure-ml-observed.md §2). */
function imageBuildFailed(log: string): JobFailure & { log: string } {
  const path = 'azureml-logs/20_image_build_log.txt';
  const failure = new JobFailure(`Image build failed. For more details, check log file ${path}.`, 'UserError', {
    messageFormat: 'Image build failed. For more details, check log file {ArtifactPath}.',
    messageParameters: { ArtifactPath: path },
    innerCode: 'BadArgument',
  });
  return Object.assign(failure, { log });
}
