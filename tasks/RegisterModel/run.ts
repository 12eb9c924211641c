/** The story of RegisterModel: find the bytes, judge the model, register it once, say where it comes from. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jobLineage, type JobLineage } from '../../src/aml/models-lineage.js';
import { trainingMetrics } from '../../src/aml/models-metrics.js';
import { readMlModel } from '../../src/aml/models-mlmodel.js';
import { WorkspaceStore } from '../../src/aml/models-store.js';
import { WorkspaceModels } from '../../src/aml/models.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { Failure } from '../../src/azure/errors.js';
import { judge, missingMetrics, type GateFacts, type Metrics, type Verdict } from '../../src/release/gate.js';
import {
  digestOfVersion,
  evaluationFingerprint,
  EVALUATION_DATA,
  lineageTags,
  cutTags,
  snapshotOf,
  stableName,
} from '../../src/release/lineage.js';
import { championFacts } from '../../src/release/plan.js';
import { readPointer } from '../../src/release/record.js';
import { registerModel, type Registered } from '../../src/release/register.js';
import { escapeMarkdown, verdictMarkdown } from '../../src/release/verdict-report.js';
import type { Outcome, Platform } from '../../src/task/platform.js';
import { tellingWhatIsLeft } from '../shared/cancelled.js';
import { rejection, reportFolder, showVerdict } from '../shared/gate.js';
import { open } from '../shared/places.js';
import { runOf, told, type Run } from '../shared/release.js';
import type { Inputs } from './inputs.js';
import { findModel, type Found } from './source.js';

export async function run(inputs: Inputs, platform: Platform): Promise<Outcome> {
  const workspace = open(inputs.place, platform, 'RegisterModel');
  const seen: { digest?: string } = {};
  return tellingWhatIsLeft(
    platform,
    () => register(inputs, platform, workspace, seen),
    (signal) => whatIsLeft(inputs.modelName, workspace, seen.digest, signal),
  );
}

/** `seen`: told the digest as soon as it is known. */
async function register(inputs: Inputs, platform: Platform, workspace: Workspace, seen: { digest?: string }): Promise<Outcome> {
  const current = runOf(platform);
  const folder = reportFolder(platform, 'register');
  const found = await told(() => findModel(inputs.source, inputs.modelName, workspace, platform.cancelled));
  seen.digest = found.digest;
  platform.info(
    `${found.files.length} ${found.files.length === 1 ? 'file' : 'files'}, ${found.files.reduce((sum, { size }) => sum + size, 0)} bytes, ${found.digest}`,
  );
  const type = typeOf(inputs, found);
  const lineage = found.jobName
    ? await jobLineage(workspace, found.jobName, { signal: platform.cancelled, say: (line) => platform.info(line) })
    : undefined;
  const metrics = await candidateMetrics(inputs, found, workspace, platform);
  const evaluationData =
    lineage && (lineage.tags[EVALUATION_DATA] ?? lineage.properties[EVALUATION_DATA] ?? evaluationFingerprint(lineage.inputs));
  const models = new WorkspaceModels(workspace, { signal: platform.cancelled });
  const facts = await told(() =>
    gateFacts(inputs, found, type.modelType, metrics, evaluationData, workspace, models, current, platform),
  );
  const verdict = judge(inputs.gate, facts, inputs);
  const verdictFile = await showVerdict(platform, folder, inputs.modelName, verdict);
  platform.output('modelName', inputs.modelName);
  platform.output('modelDigest', found.digest);
  platform.output('verdictFile', verdictFile);

  if (verdict.verdict === 'rejected') {
    publish(platform, folder, inputs, found, verdict, 'rejected', lineage);
    platform.output('outcome', 'rejected');
    const message = `${rejection(verdict)}. Nothing was registered.`;
    platform.issue({ type: inputs.onRejected === 'warn' ? 'warning' : 'error', message, code: 'Rejected' });
    return { result: inputs.onRejected === 'warn' ? 'SucceededWithIssues' : 'Failed', message };
  }

  const registered = await told(async () => {
    const { tags, cut } = tagsOf(inputs, current, found, lineage, verdict);
    if (cut.length > 0) platform.warn(`Tags longer than 256 characters were cut, with a hash of the whole: ${cut.join(', ')}`);
    const asked = inputs.gate.conditions.flatMap((condition) => [...condition.metrics, ...condition.champion]);
    const snapshot = snapshotOf(facts.metrics, asked);
    if (snapshot.left > 0)
      platform.warn(`${snapshot.left} metrics do not travel with the version: there are too many. Those that the gate reads do.`);
    return registerModel(
      {
        name: inputs.modelName,
        ...(inputs.modelVersion ? { version: inputs.modelVersion } : {}),
        uri: await found.place(),
        type: type.modelType,
        digest: found.digest,
        ...(inputs.description ? { description: inputs.description } : {}),
        ...(inputs.modelStage ? { stage: inputs.modelStage } : {}),
        ...(found.jobName ? { jobName: found.jobName } : {}),
        ...(type.flavors ? { flavors: type.flavors } : {}),
        tags,
        properties: { ...inputs.properties, ...(type.signature ? { 'amlops.signature': type.signature } : {}) },
        metrics: snapshot.metrics,
        ...(evaluationData ? { evaluationData } : {}),
        run: current.facts,
      },
      models,
    );
  });
  const { model, outcome } = registered;
  publish(platform, folder, inputs, found, verdict, outcome, lineage, registered);
  platform.output('modelVersion', model.version);
  platform.output('modelId', model.id);
  platform.output('outcome', outcome);
  platform.buildTag(`model:${model.name}:${model.version}`);
  const message =
    outcome === 'registered'
      ? `Registered ${model.name}:${model.version} in ${workspace.workspace}.`
      : `These bytes are registered already as ${model.name}:${model.version}; that this run produced them too is noted there.`;
  platform.info(message);
  return { result: 'Succeeded', message };
}

