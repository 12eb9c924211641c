/** Both sides of a promotion as the release domain wants them, over Azure. Each side keeps its own connection. */
import { trainingMetrics } from '../../src/aml/models-metrics.js';
import { lookAtRegistry, lookAtWorkspace } from '../../src/aml/models-rights.js';
import { WorkspaceStore } from '../../src/aml/models-store.js';
import { WorkspaceModels } from '../../src/aml/models.js';
import { RegistryModels } from '../../src/aml/registries.js';
import type { Workspace } from '../../src/aml/workspace.js';
import { missingMetrics } from '../../src/release/gate.js';
import type { Inspection, PromotionPorts } from '../../src/release/plan.js';
import { sameId } from '../../src/release/plan.js';
import type { Platform } from '../../src/task/platform.js';
import { open } from '../shared/places.js';
import type { Inputs } from './inputs.js';

export interface Sides {
  ports: PromotionPorts;
  /** The connection that writes, for proxies and the like. */
  home: Workspace;
}

export function openSides(inputs: Inputs, platform: Platform): Sides {
  const options = { signal: platform.cancelled, say: (line: string) => platform.info(line), progress: progress(platform) };
  const sourceSpace = inputs.source && open(inputs.source, platform, 'PromoteModel');
  // The same connection input is opened once: in place there is one side only.
  const targetSpace =
    inputs.target && (inputs.target === inputs.source ? sourceSpace : open(inputs.target, platform, 'PromoteModel'));
  const reader = (sourceSpace ?? targetSpace)!;
  const home = (targetSpace ?? sourceSpace)!;
  const source = inputs.sourceRegistry
    ? new RegistryModels(home, inputs.sourceRegistry, options)
    : new WorkspaceModels(reader, options);
  const target = inputs.targetRegistry
    ? new RegistryModels(reader, inputs.targetRegistry, options)
    : new WorkspaceModels(home, options);
  const inspect = async (): Promise<Inspection> => {
    const { cancelled: signal } = platform;
    const writes = true; // a plan says what is missing for the promotion, whoever makes it
    const looks = [];
    const rollback = inputs.action === 'rollback';
    const inPlace = sourceSpace && targetSpace && sameId(sourceSpace.id, targetSpace.id);
    if (sourceSpace && !inPlace && !rollback)
      looks.push(lookAtWorkspace(sourceSpace, 'source', { bytes: true, writes: Boolean(inputs.targetRegistry) }, signal));
    if (targetSpace) looks.push(lookAtWorkspace(targetSpace, 'target', { bytes: true, writes }, signal));
    if (source instanceof RegistryModels && !rollback) looks.push(lookAtRegistry(source, home, 'source', false, signal));
    if (target instanceof RegistryModels) looks.push(lookAtRegistry(target, reader, 'target', writes, signal));
    const found = await Promise.all(looks);
    return {
      conditions: Object.assign({}, ...found.map(({ conditions }) => conditions)) as Record<string, string>,
      rights: found.flatMap(({ rights }) => rights),
      problems: found.flatMap(({ problems }) => problems),
    };
  };
  const ports: PromotionPorts = {
    source: source,
    target: target,
    store: new WorkspaceStore(home, platform.cancelled),
    stamp: new WorkspaceModels(home, options),
    jobMetrics: async (job) =>
      sourceSpace &&
      trainingMetrics(sourceSpace, job, missingMetrics(inputs.gate, {}), {
        clock: platform.clock,
        signal: platform.cancelled,
        say: (line) => platform.info(line),
      }),
    inspect,
    say: (line) => platform.info(line),
    now: () => platform.clock.date(),
  };
  return { ports, home };
}

/** At most a line for every tenth. */
function progress(platform: Platform): (moved: number, total: number) => void {
  let said = 0;
  return (moved, total) => {
    const percent = total === 0 ? 100 : Math.floor((moved / total) * 100);
    if (percent < said + 10) return;
    said = percent;
    platform.progress(percent, `Copied ${percent} %`);
  };
}
