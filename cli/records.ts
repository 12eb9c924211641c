import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('records')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops records is not built yet.\n');
      process.exitCode = 1;
    });
}
