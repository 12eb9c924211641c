import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('run')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops run is not built yet.\n');
      process.exitCode = 1;
    });
}
