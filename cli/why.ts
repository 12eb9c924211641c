import type { Command } from 'commander';

export function register(program: Command): void {
  program
    .command('why')
    .allowUnknownOption()
    .allowExcessArguments()
    .action(() => {
      process.stderr.write('amlops why is not built yet.\n');
      process.exitCode = 1;
    });
}
