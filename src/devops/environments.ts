/** Environments, approvals and checks as code: what a file asks for, beside what is there; only the difference is written. */
import { Failure } from '../azure/errors.js';
import { checkBodies, checkTypes, taskChecks, type CheckBody, type CheckKind, type WantedCheck } from './check-bodies.js';
import type { EnvironmentsFile, EnvironmentSpec, GuardSpec } from './environments-file.js';
import type { EnvironmentsService, FoundCheck } from './environments-service.js';

interface Change {
  action: 'create' | 'change' | 'delete';
  /** `environment aml-prod`, `endpoint arm-prod`. */
  resource: string;
  /** Words for a person. */
  text: string;
  run: (service: EnvironmentsService) => Promise<void>;
}

export interface EnvironmentsPlan {
  changes: Change[];
  /** What is there and not in the file, and stays. */
  kept: { resource: string; text: string }[];
}

interface PlanOptions {
  /** Also delete checks, and withdraw permissions, that the file does not name on resources that it names. */
  delete: boolean;
}

/**
 * Compares. Reads only.
 * @throws Failure for a service connection, user, group or pipeline that is not there, before anything is written
 */
export async function planEnvironments(
  file: EnvironmentsFile,
  service: EnvironmentsService,
  options: PlanOptions,
): Promise<EnvironmentsPlan> {
  const plan: EnvironmentsPlan = { changes: [], kept: [] };
  await service.checkProject();
  const identities = await resolveIdentities(file, service);
  for (const spec of file.environments) await planEnvironment(plan, spec, service, identities, options);
  for (const spec of file.serviceConnections) {
    const found = await service.serviceConnection(spec.name);
    if (!found)
      throw new Failure(`Service connection '${spec.name}' does not exist, or the token may not see it.`, {
        code: 'ServiceConnectionUnknown',
        advice: 'Make the connection first; this file only guards it.',
      });
    const place = { type: 'endpoint', id: found.id, name: found.name };
    await planChecks(plan, spec, place, await service.checks('endpoint', found.id), identities, options);
    await planPermissions(plan, spec, place, service, options);
  }
  for (const name of file.delete.environments) {
    const found = await service.environment(name);
    if (found)
      plan.changes.push({
        action: 'delete',
        resource: `environment ${found.name}`,
        text: 'the environment, its checks and its history',
        run: (api) => api.deleteEnvironment(found.id),
      });
  }
  return plan;
}

/** Carries a plan out, in its order. @returns how many changes were made */
export async function applyEnvironments(
  plan: EnvironmentsPlan,
  service: EnvironmentsService,
  done: (change: Change) => void = () => undefined,
): Promise<number> {
  let count = 0;
  for (const change of plan.changes) {
    try {
      await change.run(service);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Failure(
        `${change.resource}: ${change.action} ${change.text}: ${reason} ${count} of ${plan.changes.length} changes were made; apply again to make the rest.`,
        {
          code: 'ApplyStopped',
          ...(error instanceof Failure && error.details.advice ? { advice: error.details.advice } : {}),
          cause: error,
        },
      );
    }
    count += 1;
    done(change);
  }
  return count;
}

async function resolveIdentities(file: EnvironmentsFile, service: EnvironmentsService): Promise<Map<string, string>> {
  const names = new Set(
    [...file.environments, ...file.serviceConnections].flatMap(({ approvals }) =>
      (approvals ?? []).flatMap(({ approvers }) => approvers),
    ),
  );
  const found = new Map<string, string>();
  const problems: string[] = [];
  for (const name of names)
    try {
      found.set(name, (await service.identity(name)).id);
    } catch (error) {
      if (!(error instanceof Failure) || !error.code.startsWith('Identity')) throw error;
      problems.push(error.message);
    }
  if (problems.length > 0)
    throw new Failure(problems.join('\n'), {
      code: 'IdentityUnknown',
      advice: 'Users are found by sign-in name or display name, groups as [project]\\Group.',
    });
  return found;
}

type Place = CheckBody['resource'];

