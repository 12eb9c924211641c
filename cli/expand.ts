import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('expand')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops expand is not built yet.\n');
      process.exitCode = 1;
    });
}
