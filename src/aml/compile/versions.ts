/**
 * ARM api-versions of what compilation writes. Bodies follow the preview schemas that the official client uses (named outputs, queue priority
 * and others are not in 2025-09-01, and a stable version would drop them): azure-ml-rest, "api-versions used".
 */
import type { JobType } from './types.js';

export const API_VERSIONS = {
  code: '2023-04-01',
  environment: '2023-04-01-preview',
  component: '2024-01-01-preview',
} as const;

export const JOB_API_VERSION: Record<JobType, string> = {
  Pipeline: '2024-01-01-preview',
  AutoML: '2024-01-01-preview',
  Sweep: '2024-01-01-preview',
  Command: '2025-01-01-preview',
  Spark: '2023-04-01-preview',
};