async function whatIsLeft(name: string, workspace: Workspace, digest: string | undefined, signal: AbortSignal): Promise<string> {
  if (digest === undefined) return 'nothing was registered.';
  const versions = await new WorkspaceModels(workspace, { signal }).versions(name);
  const there = versions.find((model) => digestOfVersion(model)?.digest === digest);
  return there
    ? `${name}:${there.version} of workspace ${workspace.workspace} holds these bytes. Run this again: it completes what the version says of its run.`
    : 'nothing was registered. Files that were uploaded stay in a place that is named by their bytes; the next attempt goes on with them.';
}

function typeOf(inputs: Inputs, found: Found): { modelType: string; flavors?: unknown; signature?: string } {
  const modelType = inputs.modelType ?? (found.mlmodel === undefined ? 'custom_model' : 'mlflow_model');
  if (modelType !== 'mlflow_model') return { modelType };
  if (found.mlmodel === undefined)
    throw new Failure('The model type is mlflow_model, and there is no MLmodel file in its folder.', {
      code: 'MlModelMissing',
      input: 'modelType',
      advice: 'Name the folder that mlflow wrote (the one with MLmodel in it), or use custom_model.',
    });
  const { flavors, signature } = readMlModel(found.mlmodel, 'MLmodel');
  return { modelType, flavors, ...(signature ? { signature } : {}) };
}

async function candidateMetrics(
  inputs: Inputs,
  found: Found,
  workspace: Workspace,
  platform: Platform,
): Promise<{ metrics: Metrics; from: string }> {
  if (inputs.metrics) return inputs.metrics;
  if (!found.jobName) return { metrics: {}, from: 'nothing: the model comes from no job' };
  const wanted = missingMetrics(inputs.gate, {});
  const options = { clock: platform.clock, signal: platform.cancelled, say: (line: string) => platform.info(line) };
  return { metrics: await trainingMetrics(workspace, found.jobName, wanted, options), from: `job ${found.jobName}` };
}

