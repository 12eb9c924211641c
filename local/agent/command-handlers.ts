/** The commands that the agent knows, and what each does (task-contract B.6.2; agent: TaskCommandExtension.cs, Build/*.cs). */
import { existsSync, statSync } from 'node:fs';
import { basename, isAbsolute, relative, resolve, sep } from 'node:path';
import type { LoggingCommand } from './command.js';
import { mergeResults, parseResult } from './result.js';
import type { Restrictions } from './restrictions.js';
import type { StepState } from './step-state.js';
import { prependPath, setEndpoint, setTaskVariable, setVariable } from './set-commands.js';
import type { TimelineRecord } from './types.js';

/** Carries a command out; throws what the agent would throw (the step fails then). */
export type CommandHandler = (command: LoggingCommand, state: StepState, restrictions: Restrictions) => void;

const needed = (command: LoggingCommand, key: string): string => {
  const value = command.properties.get(key.toLowerCase());
  if (!value) throw new Error(`Required field '${key}' is missing in ##vso[${command.area}.${command.event}] command.`);
  return value;
};

/** The agent looks a path up from its own folder, not from the sources, and as it is written: a relative one is a mistake that shows. */
const existing = (path: string, state: StepState, what: string): string => {
  const full = resolve(state.job.folders.root, path);
  if (path.trim() === '' || !existsSync(full)) throw new Error(`Cannot upload ${what} ${path}, file does not exist.`);
  return full;
};

/** Attachments of all kinds are single files. */
const existingFile = (path: string, state: StepState, what: string): string => {
  const full = existing(path, state, what);
  if (!statSync(full).isFile()) throw new Error(`Cannot upload ${what}, attachment file location is invalid: ${path}`);
  return full;
};

