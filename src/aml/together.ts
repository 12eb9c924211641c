/**
 * Waits for work that goes on side by side. When one piece fails, the others are stopped and waited for before its error is thrown, so that
 * nothing still writes while the caller tries again. In: the running work, and the controller whose signal it listens to.
 */
export async function together(work: readonly Promise<unknown>[], stop: AbortController): Promise<void> {
  try {
    await Promise.all(work);
  } catch (error) {
    stop.abort(error);
    await Promise.allSettled(work);
    throw error;
  }
}