async function planEnvironment(
  plan: EnvironmentsPlan,
  spec: EnvironmentSpec,
  service: EnvironmentsService,
  identities: Map<string, string>,
  options: PlanOptions,
): Promise<void> {
  const found = await service.environment(spec.name);
  const resource = `environment ${spec.name}`;
  const place: Place = { type: 'environment', id: found ? String(found.id) : '', name: found?.name ?? spec.name };
  if (!found)
    plan.changes.push({
      action: 'create',
      resource,
      text: spec.description ? `the environment: ${spec.description}` : 'the environment',
      // Its id is known from now on: the changes that follow are of the same place.
      run: async (api) => void (place.id = String((await api.createEnvironment(spec.name, spec.description ?? '')).id)),
    });
  else if (spec.description !== undefined && spec.description !== found.description)
    plan.changes.push({
      action: 'change',
      resource,
      text: `description: '${found.description}' -> '${spec.description}'`,
      run: (api) => api.updateEnvironment(found.id, spec.description ?? ''),
    });
  await planChecks(plan, spec, place, found ? await service.checks('environment', place.id) : [], identities, options);
  await planPermissions(plan, spec, place, service, options);
}

async function planChecks(
  plan: EnvironmentsPlan,
  spec: GuardSpec,
  place: Place,
  found: FoundCheck[],
  identities: Map<string, string>,
  options: PlanOptions,
): Promise<void> {
  const resource = `${place.type} ${place.name}`;
  const wanted = checkBodies(spec, place, (name) => identities.get(name) ?? '');
  const managed: Record<CheckKind, boolean> = {
    approval: spec.approvals !== undefined,
    branchControl: spec.branchControl !== undefined,
    requiredTemplate: spec.requiredTemplates !== undefined,
    exclusiveLock: spec.exclusiveLock !== undefined,
  };
  const rest = found.filter((check) => {
    const equal = wanted.findIndex((other) => kindOf(check) === other.kind && fingerprint(check) === fingerprint(other.body));
    if (equal < 0) return true;
    wanted.splice(equal, 1);
    return false;
  });
  for (const want of wanted) {
    const index = rest.findIndex((check) => kindOf(check) === want.kind);
    const [old] = index < 0 ? [] : rest.splice(index, 1);
    plan.changes.push(
      old
        ? changed(resource, place, old, want)
        : { action: 'create', resource, text: want.title, run: (api) => api.addCheck({ ...want.body, resource: place }) },
    );
  }
  for (const check of rest) {
    const kind = kindOf(check);
    const text = describe(check);
    if (kind !== undefined && managed[kind] && options.delete)
      plan.changes.push({ action: 'delete', resource, text, run: (api) => api.deleteCheck(check.id) });
    else plan.kept.push({ resource, text });
  }
  return Promise.resolve();
}

function changed(resource: string, place: Place, old: FoundCheck, want: WantedCheck): Change {
  const differing = differences(comparable(old), comparable(want.body));
  return {
    action: 'change',
    resource,
    text: `${want.title} (${differing.join('; ')})`,
    run: (api) => api.updateCheck(old.id, { ...want.body, resource: place }),
  };
}

async function planPermissions(
  plan: EnvironmentsPlan,
  spec: GuardSpec,
  place: Place,
  service: EnvironmentsService,
  options: PlanOptions,
): Promise<void> {
  if (spec.pipelines === undefined) return;
  const resource = `${place.type} ${place.name}`;
  const now = place.id ? await service.permissions(place.type, place.id) : { all: false, pipelines: [] };
  if (spec.pipelines === 'all') {
    if (!now.all)
      plan.changes.push({
        action: 'change',
        resource,
        text: 'open to all pipelines',
        run: (api) => api.authorize(place.type, place.id, { all: true }),
      });
    return;
  }
  const wanted = new Map<number, string | number>();
  for (const name of spec.pipelines) wanted.set(await service.pipelineId(name), name);
  const missing = [...wanted].filter(([id]) => !now.pipelines.includes(id));
  if (missing.length > 0)
    plan.changes.push({
      action: 'change',
      resource,
      text: `may be used by ${missing.map(([, name]) => String(name)).join(', ')}`,
      run: (api) => api.authorize(place.type, place.id, { pipelines: missing.map(([id]) => ({ id, authorized: true })) }),
    });
  const extra = now.pipelines.filter((id) => !wanted.has(id));
  const withdraw = [...(now.all ? ['all pipelines'] : []), ...extra.map((id) => `pipeline ${id}`)].join(', ');
  if (!withdraw) return;
  if (options.delete)
    plan.changes.push({
      action: 'delete',
      resource,
      text: `permission of ${withdraw}`,
      run: (api) =>
        api.authorize(place.type, place.id, {
          ...(now.all ? { all: false } : {}),
          pipelines: extra.map((id) => ({ id, authorized: false })),
        }),
    });
  else plan.kept.push({ resource, text: `permission of ${withdraw}` });
}

