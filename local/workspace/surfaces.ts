/** The surfaces of the other rooms. */
import type { Surface } from './context.js';
import { runsSurface } from './runs/index.js';

/** In the order in which they are registered. */
export async function optionalSurfaces(): Promise<Surface[]> {
  return [runsSurface()];
}
