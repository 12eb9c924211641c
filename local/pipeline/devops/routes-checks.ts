/** Check configurations, check suites and approvals: what the node package has no methods for (reference azure-devops-rest §4, §5). */
import { list, missing, record, requirePerson, wrongMethod, text } from './answers.js';
import { isoNow } from './files.js';
import type { LocationName } from './locations.js';
import type { Handler } from './routes.js';
import type { RunState } from './run-state.js';
import { DevOpsError, type Call } from './call.js';
import type { Approval, CheckConfiguration, ResourceRef } from './types.js';

const view = (call: Call, check: CheckConfiguration, expand: boolean): unknown => {
  const { settings, ...rest } = check;
  return {
    ...rest,
    ...(expand ? { settings } : {}),
    url: `${call.projectUrl}/_apis/pipelines/checks/configurations/${check.id}`,
  };
};

const checks: Handler = async (call) => {
  const { project } = call.server;
  const id = call.params['id'];
  const expand = call.query.get('$expand') === 'settings';
  if (call.method === 'GET') {
    const all = (await project.read()).checks;
    if (id !== undefined)
      return { body: view(call, all.find((check) => String(check.id) === id) ?? missing(`Check ${id}`), expand) };
    const type = call.query.get('resourceType');
    const resource = call.query.get('resourceId');
    return list(
      all
        .filter((check) => (!type || check.resource.type === type) && (!resource || check.resource.id === resource))
        .map((check) => view(call, check, expand)),
    );
  }
  requirePerson(call, 'administer checks');
  return await project.change((document) => {
    const body = record(call.body);
    if (call.method === 'POST') {
      const check = checkOf(body, document.next++);
      document.checks.push(check);
      return { body: view(call, check, true) };
    }
    const known = document.checks.find((check) => String(check.id) === id) ?? missing(`Check ${id}`);
    if (call.method === 'PATCH') {
      const changed = checkOf({ ...known, ...body }, known.id);
      Object.assign(known, changed, { createdOn: known.createdOn });
      return { body: view(call, known, true) };
    }
    if (call.method !== 'DELETE') wrongMethod(call);
    document.checks = document.checks.filter((check) => check !== known);
    return {};
  });
};

function checkOf(body: Record<string, unknown>, id: number): CheckConfiguration {
  const type = record(body['type']);
  const resource = record(body['resource']);
  if (typeof type['id'] !== 'string' || typeof resource['type'] !== 'string' || resource['id'] === undefined)
    throw new DevOpsError(400, 'A check needs type.id, resource.type and resource.id.');
  const settings = record(body['settings']);
  for (const approver of Array.isArray(settings['approvers']) ? settings['approvers'].map(record) : [])
    if (typeof approver['id'] !== 'string') throw new DevOpsError(400, 'An approver needs the id of an identity.');
  return {
    id,
    type: { id: type['id'], name: text(type['name'], '') },
    settings,
    resource: { type: resource['type'] as ResourceRef['type'], id: text(resource['id']), name: text(resource['name'], '') },
    timeout: Number(body['timeout'] ?? 43_200),
    createdOn: isoNow(),
    modifiedOn: isoNow(),
  };
}

const checksQuery: Handler = async (call) => {
  const wanted = (Array.isArray(call.body) ? call.body : []).map(record);
  const { checks: all } = await call.server.project.read();
  return list(
    all
      .filter(({ resource }) => wanted.some((other) => other['type'] === resource.type && String(other['id']) === resource.id))
      .map((check) => view(call, check, call.query.get('$expand') === 'settings')),
  );
};

async function everyRun(call: Call): Promise<RunState[]> {
  const found: RunState[] = [];
  for (const id of (await call.server.project.runIds()).reverse()) {
    const run = await call.server.run(String(id));
    if (run) found.push(run);
  }
  return found;
}

