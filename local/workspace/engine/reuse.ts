/** Reuse of steps: the same component, inputs, settings and data content give the outputs of the run that had them first. */
import { createHash } from 'node:crypto';
import type { Store, Tx } from '../store.js';
import { getRun } from '../runs/access.js';
import type { RunRecord } from '../runs/record.js';
import { fingerprint } from './data.js';
import { locate } from './locate.js';
import { asText } from './json.js';
import type { CommandSpec, DataValue, InputValue, OutputTarget, Tree } from './types.js';

interface Entry {
  runId: string;
  outputs: [string, DataValue][];
}

const table = 'engine.reuse';

/** Content of the code snapshot, as its registration says; else its id. */
function codeKey(tree: Tree, codeId: string | undefined): string {
  if (codeId === undefined) return '';
  const code = tree.ctx.assets.resolve(tree.ws, codeId, 'codes');
  const hash = (code.properties['properties'] as Record<string, unknown> | undefined)?.['hash_sha256'];
  return asText(hash) ?? code.id;
}

/**
 * The name under which a step's outcome may be found again; undefined when it must not be reused (not deterministic, data that cannot be seen).
 */
export async function reuseKey(
  tree: Tree,
  spec: CommandSpec,
  inputs: ReadonlyMap<string, InputValue>,
  targets: ReadonlyMap<string, OutputTarget>,
): Promise<string | undefined> {
  if (spec.volatile) return undefined;
  const parts: unknown[] = [
    spec.command,
    spec.environmentId,
    spec.environmentVariables,
    spec.timeout ?? null,
    spec.extraFiles ?? null,
    codeKey(tree, spec.codeId),
  ];
  for (const [name, value] of [...inputs].sort(([a], [b]) => (a < b ? -1 : 1))) {
    if (value.kind === 'literal') parts.push([name, value.text ?? null]);
    else {
      const found = locate(tree.ctx, tree.ws, value.uri);
      if ('url' in found) return undefined;
      const direct = value.mode?.toLowerCase() === 'direct';
      parts.push([
        name,
        value.type,
        value.mode ?? null,
        direct ? value.uri : null,
        await fingerprint(tree.ctx.storage, found.place),
      ]);
    }
  }
  for (const [name, target] of [...targets].sort(([a], [b]) => (a < b ? -1 : 1))) parts.push([name, target]);
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex');
}

/** The earlier run and its outputs, when it is still there and had completed. */
export function findReusable(
  store: Store,
  workspace: string,
  key: string,
): { run: RunRecord; outputs: Map<string, DataValue> } | undefined {
  const entry = store.get<Entry>(table, `${workspace}/${key}`);
  if (!entry) return undefined;
  const run = getRun(store, workspace, entry.runId);
  return run?.status === 'Completed' && !run.deleted ? { run, outputs: new Map(entry.outputs) } : undefined;
}

/** Remembers a completed step. */
export function rememberReusable(
  tx: Tx,
  workspace: string,
  key: string,
  runId: string,
  outputs: ReadonlyMap<string, DataValue>,
): void {
  const kept = [...outputs].map(([name, value]): [string, DataValue] => {
    const copy = { ...value };
    delete copy.local; // the folder goes with the tree
    return [name, copy];
  });
  tx.put<Entry>(table, `${workspace}/${key}`, { runId, outputs: kept });
}
