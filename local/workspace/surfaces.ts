/** The surfaces of the other rooms, in the order in which they are registered. */
import type { Surface } from './context.js';
import { mlflowSurface } from './mlflow/index.js';
import { runsSurface } from './runs/index.js';

export function optionalSurfaces(): Surface[] {
  return [runsSurface(), mlflowSurface];
}
