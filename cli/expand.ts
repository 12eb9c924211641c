/** `amlops expand PIPELINE.yml`: the fully expanded document, or the service's own error text. */
import type { Command } from 'commander';
import { expandPipeline, PipelineError } from '../local/pipeline/expand/index.js';
import { type ExpansionFlags, expansionOptions, withExpansionFlags } from './expansion.js';

interface ExpandFlags extends ExpansionFlags {
  json?: boolean;
}

export function register(program: Command): void {
  withExpansionFlags(program.command('expand').argument('<pipeline>', 'the pipeline file'))
    .description('expand templates, parameters and expressions of an azure-pipelines YAML file')
    .option('--json', 'the normal form: every scalar a string')
    .action(async (file: string, flags: ExpandFlags) => {
      const { entry, options } = expansionOptions(file, flags);
      try {
        const pipeline = expandPipeline(entry, options);
        for (const { message, position } of pipeline.warnings) {
          process.stderr.write(
            `warning: ${position ? `${position.file} (Line: ${position.line}, Col: ${position.column}): ` : ''}${message}\n`,
          );
        }
        if (flags.json) process.stdout.write(`${JSON.stringify(pipeline.document, null, 2)}\n`);
        else process.stdout.write((await import('../local/pipeline/expand/write.js')).writeYaml(pipeline));
      } catch (error) {
        if (!(error instanceof PipelineError)) throw error;
        process.stderr.write(`${error.message}\n`);
        process.exitCode = 1;
      }
    });
}
