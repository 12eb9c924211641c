import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('lint')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops lint is not built yet.\n');
      process.exitCode = 1;
    });
}
