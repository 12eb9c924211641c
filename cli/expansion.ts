/** The flags that `expand`, `lint` and `run` share, and reading what they name. */
import { readFileSync } from 'node:fs';
import { isAbsolute, relative, resolve, sep } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { Catalogue, ExpandOptions } from '../local/pipeline/expand/index.js';

export interface ExpansionFlags {
  param: Record<string, string>;
  params?: string;
  variable: Record<string, string>;
  repository: Record<string, string>;
  catalogue?: string;
  root?: string;
}

function pairs(value: string, previous: Record<string, string>): Record<string, string> {
  const at = value.indexOf('=');
  if (at <= 0) throw new InvalidArgumentError('write it as name=value');
  return { ...previous, [value.slice(0, at)]: value.slice(at + 1) };
}

/** Adds the shared flags to a command that takes a pipeline file. */
export function withExpansionFlags(command: Command): Command {
  return command
    .option('--param <name=value>', 'a queue-time parameter (JSON for objects); may be repeated', pairs, {})
    .option('--params <file>', 'queue-time parameters from a JSON file: name to text')
    .option('--variable <name=value>', 'a variable that is known at compile time; may be repeated', pairs, {})
    .option('--repository <alias=dir>', 'the folder that holds a declared repository; may be repeated', pairs, {})
    .option('--catalogue <file>', 'what exists in the project: environments, variableGroups, tasks (JSON)')
    .option('--root <dir>', "the pipeline's own repository (default: the current directory)");
}

/** @throws Error naming the file that cannot be read or is not JSON */
function readJson(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    throw new Error(`${file}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
}

/** Options of the expansion and the entry file's path inside its repository. */
export function expansionOptions(file: string, flags: ExpansionFlags): { entry: string; options: ExpandOptions } {
  const root = resolve(flags.root ?? '.');
  const inside = relative(root, isAbsolute(file) ? file : resolve(flags.root === undefined ? '.' : root, file));
  if (inside === '..' || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
    throw new Error(`${file} is not inside the repository ${root}. Name its root with --root.`);
  }
  const given = flags.params === undefined ? {} : (readJson(flags.params) as Record<string, unknown>);
  const fromFile = Object.fromEntries(
    Object.entries(given).map(([name, value]) => [name, typeof value === 'string' ? value : JSON.stringify(value)]),
  );
  const options: ExpandOptions = {
    root,
    parameters: { ...fromFile, ...flags.param },
    variables: flags.variable,
    repositories: flags.repository,
  };
  if (flags.catalogue !== undefined) options.catalogue = readJson(flags.catalogue) as Catalogue;
  return { entry: inside.split(sep).join('/'), options };
}
