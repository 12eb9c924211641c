/** The lineage question: what is champion, since when, approved by whom, from which job, data, commit and run (design §4). */
import { trainingJobOf } from './lineage.js';
import type { ModelReader, ReleaseStore } from './ports.js';
import { formatNumber } from './verdict-report.js';
import { championStack, placedName, readPointer, readRecord, type Predicate } from './record.js';

interface Answer {
  model: string;
  workspace: string;
  champion: { id: string; version: string; digest: string; since: string };
  job: string | null;
  /** `input=asset:version`, as the version's tags say. */
  data: string | null;
  code: string | null;
  environment: string | null;
  /** Where the version was trained and registered. */
  training: {
    runId: string | null;
    runUrl: string | null;
    repository: string | null;
    branch: string | null;
    commit: string | null;
  };
  /** How it became champion. */
  promotion: {
    action: string;
    from: string;
    hop: string;
    record: { number: number; sha256: string };
    runId: string;
    runUrl: string;
    commit: string;
    requestedBy: string;
    stage: string;
    approvals: Predicate['approvals'];
    approvalsReason: string | null;
    gate: { verdict: string; conditions: { name: string; condition: string; margin: number | null; verdict: string }[] } | null;
  } | null;
  earlier: { version: string; id: string }[];
}

/** Undefined when there is no champion. Throws `Refusal` where pointer or records cannot be read. */
export async function why(
  model: string,
  store: ReleaseStore,
  models: Pick<ModelReader, 'byId' | 'place'>,
): Promise<Answer | undefined> {
  const found = await readPointer(store, model);
  if (!found) return undefined;
  const { champion, since } = found.pointer;
  const version = await models.byId(champion.modelId);
  const stored = await readRecord(store, model, champion.record.number);
  const predicate = stored?.record.predicate;
  const tag = (name: string) => version?.tags[name] ?? null;
  const stack = await championStack(store, model, found.pointer);
  return {
    model,
    workspace: models.place.name,
    champion: { id: champion.modelId, version: champion.version, digest: champion.digest, since },
    job: (version && trainingJobOf(version)) ?? predicate?.model.trainingJob ?? null,
    data: tag('aml.data'),
    code: tag('aml.codeHash'),
    environment: tag('aml.environment'),
    training: {
      runId: tag('ado.runId'),
      runUrl: tag('ado.runUrl'),
      repository: tag('ado.repository'),
      branch: tag('ado.branch'),
      commit: tag('ado.commit'),
    },
    promotion: predicate
      ? {
          action: predicate.action,
          from: `${predicate.source.kind} ${predicate.source.name}`,
          hop: predicate.hop,
          record: champion.record,
          runId: predicate.build.runId,
          runUrl: predicate.build.runUrl,
          commit: predicate.build.commit,
          requestedBy: predicate.build.requestedBy,
          stage: predicate.build.stage,
          approvals: predicate.approvals,
          approvalsReason: predicate.approvalsReason,
          gate: predicate.gate && {
            verdict: predicate.gate.verdict.verdict,
            conditions: predicate.gate.verdict.rows.map(({ name, condition, margin, verdict }) => ({
              name,
              condition,
              margin,
              verdict,
            })),
          },
        }
      : null,
    earlier: stack
      .slice(0, -1)
      .reverse()
      .map(({ version: number, modelId }) => ({ version: number, id: modelId })),
  };
}

/** The answer for people. */
export function whyLines(answer: Answer): string[] {
  const { champion, promotion, training } = answer;
  const line = (name: string, value: string | null | undefined) => (value ? [`${name.padEnd(14)} ${value}`] : []);
  const approvals =
    promotion === null
      ? null
      : promotion.approvals === 'none found'
        ? `none found${promotion.approvalsReason ? ` (${promotion.approvalsReason})` : ''}`
        : promotion.approvals
            .map(
              (one) =>
                `${one.bypassed ? 'BYPASSED' : one.status} by ${one.actual} at ${one.when}${one.comment ? ` "${one.comment}"` : ''}`,
            )
            .join('; ');
  const gate =
    promotion?.gate &&
    `${promotion.gate.verdict}${promotion.gate.conditions.map((row) => `; ${row.name}${row.margin === null ? '' : ` (margin ${formatNumber(row.margin)})`} ${row.verdict}`).join('')}`;
  return [
    ...line('model', `${answer.model} in workspace ${answer.workspace}`),
    ...line('champion', placedName({ ...champion, name: nameIn(champion.id) ?? answer.model })),
    ...line('since', champion.since),
    ...line('id', champion.id),
    ...line('digest', champion.digest),
    ...line('approved', approvals),
    ...line('gate', gate),
    ...line(
      'promoted by',
      promotion &&
        `run ${promotion.runId} (${promotion.action} from ${promotion.from}, stage ${promotion.stage || 'unnamed'}, ${promotion.requestedBy || 'unknown'})`,
    ),
    ...line('', promotion?.runUrl),
    ...line('record', promotion && `${promotion.record.number} sha256:${promotion.record.sha256}`),
    ...line('trained by job', answer.job),
    ...line('data', answer.data),
    ...line('code', answer.code),
    ...line('environment', answer.environment),
    ...line(
      'commit',
      training.commit &&
        `${training.commit}${training.repository ? ` of ${training.repository}` : ''}${training.branch ? `, ${training.branch}` : ''}`,
    ),
    ...line('training run', training.runUrl ?? training.runId),
    ...line(
      'before it',
      answer.earlier.map((one) => placedName({ ...one, name: nameIn(one.id) ?? answer.model })).join(', ') || null,
    ),
  ];
}

function nameIn(id: string): string | undefined {
  return /\/models\/([^/]+)\/versions\//i.exec(id)?.[1];
}
