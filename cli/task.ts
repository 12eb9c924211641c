import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('task')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops task is not built yet.\n');
      process.exitCode = 1;
    });
}
