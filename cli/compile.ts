import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('compile')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops compile is not built yet.\n');
      process.exitCode = 1;
    });
}
