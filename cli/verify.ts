import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('verify')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops verify is not built yet.\n');
      process.exitCode = 1;
    });
}
