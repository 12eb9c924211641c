/** Builds, timeline, logs, attachments, tags, artifacts, leases. */
import { createReadStream, existsSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { list, missing, ownRun, page, record, requirePerson, theRun, wrongMethod, text } from './answers.js';
import { isoNow } from './files.js';
import type { Handler } from './routes.js';
import type { RunState } from './run-state.js';
import { DevOpsError, type Call } from './call.js';
import type { LocationName } from './locations.js';
import type { RetentionLease, RunDocument, TimelineRecord } from './types.js';
import { zipFolder } from './zip.js';

const web = (call: Call, id: number): string =>
  `${call.server.collectionUri}${encodeURIComponent(call.server.project.name)}/_build/results?buildId=${id}`;

function buildBody(call: Call, { run }: RunState): unknown {
  const { project } = call.server;
  const definition = project.now.definitions.find(({ id }) => id === run.definitionId);
  return {
    _links: { self: { href: `${call.projectUrl}/_apis/build/Builds/${run.id}` }, web: { href: web(call, run.id) } },
    id: run.id,
    buildNumber: run.buildNumber,
    status: run.status,
    ...(run.result === 'none' ? {} : { result: run.result }),
    queueTime: run.queueTime,
    startTime: run.startTime,
    ...(run.finishTime ? { finishTime: run.finishTime } : {}),
    url: `${call.projectUrl}/_apis/build/Builds/${run.id}`,
    uri: `vstfs:///Build/Build/${run.id}`,
    definition: {
      id: run.definitionId,
      name: definition?.name ?? '',
      path: '\\',
      type: 'build',
      project: { id: project.id, name: project.name },
    },
    project: { id: project.id, name: project.name, state: 'wellFormed' },
    sourceBranch: run.sourceBranch,
    sourceVersion: run.sourceVersion,
    repository: run.repository,
    reason: run.reason,
    requestedFor: run.requestedFor,
    requestedBy: run.requestedFor,
    templateParameters: run.templateParameters,
    tags: run.tags,
    plans: [{ planId: run.planId }],
    orchestrationPlan: { planId: run.planId },
    priority: 'normal',
    keepForever: run.leases.length > 0,
    retainedByRelease: false,
    logs: { id: 0, type: 'Container', url: `${call.projectUrl}/_apis/build/builds/${run.id}/logs` },
    properties: run.properties,
  };
}

/** The service's words by the numbers that the package sends for its enumerations (flags: several may be asked for). */
const statusFlags: Record<string, number> = { inProgress: 1, completed: 2, cancelling: 4, postponed: 8, notStarted: 32 };
const resultFlags: Record<string, number> = { succeeded: 2, partiallySucceeded: 4, failed: 8, canceled: 32 };

function filterOf(query: URLSearchParams): (run: RunDocument) => boolean {
  const names = (key: string): string[] | undefined => query.get(key)?.split(',').filter(Boolean);
  const flags = (key: string, known: Record<string, number>): ((name: string) => boolean) => {
    const asked = query.get(key);
    if (!asked || asked === 'all') return () => true;
    if (/^\d+$/.test(asked)) return (name) => ((known[name] ?? 0) & Number(asked)) !== 0;
    return (name) => asked.toLowerCase().split(/,\s*/).includes(name.toLowerCase());
  };
  const [status, result] = [flags('statusFilter', statusFlags), flags('resultFilter', resultFlags)];
  const [ids, definitions, tags] = [names('buildIds'), names('definitions'), names('tagFilters') ?? []];
  const [number, branch] = [query.get('buildNumber'), query.get('branchName')];
  return (run) =>
    status(run.status) &&
    result(run.result) &&
    (!ids || ids.includes(String(run.id))) &&
    (!definitions || definitions.includes(String(run.definitionId))) &&
    (!number || run.buildNumber === number) &&
    (!branch || run.sourceBranch === branch) &&
    tags.every((tag) => run.tags.includes(tag));
}

const builds: Handler = async (call) => {
  const { server, query } = call;
  if (call.params['buildId'] === undefined) {
    if (call.method !== 'GET') throw new DevOpsError(501, 'Runs are started with `amlops run`.', 'NotImplemented');
    const found: RunState[] = [];
    const wanted = filterOf(query);
    for (const id of (await server.project.runIds()).reverse()) {
      const run = await server.run(String(id));
      if (run && wanted(run.run)) found.push(run);
    }
    return page(
      call,
      found,
      ({ id }) => id,
      (run) => buildBody(call, run),
      { falling: true },
    );
  }
  if (call.method === 'PATCH') {
    const run = await ownRun(call);
    requirePerson(call, 'stop builds');
    const { status } = record(call.body);
    // Numbers are what the package sends: its enumerations.
    if (status !== 'cancelling' && status !== 4)
      throw new DevOpsError(501, 'A run can be cancelled here, nothing else.', 'NotImplemented');
    run.events.emit('cancel');
    return { body: buildBody(call, run) };
  }
  if (call.method !== 'GET') wrongMethod(call);
  return { body: buildBody(call, await theRun(call)) };
};

const definitions: Handler = async (call) => {
  const { definitions: all } = await call.server.project.read();
  const body = all.map((definition) => ({
    ...definition,
    path: '\\',
    type: 'build',
    process: { yamlFilename: definition.yamlFilename, type: 2 },
    project: { id: call.server.project.id, name: call.server.project.name },
    url: `${call.projectUrl}/_apis/build/Definitions/${definition.id}`,
  }));
  const id = call.params['definitionId'];
  if (id !== undefined) return { body: body.find((definition) => String(definition.id) === id) ?? missing(`Definition ${id}`) };
  const name = call.query.get('name')?.toLowerCase();
  return list(body.filter((definition) => name === undefined || definition.name.toLowerCase() === name));
};

const timeline: Handler = async (call) => {
  const { run } = await theRun(call);
  const id = call.params['timelineId'];
  const records = id === undefined || id === run.timelineId ? run.records : run.previous[id];
  if (!records) missing(`Timeline ${id}`);
  const url = `${call.projectUrl}/_apis/build/builds/${run.id}`;
  return {
    body: {
      id: id ?? run.timelineId,
      changeId: Math.max(1, ...records.map(({ changeId }) => changeId)),
      url: `${url}/Timeline/${id ?? run.timelineId}`,
      lastChangedOn: isoNow(),
      lastChangedBy: '00000002-0000-8888-8000-000000000000',
      records: records.map((entry: TimelineRecord) => ({
        ...entry,
        log: entry.log ? { ...entry.log, url: `${url}/logs/${entry.log.id}` } : null,
        resultCode: null,
        url: null,
        details: null,
        lastModified: entry.finishTime ?? entry.startTime ?? run.queueTime,
      })),
    },
  };
};

const logs: Handler = async (call) => {
  const run = await theRun(call);
  const id = call.params['logId'];
  if (id === undefined)
    return list(
      run.run.logs.map((log) => ({
        ...log,
        type: 'Container',
        lastChangedOn: log.createdOn,
        url: `${call.projectUrl}/_apis/build/builds/${run.id}/logs/${log.id}`,
      })),
    );
  if (!run.run.logs.some((log) => String(log.id) === id)) missing(`Log ${id}`);
  const start = Math.max(1, Number(call.query.get('startLine') ?? 1));
  const end = Number(call.query.get('endLine') ?? Infinity);
  const lines: string[] = [];
  let number = 0;
  // A step that has said nothing yet has a number, and no file.
  const written = existsSync(run.logPath(Number(id)));
  for await (const line of !written
    ? []
    : createInterface({ input: createReadStream(run.logPath(Number(id))), crlfDelay: Infinity })) {
    number += 1;
    if (number >= start && number <= end) lines.push(line);
    if (number >= end) break;
  }
  if (call.accept.startsWith('application/json')) return list(lines);
  return { text: lines.length > 0 ? `${lines.join('\n')}\n` : '' };
};

const attachments: Handler = async (call) => {
  const { run } = await theRun(call);
  const url = `${call.projectUrl}/_apis/build/builds/${run.id}`;
  return list(
    run.attachments
      .filter(({ type }) => type.toLowerCase() === call.params['type']?.toLowerCase())
      .map(({ type, name, timelineId, recordId }) => ({
        name,
        _links: {
          self: { href: `${url}/${timelineId}/${recordId}/attachments/${encodeURIComponent(type)}/${encodeURIComponent(name)}` },
        },
      })),
  );
};

const attachment: Handler = async (call) => {
  const state = await theRun(call);
  const { recordId, type, name } = call.params;
  const found = state.run.attachments.find((other) => other.recordId === recordId && other.type === type && other.name === name);
  return { file: join(state.folder, (found ?? missing(`Attachment ${name}`)).path) };
};

const artifacts: Handler = async (call) => {
  const state = await theRun(call);
  const { run } = state;
  if (call.method !== 'GET') throw new DevOpsError(501, 'Artifacts are published by steps of the run.', 'NotImplemented');
  const body = run.artifacts.map(({ id, name, source, path }) => ({
    id,
    name,
    source,
    resource: {
      type: 'PipelineArtifact',
      data: join(state.folder, path),
      url: `${call.projectUrl}/_apis/build/builds/${run.id}/artifacts?artifactName=${encodeURIComponent(name)}`,
      downloadUrl: `${call.projectUrl}/_apis/build/builds/${run.id}/artifacts?artifactName=${encodeURIComponent(name)}&$format=zip`,
      properties: {},
    },
  }));
  const wanted = call.query.get('artifactName');
  if (wanted === null) return list(body);
  const found =
    body.find(({ name }) => name === wanted) ?? missing(`Artifact ${wanted} of build ${run.id}`, 'ArtifactNotFoundException');
  if (call.query.get('$format') === 'zip' || call.accept.startsWith('application/zip'))
    return {
      zip: await zipFolder(found.resource.data, wanted),
      headers: { 'content-disposition': 'attachment; filename="artifact.zip"' },
    };
  return { body: found };
};

const tags: Handler = async (call) => {
  if (call.method === 'GET') return list((await theRun(call)).run.tags);
  const state = await ownRun(call);
  const one = call.params['tag'];
  const body = call.body;
  if (call.method === 'PUT' && one !== undefined) state.addTag(one);
  else if (call.method === 'POST' && Array.isArray(body)) for (const tag of body) state.addTag(String(tag));
  else if (call.method === 'DELETE' && one !== undefined) state.run.tags = state.run.tags.filter((tag) => tag !== one);
  else wrongMethod(call);
  state.changed();
  await state.flush();
  return list(state.run.tags);
};

const allTags: Handler = async (call) => {
  const found = new Set<string>();
  for (const id of await call.server.project.runIds())
    for (const tag of (await call.server.run(String(id)))?.run.tags ?? []) found.add(tag);
  return list([...found].sort());
};

const properties: Handler = async (call) => {
  if (call.method === 'GET') return { body: propertyBag((await theRun(call)).run.properties) };
  const state = await ownRun(call);
  for (const change of Array.isArray(call.body) ? call.body.map(record) : []) {
    const name = String(change['path']).replace(/^\//, '');
    if (change['op'] === 'remove') delete state.run.properties[name];
    else state.run.properties[name] = String(change['value']);
  }
  state.changed();
  await state.flush();
  return { body: propertyBag(state.run.properties) };
};

const propertyBag = (values: Record<string, string>): unknown => ({
  count: Object.keys(values).length,
  value: Object.fromEntries(Object.entries(values).map(([key, value]) => [key, { $type: 'System.String', $value: value }])),
});

const leases: Handler = async (call) => {
  const { server, query } = call;
  if (call.method === 'GET') {
    const runId = query.get('runId');
    const found: RetentionLease[] = [];
    for (const id of runId === null ? await server.project.runIds() : [runId])
      found.push(...((await server.run(String(id)))?.run.leases ?? []));
    const one = call.params['leaseId'];
    if (one !== undefined) return { body: found.find(({ leaseId }) => String(leaseId) === one) ?? missing(`Lease ${one}`) };
    const owner = query.get('ownerId');
    return list(found.filter(({ ownerId }) => owner === null || ownerId === owner));
  }
  if (call.method === 'DELETE') {
    requirePerson(call, 'delete retention leases');
    const ids = query.get('ids')?.split(',') ?? [];
    for (const id of await server.project.runIds()) {
      const leased = (await server.run(String(id)))?.run.leases.some(({ leaseId }) => ids.includes(String(leaseId)));
      if (!leased) continue;
      const state = await ownRun({ ...call, params: { ...call.params, buildId: String(id) } });
      state.run.leases = state.run.leases.filter(({ leaseId }) => !ids.includes(String(leaseId)));
      state.changed();
      await state.flush();
    }
    return {};
  }
  if (call.method !== 'POST' || !Array.isArray(call.body)) wrongMethod(call);
  const added: RetentionLease[] = [];
  for (const wanted of call.body.map(record)) {
    const state = await ownRun({ ...call, params: { ...call.params, buildId: String(wanted['runId']) } });
    const days = Number(wanted['daysValid'] ?? 365);
    const lease: RetentionLease = {
      leaseId: Math.max(state.id * 1000, ...state.run.leases.map(({ leaseId }) => leaseId)) + 1,
      definitionId: Number(wanted['definitionId']),
      runId: state.id,
      ownerId: text(wanted['ownerId'], ''),
      protectPipeline: wanted['protectPipeline'] === true,
      createdOn: isoNow(),
      validUntil: new Date(Date.now() + days * 24 * 3600_000).toISOString(),
    };
    state.run.leases.push(lease);
    state.changed();
    await state.flush();
    added.push(lease);
  }
  return list(added);
};

/** A local run has no pushes and no work items of its own. */
const none: Handler = async (call) => {
  await theRun(call);
  return list([]);
};

export const buildHandlers: Partial<Record<LocationName, Handler>> = {
  builds,
  definitions,
  timeline,
  logs,
  attachments,
  attachment,
  artifacts,
  tags,
  allTags,
  properties,
  leases,
  buildLeases: async (call) => list((await theRun(call)).run.leases),
  changes: none,
  workItems: none,
};