/** Characters that a file name cannot hold, on any of the agents: names become files on the server's side. */
const invalidName = /[\u0000-\u001f"<>|:*?\\/]/;
const legalName = (value: string, key: string): string => {
  if (invalidName.test(value) || /^\.+$/.test(value)) throw new Error(`${key} contains invalid characters. ('${value}')`);
  return value;
};

const whole = (text: string | undefined): number | undefined => (text && /^\d+$/.test(text.trim()) ? Number(text) : undefined);

const logIssue: CommandHandler = ({ properties, data }, state) => {
  const type = properties.get('type')?.toLowerCase();
  if (!type) {
    state.warn("Can't create TaskIssue from logging event.");
    return;
  }
  if (type !== 'error' && type !== 'warning')
    throw new Error(`issue type ${properties.get('type')} is not an expected issue type.`);
  const [line, column] = [whole(properties.get('linenumber')), whole(properties.get('columnnumber'))];
  const code = properties.get('code');
  let path = properties.get('sourcepath');
  let message = data;
  if (path) {
    const { sources } = state.job.folders;
    const inside = relative(sources, resolve(sources, path));
    if (isAbsolute(path) && !inside.startsWith('..')) path = inside.split(sep).join('/');
    // As compilers do; what was not said leaves its place empty.
    const part = (key: string): string => properties.get(key) ?? '';
    message = `${path}(${part('linenumber')},${part('columnnumber')}): ${part('type')} ${part('code')}: ${data}`;
  }
  state.issue({
    type,
    message,
    ...(path ? { sourcepath: path } : {}),
    ...(line === undefined ? {} : { linenumber: line }),
    ...(column === undefined ? {} : { columnnumber: column }),
    ...(code ? { code } : {}),
  });
};

const complete: CommandHandler = ({ properties, data }, state) => {
  const result = parseResult(properties.get('result'));
  if (!result) throw new Error('Command does not have valid result value.');
  state.outcome = mergeResults(state.outcome, result);
  state.result.message = state.job.masker.mask(data);
  state.result.progress = { percent: 100, text: state.result.message };
  if (['true', '1', '$true'].includes(properties.get('done')?.toLowerCase() ?? '')) state.done?.();
};

const setProgress: CommandHandler = ({ properties, data }, state) => {
  // A number that is none changes nothing; more than everything is everything; progress never goes back.
  const before = state.result.progress?.percent ?? 0;
  const percent = Math.min(Math.max(before, whole(properties.get('value')) ?? 0), 100);
  state.result.progress = { percent, text: state.job.masker.mask(data) };
};

const addAttachment: CommandHandler = (command, state) => {
  const type = legalName(needed(command, 'type'), 'type');
  const name = legalName(needed(command, 'name'), 'name');
  if (state.job.variables.get('agent.forbidattachments')?.value.toLowerCase() === 'true') return;
  const path = existingFile(command.data, state, 'attachment file');
  state.job.atEnd({ kind: 'attachments', state, type, name, path });
};

const uploadSummary: CommandHandler = ({ data }, state) => {
  const path = existingFile(data, state, 'summary file');
  state.job.atEnd({ kind: 'summaries', state, type: 'Distributedtask.Core.Summary', name: basename(path), path });
};

const uploadFile: CommandHandler = ({ data }, state) => {
  const path = existingFile(data, state, 'file');
  state.job.atEnd({ kind: 'uploads', state, type: 'DistributedTask.Core.FileAttachment', name: basename(path), path });
};

const logDetail: CommandHandler = (command, state) => {
  const { properties } = command;
  const id = needed(command, 'id').toLowerCase();
  if (!/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/.test(id)) throw new Error('Unable to parse the id of the timeline record.');
  let record: TimelineRecord | undefined = state.result.timeline.find((known) => known.id === id);
  const parentId = properties.get('parentid')?.toLowerCase();
  if (!record) {
    const parent = parentId === undefined || state.result.timeline.some((known) => known.id === parentId);
    if (!parent) throw new Error("Parent timeline record of this timeline record hasn't been created.");
    record = { id, type: needed(command, 'type'), name: needed(command, 'name'), state: 'InProgress' };
    if (parentId) record.parentId = parentId;
    state.result.timeline.push(record);
  } else if (parentId !== undefined && parentId !== record.parentId) {
    throw new Error('The parent of a timeline record cannot be changed.');
  }
  if (properties.get('type') === 'Job') throw new Error("The type of a timeline record cannot be 'Job'.");
  record.name = properties.get('name') ?? record.name;
  record.type = properties.get('type') ?? record.type;
  const order = whole(properties.get('order'));
  if (order !== undefined) record.order = order;
  const progress = whole(properties.get('progress'));
  if (progress !== undefined) record.progress = Math.min(progress, 100);
  for (const [key, member] of [
    ['starttime', 'startTime'],
    ['finishtime', 'finishTime'],
  ] as const) {
    const value = properties.get(key);
    if (value !== undefined && !Number.isNaN(Date.parse(value))) record[member] = value;
  }
  const said = properties.get('state');
  // Letter by letter; any other word is none of them.
  if (said !== undefined) record.state = ['Pending', 'InProgress', 'Completed'].includes(said) ? said : 'Pending';
  const result = properties.get('result');
  if (result !== undefined) record.result = parseResult(result) ?? 'Succeeded';
  if (record.state === 'Completed') record.progress ??= 100;
};

const addBuildTag: CommandHandler = ({ data }, state) => {
  const tag = data.trim();
  if (tag === '') throw new Error('Build tag is required.');
  if (!state.result.buildTags.includes(tag)) state.result.buildTags.push(tag);
};

const updateBuildNumber: CommandHandler = ({ data }, state) => {
  const number = data.trim();
  if (number === '') throw new Error('Build number is required.');
  if (/["/:<>\\|?@*]/.test(number) || number.endsWith('.') || number.length > 255) {
    throw new Error(`The build number ${number} is not legal.`);
  }
  state.result.buildNumber = number;
  state.job.variables.set('Build.BuildNumber', { value: number });
};

const uploadArtifact: CommandHandler = (command, state) => {
  const name = legalName(needed(command, 'artifactname'), 'artifactname');
  for (const variable of ['Build.BuildId', 'Build.ContainerId'])
    if (!state.job.variables.get(variable)?.value) throw new Error(`${variable} is not set: artifacts belong to a build.`);
  const path = existing(command.data, state, 'artifact');
  state.job.keepArtifact(state, name, path);
};

/** A share, a server's path or a file container; nothing else can be told by its location. */
function locationType(location: string): string {
  if (/^(\\\\|\/\/|file:\/\/)[^\\/]/i.test(location)) return 'filepath';
  if (/^\$[\\/]/.test(location)) return 'versioncontrol';
  if (location.startsWith('#')) return 'container';
  throw new Error(`Cannot infer the type of the artifact from its location '${location}'.`);
}

const associateArtifact: CommandHandler = (command, state) => {
  const name = needed(command, 'artifactname');
  // `type`, which the task library sends, is not read: the agent infers the type then.
  const type = command.properties.get('artifacttype') ?? locationType(command.data);
  if (/^(container|filepath|versioncontrol)$/i.test(type) && command.data === '')
    throw new Error('Artifact location is required.');
  state.result.artifacts.push({ name, type, path: command.data });
};

const publishResults: CommandHandler = (command, state) => {
  const type = needed(command, 'type');
  const files = (command.properties.get('resultfiles') ?? '')
    .split(',')
    .map((file) => file.trim())
    .filter((file) => file !== '');
  if (files.length === 0) throw new Error('No test result files were specified.');
  const title = command.properties.get('runtitle') ?? '';
  state.job.keepTestResults(
    state,
    type,
    title,
    files.map((file) => existingFile(file, state, 'test results')),
  );
};

const nothing: CommandHandler = () => undefined;

/** Areas that only one kind of host has, by `System.HostType`. */
export const hostsOf: Record<string, string[]> = { build: ['build'], artifact: ['build'], release: ['release', 'deployment'] };

/** By area and event, in lower case. */
export const handlers: Record<string, Record<string, CommandHandler>> = {
  task: {
    logissue: logIssue,
    issue: logIssue,
    complete,
    setprogress: setProgress,
    setvariable: setVariable,
    settaskvariable: setTaskVariable,
    setsecret: ({ data }, { job }) => job.hide(data),
    setendpoint: setEndpoint,
    debug: ({ data }, state) => {
      if (state.debugging) for (const line of data.split(/\r\n|\r|\n/)) state.log(`##[debug]${line}`);
    },
    prependpath: prependPath,
    addattachment: addAttachment,
    uploadsummary: uploadSummary,
    uploadfile: uploadFile,
    logdetail: logDetail,
  },
  build: { addbuildtag: addBuildTag, updatebuildnumber: updateBuildNumber, uploadlog: uploadFile, uploadsummary: uploadSummary },
  artifact: { upload: uploadArtifact, associate: associateArtifact },
  release: {
    updatereleasename: ({ data }, state) => {
      if (data.trim() === '') throw new Error('Release name is required.');
      state.result.releaseName = data.trim();
    },
  },
  results: { publish: publishResults },
  codecoverage: { publish: nothing, enable: nothing },
  telemetry: { publish: nothing },
};
