/** Checks of jobs and nodes at submission, worded as the service words its refusals. */
import type { Ctx, WorkspaceRecord } from '../context.js';
import { ServiceError } from '../errors.js';
import { checkEnvironment } from './environment/resolve.js';
import { asObject, asText, either, type Json } from './json.js';

const refused: Record<string, string> = {
  spark: 'Spark steps need a Spark pool',
  automl: 'AutoML steps need the AutoML service',
  do_while: 'control-flow nodes (do_while) are not built',
  parallel_for: 'control-flow nodes (parallel_for) are not built',
  if_else: 'control-flow nodes (if_else) are not built',
  condition: 'control-flow nodes (condition) are not built',
  import: 'import nodes are not built',
  finetuning: 'fine-tuning needs the service',
};

/** 501 with the name of what is missing: never a fake success. */
export function notRunnable(what: string, where: string): ServiceError {
  return new ServiceError(
    501,
    'NotImplemented',
    `The embedded workspace cannot run ${where}: ${refused[what] ?? `nodes of type '${what}' are not built`}.`,
    {
      target: where,
    },
  );
}

export const invalid = (message: string, target?: string): ServiceError =>
  new ServiceError(400, 'UserError', message, { inner: ['BadArgument'], ...(target !== undefined && { target }) });

/** Paths in a datastore that lead out of it. */
export function checkPath(uri: string | undefined, where: string): void {
  if (uri !== undefined && /(^|[/\\])\.\.([/\\]|$)/.test(decodeURIComponent(uri.replace(/%(?![0-9a-f]{2})/gi, '%25'))))
    throw invalid(`The path '${uri}' leaves its folder.`, where);
}

/** What is missing is worded as everywhere in the service; `target` says whose it is. */
async function atPlace<T>(where: string, look: () => T | Promise<T>): Promise<T> {
  try {
    return await look();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new ServiceError(error.status, error.code, error.message, { ...error.options, target: where });
  }
}

/** Checks that hold for anything with an environment, code and a command. */
export async function checkCommand(
  ctx: Ctx,
  ws: WorkspaceRecord,
  where: string,
  spec: { environment?: string | undefined; code?: string | undefined },
): Promise<void> {
  if (!spec.environment) throw invalid(`${where} names no environment.`, where);
  await atPlace(where, () => checkEnvironment(ctx, ws, spec.environment ?? ''));
  if (spec.code) {
    const reference = spec.code;
    const code = await atPlace(where, () => ctx.assets.resolve(ws, reference, 'codes'));
    checkPath(asText(code.properties['codeUri']), where);
  }
}

/** Instances that a node asks for. */
export function instanceCount(spec: Json, node: Json): number {
  const count =
    asText(either(asObject(node['resources']), 'instance_count')) ??
    asText(either(asObject(spec['resources']), 'instance_count'));
  return Math.max(1, Number(count ?? 1) || 1);
}

/** One machine, one process: more would be pretended. @throws ServiceError 501 */
export function checkOneMachine(source: Json, where: string, instances: number): void {
  if (instances > 1)
    throw new ServiceError(
      501,
      'NotImplemented',
      `${where} asks for ${instances} instances; the embedded workspace runs a job on one machine.`,
      {
        target: 'resources.instanceCount',
      },
    );
  const distribution = asObject(source['distribution']);
  const processes = Number(asText(either(distribution, 'process_count_per_instance')) ?? 1);
  const workers = Number(asText(either(distribution, 'worker_count')) ?? 1);
  if (processes > 1 || workers > 1)
    throw new ServiceError(
      501,
      'NotImplemented',
      `${where} asks for distributed processes; the embedded workspace runs one process.`,
      {
        target: 'distribution',
      },
    );
}