function kindOf(check: CheckBody): CheckKind | undefined {
  const definition = (check.settings?.['definitionRef'] as { id?: string } | undefined)?.id?.toLowerCase();
  const type = check.type.id.toLowerCase();
  if (type === checkTypes.approval) return 'approval';
  if (type === checkTypes.exclusiveLock) return 'exclusiveLock';
  if (type === checkTypes.requiredTemplate) return 'requiredTemplate';
  return type === checkTypes.task && definition === taskChecks.branchControl ? 'branchControl' : undefined;
}

function describe(check: FoundCheck): string {
  const settings = check.settings ?? {};
  const kind = kindOf(check);
  if (kind === 'approval') {
    const approvers = (settings['approvers'] ?? []) as { id: string; displayName?: string }[];
    return `approval by ${approvers.map(({ id, displayName }) => displayName ?? id).join(', ')}`;
  }
  const name = settings['displayName'];
  return (
    { branchControl: 'branch control', requiredTemplate: 'required template', exclusiveLock: 'exclusive lock' }[
      kind as 'exclusiveLock'
    ] ?? (typeof name === 'string' ? name : check.type.name)
  );
}

/** What matters of a check, the same whether it comes from the file or from the service (which adds display names and drops defaults). */
function comparable(check: CheckBody): Record<string, string> {
  const settings = check.settings ?? {};
  const text = (value: unknown): string =>
    typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? String(value) : '';
  const timeout = String(check.timeout ?? 43_200);
  switch (kindOf(check)) {
    case 'approval': {
      const order = text(settings['executionOrder']) || 'anyOrder';
      const inSequence = order === 'inSequence' || order === '2';
      const approvers = ((settings['approvers'] ?? []) as { id: string }[]).map(({ id }) => id.toLowerCase());
      return {
        approvers: (inSequence ? approvers : approvers.sort()).join(','),
        order: inSequence ? 'inSequence' : 'anyOrder',
        minimumApprovers: text(settings['minRequiredApprovers']) || '0',
        instructions: text(settings['instructions']),
        requesterCannotApprove: text(settings['requesterCannotBeApprover']) || 'false',
        phase:
          text((settings['definitionRef'] as { id?: string } | undefined)?.id).toLowerCase() ||
          '26014962-64a0-49f4-885b-4b874119a5cc',
        timeout,
      };
    }
    case 'branchControl': {
      const inputs = (settings['inputs'] ?? {}) as Record<string, unknown>;
      const branches = text(inputs['allowedBranches'])
        .split(',')
        .map((branch) => branch.trim());
      return {
        allowedBranches: branches.sort().join(','),
        protectedOnly: (text(inputs['ensureProtectionOfBranch']) || 'false').toLowerCase(),
        allowUnknownStatus: (
          text(inputs['allowUnknownStatusBranch']) ||
          text(inputs['allowUnknownStatusBranches']) ||
          'false'
        ).toLowerCase(),
        timeout,
      };
    }
    case 'requiredTemplate': {
      const templates = (settings['extendsChecks'] ?? []) as Record<string, unknown>[];
      return {
        templates: templates
          .map((one) =>
            ['repositoryType', 'repositoryName', 'repositoryRef', 'templatePath'].map((key) => text(one[key])).join(' '),
          )
          .sort()
          .join(', '),
      };
    }
    default:
      return {};
  }
}

const fingerprint = (check: CheckBody): string => JSON.stringify([kindOf(check), comparable(check)]);

function differences(before: Record<string, string>, after: Record<string, string>): string[] {
  return Object.keys(after).flatMap((key) => {
    const [old = '', now = ''] = [before[key], after[key]];
    if (old === now) return [];
    return [key === 'approvers' || key === 'phase' ? `other ${key}` : `${key}: '${old}' -> '${now}'`];
  });
}