const approvalView = (call: Call, approval: Approval, expand: string | null): unknown => {
  const { steps, ...rest } = approval;
  const href = `${call.projectUrl}/_apis/pipelines/approvals/${approval.id}`;
  return { ...rest, ...(expand?.includes('steps') ? { steps } : {}), _links: { self: { href } } };
};

const approvals: Handler = async (call) => {
  const expand = call.query.get('$expand');
  const id = call.params['approvalId'];
  const runs = await everyRun(call);
  const all = runs.flatMap((state) => state.run.approvals);
  if (call.method === 'GET') {
    if (id !== undefined)
      return {
        body: approvalView(
          call,
          all.find((approval) => approval.id.toLowerCase() === id.toLowerCase()) ?? missing(`Approval ${id}`),
          expand,
        ),
      };
    const ids = call.query.get('approvalIds')?.toLowerCase().split(',');
    const state = call.query.get('state');
    const who = (call.query.get('assignedTo') ?? call.query.get('userIds'))?.toLowerCase().split(',').filter(Boolean);
    const asked = ({ steps }: Approval): boolean =>
      !who?.length ||
      steps.some(({ assignedApprover: { id: approver, uniqueName, displayName } }) =>
        [approver, uniqueName, displayName].some((name) => who.includes(name.toLowerCase())),
      );
    const found = all.filter(
      (approval) =>
        (!ids || ids.includes(approval.id.toLowerCase())) &&
        (!state || state === 'all' || approval.status === state) &&
        asked(approval),
    );
    return list(found.slice(0, Number(call.query.get('top') ?? 500)).map((approval) => approvalView(call, approval, expand)));
  }
  if (call.method !== 'PATCH' || !Array.isArray(call.body)) wrongMethod(call);
  requirePerson(call, 'approve');
  const answered: Approval[] = [];
  for (const update of call.body.map(record)) {
    const approvalId = String(update['approvalId']);
    const run = [...call.server.runs.values()].find((state) => state.approval(approvalId));
    if (!run) missing(`A pending approval ${approvalId} of a run of this process`);
    const status = update['status'];
    if (status !== 'approved' && status !== 'rejected')
      throw new DevOpsError(
        501,
        'An approval is approved or rejected here; deferring and reassigning are not built.',
        'NotImplemented',
      );
    const comment = typeof update['comment'] === 'string' ? update['comment'] : '';
    answered.push(run.answer(approvalId, { status, comment }, call.caller.identity, { onBehalf: false }));
    await run.flush();
  }
  return list(answered.map((approval) => approvalView(call, approval, 'steps')));
};

const suites: Handler = async (call) => {
  const id = call.params['checkSuiteId']?.toLowerCase();
  const found = (await everyRun(call))
    .flatMap((state) => state.run.suites.map((suite) => ({ state, suite })))
    .find(({ suite }) => suite.id.toLowerCase() === id);
  if (!found) missing(`Check suite ${id}`);
  const { state, suite } = found;
  if (call.method === 'PATCH') {
    requirePerson(call, 'bypass checks');
    const { checkId, action } = record(call.body);
    if (action !== 'bypass') throw new DevOpsError(501, 'A check can be bypassed here, nothing else.', 'NotImplemented');
    const check = suite.checkRuns.find((run) => run.id === checkId) ?? missing('The check');
    if (!call.server.runs.has(state.id)) throw new DevOpsError(409, `Run ${state.id} does not run in this process.`);
    if (check.status !== 'running' && check.status !== 'queued') throw new DevOpsError(400, `The check is ${check.status}.`);
    check.status = 'bypassed';
    state.closeApproval(check.id, 'skipped', call.caller.identity);
    state.changed();
    state.events.emit('bypass', check.id);
  } else if (call.method !== 'GET') wrongMethod(call);
  const { resources, ...rest } = suite;
  return {
    body: call.query.get('$expand') === 'resources' ? suite : { ...rest, ...(call.method === 'PATCH' ? { resources } : {}) },
  };
};

export const checkHandlers: Partial<Record<LocationName, Handler>> = { checks, checksQuery, approvals, suites };
