import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('environments')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops environments is not built yet.\n');
      process.exitCode = 1;
    });
}
