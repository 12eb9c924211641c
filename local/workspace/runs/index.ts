/** Runs: ARM jobs, run history and the engine behind them, as one surface. */
import type { Ctx, Surface } from '../context.js';
import { Engine } from '../engine/engine.js';
import { outputUri } from '../engine/locate.js';
import type { Router } from '../router.js';
import { activeRuns, getRun } from './access.js';
import { HistoryRoutes } from './history-routes.js';
import { JobRoutes } from './job-routes.js';
import { notifyEnd } from './webhook.js';

/** Makes the surface; one per workspace process. */
export function runsSurface(): Surface {
  let engine: Engine | undefined;
  return {
    name: 'runs',
    register(router: Router, ctx: Ctx) {
      engine = new Engine(ctx);
      engine.onEnd = (ws, run) => void notifyEnd(ctx, ws, run);
      ctx.hooks.jobExists = (ws, job) => getRun(ctx.store, ws.guid, job) !== undefined;
      ctx.hooks.jobOutput = (ws, job, output) => Promise.resolve(outputUri(ctx, ws, job, output));
      ctx.hooks.endJobs = async (ws) => {
        const open = activeRuns(ctx.store).filter((run) => run.workspace === ws.guid);
        const roots = new Set(open.map((run) => run.rootRunId));
        for (const root of roots) await engine?.cancel(ws, root);
        for (const root of roots) await engine?.ended(ws, root);
      };
      new JobRoutes(ctx, engine).register(router);
      new HistoryRoutes(ctx, engine).register(router);
    },
    async start(ctx: Ctx) {
      const ended = (await engine?.recover()) ?? [];
      if (ended.length > 0) ctx.log.warn(`${ended.length} runs of an earlier process were ended as Failed.`);
      for (const run of ended) {
        const ws = ctx.world.workspaceByGuid(run.workspace);
        const now = ws && getRun(ctx.store, ws.guid, run.runId);
        if (ws && now && now.parentRunId === undefined) void notifyEnd(ctx, ws, now);
      }
    },
    async stop() {
      await engine?.stop();
    },
  };
}
