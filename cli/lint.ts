/** `amlops lint PIPELINE.yml`: expand, then check. Findings go to standard output, one a line. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { type Finding, lintPipeline, type LintOptions } from '../local/pipeline/lint/index.js';
import { parseEnvironmentsFile } from '../src/devops/environments-file.js';
import { type ExpansionFlags, expansionOptions, withExpansionFlags } from './expansion.js';

interface LintFlags extends ExpansionFlags {
  environments?: string;
  production?: string;
  json?: boolean;
}

/** `file:line:column: error rule: message`, as editors and terminals link it. */
function line({ position, severity, rule, message }: Finding): string {
  const place = position ? `${position.file.replace(/^\//, '')}:${position.line}:${position.column}: ` : '';
  return `${place}${severity} ${rule}: ${message}`;
}

export function register(program: Command): void {
  withExpansionFlags(program.command('lint').argument('<pipeline>', 'the pipeline file'))
    .description('expand, then check task inputs, output variables, environments, production, secrets')
    .option('--environments <file>', 'environments, approvals and checks (the file of `amlops environments`)')
    .option('--production <pattern>', 'regular expression of names that are production (default: prod, production, prd, live)')
    .option('--json', 'findings as JSON')
    .action((file: string, flags: LintFlags) => {
      const { entry, options } = expansionOptions(file, flags);
      const lint: LintOptions = { ...options };
      if (flags.environments !== undefined)
        lint.environments = parseEnvironmentsFile(readFileSync(flags.environments, 'utf8'), flags.environments);
      if (flags.production !== undefined) lint.production = new RegExp(flags.production, 'i');
      const findings = lintPipeline(entry, lint);
      const errors = findings.filter(({ severity }) => severity === 'error').length;
      if (flags.json) process.stdout.write(`${JSON.stringify(findings, null, 2)}\n`);
      else for (const finding of findings) process.stdout.write(`${line(finding)}\n`);
      const warnings = findings.length - errors;
      process.stderr.write(`${errors} error${errors === 1 ? '' : 's'}, ${warnings} warning${warnings === 1 ? '' : 's'}\n`);
      process.exitCode = errors > 0 ? 1 : 0;
    });
}
