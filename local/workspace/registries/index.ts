/** Registries. */
import type { Surface } from '../context.js';

export const registriesSurface: Surface = {
  name: 'registries',
  register() {
    // Routes follow.
  },
};
