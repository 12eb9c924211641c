/** Builds, timeline, logs, attachments, tags, artifacts, leases. */
import { createReadStream } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { list, missing, ownRun, record, requirePerson, theRun, wrongMethod, text } from './answers.js';
import { isoNow } from './files.js';
import type { Handler } from './routes.js';
import type { RunState } from './run-state.js';
import { DevOpsError, type Call } from './call.js';
import type { LocationName } from './locations.js';
import type { RetentionLease, TimelineRecord } from './types.js';

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

const builds: Handler = async (call) => {
  const { server, query } = call;
  if (call.params['buildId'] === undefined) {
    if (call.method !== 'GET') throw new DevOpsError(501, 'Runs are started with `amlops run`.', 'NotImplemented');
    const found: RunState[] = [];
    for (const id of (await server.project.runIds()).reverse()) {
      const run = await server.run(String(id));
      const ids = query.get('definitions')?.split(',');
      const tags = query.get('tagFilters')?.split(',') ?? [];
      if (run && (!ids || ids.includes(String(run.run.definitionId))) && tags.every((tag) => run.run.tags.includes(tag)))
        found.push(run);
      if (found.length >= Number(query.get('$top') ?? 1000)) break;
    }
    return list(found.map((run) => buildBody(call, run)));
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
  for await (const line of createInterface({ input: createReadStream(run.logPath(Number(id))), crlfDelay: Infinity })) {
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
      properties: {},
    },
  }));
  const wanted = call.query.get('artifactName');
  if (wanted === null) return list(body);
  return { body: body.find(({ name }) => name === wanted) ?? missing(`Artifact ${wanted} of build ${run.id}`) };
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
  if (call.method !== 'POST' || !Array.isArray(call.body)) wrongMethod(call);
  const added: RetentionLease[] = [];
  for (const wanted of call.body.map(record)) {
    const state = await ownRun({ ...call, params: { ...call.params, buildId: String(wanted['runId']) } });
    const days = Number(wanted['daysValid'] ?? 365);
    const lease: RetentionLease = {
      leaseId: state.id * 1000 + state.run.leases.length + 1,
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
