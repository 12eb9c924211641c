/** The plan of a rollback: the champion's pointer goes back, nothing else moves. Applied by promote.ts like any other plan. */
import { trainingJobOf } from './lineage.js';
import type { Planned, PromotionPorts } from './plan.js';
import { championStack, planDigestOf, readPointer, type Plan } from './record.js';
import { Refusal } from './refusal.js';

/**
 * The plan of a rollback: back to the previous champion, or to a named earlier one.
 * Throws `Refusal` when there is no champion, nothing before it, or no such earlier champion.
 */
export async function planRollback(
  request: { targetName: string; version?: string },
  ports: Pick<PromotionPorts, 'target' | 'store' | 'inspect'>,
): Promise<Planned> {
  const { target, store } = ports;
  if (target.place.kind === 'registry')
    throw new Refusal('A registry has no champion, so there is nothing to roll back.', {
      code: 'HopUnsupported',
      input: 'targetRegistry',
    });
  const pointer = await readPointer(store, request.targetName);
  if (!pointer)
    throw new Refusal(`"${request.targetName}" has no champion in ${target.place.name}.`, {
      code: 'NoChampion',
      input: 'modelName',
    });
  const stack = await championStack(store, request.targetName, pointer.pointer);
  const earlier = stack.slice(0, -1);
  const current = pointer.pointer.champion;
  // A team that went from a registry to copies (or back) has had the same number in two places.
  const meant = new Map(
    stack.filter(({ version }) => version === request.version).map((ref) => [ref.modelId.toLowerCase(), ref]),
  );
  if (meant.size > 1)
    throw new Refusal(
      `Version ${request.version} of "${request.targetName}" was champion of ${target.place.name} from more than one place: ${[...meant.values()].map(({ modelId }) => modelId).join(', ')}.`,
      {
        code: 'AmbiguousVersion',
        input: 'modelVersion',
        advice: 'Leave modelVersion empty: that goes back one champion at a time.',
      },
    );
  const unchanged = request.version !== undefined && request.version === current.version;
  const back = unchanged
    ? current
    : request.version === undefined
      ? earlier.at(-1)
      : earlier.findLast((ref) => ref.version === request.version);
  if (!back)
    throw new Refusal(
      request.version === undefined
        ? `"${request.targetName}" had no champion before ${current.name}:${current.version} in ${target.place.name}.`
        : `Version ${request.version} of "${request.targetName}" was never champion before ${current.version} in ${target.place.name}.`,
      {
        code: 'NoEarlierChampion',
        input: 'modelVersion',
        advice:
          earlier.length > 0
            ? `Earlier champions: ${[...new Set(earlier.map((ref) => ref.version))].join(', ')}.`
            : 'Promote another version instead.',
      },
    );
  const source = await target.byId(back.modelId);
  if (!source)
    throw new Refusal(
      `${back.name}:${back.version} was champion earlier, but it is not in ${target.place.name} any more (${back.modelId}).`,
      {
        code: 'ModelNotFound',
        input: 'modelVersion',
      },
    );
  const inspection = await ports.inspect();
  const plan: Plan = {
    action: 'rollback',
    hop: back.modelId.startsWith('azureml://registries/') ? 'use' : 'inPlace',
    model: {
      id: source.id,
      name: source.name,
      version: source.version,
      type: source.type,
      digest: back.digest,
      trainingJob: trainingJobOf(source) ?? null,
    },
    source: target.place,
    target: target.place,
    targetModel: { id: source.id, name: source.name, version: source.version },
    gate: null,
    championBefore: current,
    recordedAs: request.targetName,
    movesChampion: true,
    tags: {},
    conditions: inspection.conditions,
  };
  const notes = source.archived
    ? [`${source.name}:${source.version} is archived: somebody took it out of use. The rollback goes on.`]
    : [];
  return { plan, planDigest: planDigestOf(plan), source, pointer, unchanged, inspection, notes };
}
