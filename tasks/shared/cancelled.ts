/** What a cancelled RegisterModel or PromoteModel leaves: asked once more of Azure, in the time that the agent gives. */
import type { Platform } from '../../src/task/platform.js';

/** Milliseconds for the answer; the agent kills 7.5 s after its SIGINT. */
const moment = 4_000;

/**
 * Runs `work`; when the run is cancelled meanwhile, `left` finds out what is there now and its words go to the log. The cancellation goes on.
 * `left` gets a signal of its own, for the run's has ended everything else.
 */
export async function tellingWhatIsLeft<T>(
  platform: Platform,
  work: () => Promise<T>,
  left: (signal: AbortSignal) => Promise<string>,
): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (platform.cancelled.aborted) {
      const words = await left(AbortSignal.timeout(moment)).catch(
        (reason: unknown) =>
          `what stands in Azure now could not be read (${reason instanceof Error ? reason.message : String(reason)}). Run this again: it goes on with what is there.`,
      );
      platform.info(`Cancelled: ${words}`);
    }
    throw error;
  }
}