async function gateFacts(
  inputs: Inputs,
  found: Found,
  type: string,
  own: { metrics: Metrics; from: string },
  evaluationData: string | undefined,
  workspace: Workspace,
  models: WorkspaceModels,
  current: Run,
  platform: Platform,
): Promise<GateFacts> {
  const store = new WorkspaceStore(workspace, platform.cancelled);
  const asks = inputs.gate.conditions.some((condition) => condition.usesChampion);
  const pointer = asks && inputs.champion === 'champion' ? await readPointer(store, inputs.modelName) : undefined;
  const champion = asks
    ? await championFacts(
        { champion: inputs.champion, targetName: inputs.modelName },
        { target: models, store },
        undefined,
        pointer,
      )
    : null;
  return {
    metrics: own.metrics,
    metricsFrom: own.from,
    champion: champion && { label: champion.label, metrics: champion.metrics, metricsFrom: champion.metricsFrom },
    evaluationData: {
      ...(evaluationData ? { candidate: evaluationData } : {}),
      ...(champion?.data ? { champion: champion.data } : {}),
    },
    model: {
      name: inputs.modelName,
      version: inputs.modelVersion ?? '',
      type,
      stage: inputs.modelStage ?? '',
      tags: inputs.tags,
      properties: inputs.properties,
    },
    job: { name: found.jobName ?? '' },
    build: { ...current.facts },
  };
}

function tagsOf(
  inputs: Inputs,
  current: Run,
  found: Found,
  lineage: JobLineage | undefined,
  verdict: Verdict,
): { tags: Record<string, string>; cut: string[] } {
  const data = Object.fromEntries(Object.entries(lineage?.inputs ?? {}).map(([input, uri]) => [input, stableName(uri) ?? uri]));
  const own = lineageTags(
    current.facts.runId ? current.facts : undefined,
    {
      ...(found.jobName ? { jobName: found.jobName } : {}),
      data,
      ...(lineage?.codeHash ? { codeHash: lineage.codeHash } : {}),
      ...(lineage?.environment ? { environment: lineage.environment } : {}),
    },
    verdict.verdict,
  );
  const given = cutTags(inputs.tags);
  return { tags: { ...own.tags, ...given.tags }, cut: [...own.cut, ...given.cut] };
}

/** Attachment `aml.model` and a page in the summary. A pipeline may forbid them: nothing depends on them. */
function publish(
  platform: Platform,
  folder: string,
  inputs: Inputs,
  found: Found,
  verdict: Verdict,
  outcome: string,
  lineage: JobLineage | undefined,
  registered?: Registered,
): void {
  const model = registered?.model;
  const json = join(folder, 'aml.model.json');
  const body = {
    schemaVersion: 1,
    kind: 'aml.model',
    outcome,
    model: model ?? { name: inputs.modelName },
    digest: found.digest,
    files: found.files,
    verdict,
    lineage: lineage ?? null,
  };
  writeFileSync(json, `${JSON.stringify(body, null, 1)}\n`);
  platform.attach('aml.model', `${inputs.modelName}${model ? `-${model.version}` : ''}.json`, json);
  const page = join(folder, `Azure ML register ${inputs.modelName}.md`);
  const md = escapeMarkdown;
  const rows = [
    ['model', model ? `${model.name}:${model.version}` : inputs.modelName],
    ['digest', found.digest],
    ['files', String(found.files.length)],
    ...(found.jobName ? [['job', found.jobName]] : []),
    ...Object.entries(lineage?.inputs ?? {}).map(([name, uri]) => [`data ${name}`, stableName(uri) ?? uri]),
    ...(lineage?.codeHash ? [['code', lineage.codeHash]] : []),
  ] as [string, string][];
  const text = [
    `## ${md(inputs.modelName)}: ${outcome}`,
    '',
    '| | |',
    '| --- | --- |',
    ...rows.map(([name, value]) => `| ${md(name)} | ${md(value)} |`),
    '',
    '### Gate',
    '',
    verdictMarkdown(verdict),
  ];
  writeFileSync(page, `${text.join('\n')}\n`);
  platform.summary(page);
}
