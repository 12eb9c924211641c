import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('up')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops up is not built yet.\n');
      process.exitCode = 1;
    });
}
