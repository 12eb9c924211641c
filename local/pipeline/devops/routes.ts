/** Which function answers for which resource. */
import { buildHandlers } from './routes-build.js';
import { checkHandlers } from './routes-checks.js';
import { resourceHandlers } from './routes-resources.js';
import type { LocationName } from './locations.js';
import type { Answer, Call } from './call.js';

export type Handler = (call: Call) => Promise<Answer> | Answer;

export const handlers: Partial<Record<LocationName, Handler>> = { ...buildHandlers, ...resourceHandlers, ...checkHandlers };
