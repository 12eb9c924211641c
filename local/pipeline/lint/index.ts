/** `amlops lint`: what the service would refuse, and what it would accept and a person would regret. */
import { join, resolve } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import type { EnvironmentsFile } from '../../../src/devops/environments-file.js';
import { type ExpandOptions, expandPipeline, PipelineError } from '../expand/index.js';
import { checkMacros } from './macros.js';
import { checkNamesOf } from './names.js';
import { OutputRules } from './outputs.js';
import { callerPlaces, placeMessages } from './places.js';
import { checkProtection } from './protection.js';
import { checkSecrets } from './secrets.js';
import type { TaskDefinition } from '../../agent/task-definition.js';
import { taskDefinitions } from './task-definitions.js';
import { checkTask } from './tasks.js';
import { everyStep, type Finding, type Report } from './types.js';

export type { Finding } from './types.js';

export interface LintOptions extends ExpandOptions {
  environments?: EnvironmentsFile;
  /** Names that count as production. */
  production?: RegExp;
  /** Default: the task.json files of this package. */
  definitions?: TaskDefinition[];
}

/**
 * Expands a pipeline and checks it. Never throws for what is wrong with the pipeline.
 * @returns findings in the order of the file; an expansion that fails is told as findings of the rule `expand`
 */
export function lintPipeline(entry: string, options: LintOptions): Finding[] {
  const definitions = options.definitions ?? taskDefinitions();
  const name = `/${entry.replace(/^(\.?\/)+/, '')}`;
  const file = join(resolve(options.root), name);
  let pipeline;
  try {
    pipeline = expandPipeline(entry, options);
  } catch (error) {
    if (!(error instanceof PipelineError)) throw error;
    const told = placeMessages(error.messages, file, name).map(({ text, position }): Finding => ({
      rule: 'expand',
      severity: 'error',
      // messages of the YAML parser tell their place twice
      message: text.replace(/^\/\S+: (\(Line: \d+, Col: \d+, Idx: \d+\)(?: - |: )){2}/, ''),
      ...(position && { position }),
    }));
    return told.filter((finding, at) => told.findIndex((other) => isDeepStrictEqual(other, finding)) === at);
  }
  const found: Finding[] = pipeline.warnings.map(({ message, position }) => ({
    rule: 'expand',
    severity: 'warning',
    message,
    ...(position && { position }),
  }));
  const given = callerPlaces(file, name);
  const report: Report = (rule, severity, message, node, property) => {
    let position = pipeline.positionOf(node, property);
    const value = property === undefined ? undefined : (node as Record<string, unknown>)[property];
    if (position && position.file !== name && typeof value === 'string' && value !== '') {
      const condition = rule === 'gate' ? /"([^"]+)"/.exec(message)?.[1] : undefined;
      position = given(value, condition) ?? position;
    }
    found.push({ rule, severity, message, ...(position && { position }) });
  };
  for (const placed of everyStep(pipeline)) checkTask(placed, definitions, options.root, report);
  new OutputRules(pipeline, definitions, report).check();
  checkMacros(pipeline, definitions, report);
  checkNamesOf(pipeline, definitions, options, report);
  checkProtection(pipeline, definitions, options, report);
  found.push(...checkSecrets(pipeline));
  return sorted(found);
}

/** By file and line; the same finding of several expansions of one template once. */
function sorted(found: readonly Finding[]): Finding[] {
  const key = ({ position, rule, message }: Finding): string =>
    [
      position?.file ?? '',
      String(position?.line ?? 0).padStart(6, '0'),
      String(position?.column ?? 0).padStart(5, '0'),
      rule,
      message,
    ].join('\u0000');
  const unique = new Map(found.map((finding) => [key(finding), finding]));
  return [...unique].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, finding]) => finding);
}
