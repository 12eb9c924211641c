/** The surfaces of the other rooms, in the order in which they are registered. */
import type { Surface } from './context.js';

export async function optionalSurfaces(): Promise<Surface[]> {
  const { runsSurface } = await import('./runs/index.js');
  const { mlflowSurface } = await import('./mlflow/index.js');
  return [runsSurface(), mlflowSurface];
}
