/** A conda file read as pip requirements. */
import { parse } from 'yaml';
import { Failure } from '../../../../src/azure/errors.js';
import { condaToPip } from './tables.js';

export interface Requirements {
  /** Lines of a requirements file. */
  lines: string[];
  /** Python that the file pins, as written (`3.8`), when it does. */
  python?: string;
  /** What was changed or left out, for the build log. */
  notes: string[];
}

interface CondaFile {
  name?: unknown;
  channels?: unknown;
  dependencies?: unknown;
}

/** conda's match spec `name[ op version][=build]` as a pip requirement; undefined when the package has no meaning for pip. */
function condaRequirement(spec: string, notes: string[]): string | undefined {
  const text = spec.replace(/^[\w-]+::/, '').trim();
  const match = /^([A-Za-z0-9][\w.-]*)\s*(.*)$/.exec(text);
  if (!match) {
    notes.push(`'${spec}' is not a package that can be read; left out`);
    return undefined;
  }
  const name = (match[1] ?? '').toLowerCase();
  const known = condaToPip[name];
  if (known === null) {
    notes.push(`conda package '${name}' is not a Python package; left out`);
    return undefined;
  }
  const pip = known ?? name;
  const rest = (match[2] ?? '').trim().replace(/\s+/g, '');
  if (pip !== name) notes.push(`conda package '${name}' is '${pip}' on the package index`);
  if (rest === '' || rest === '*') return pip;
  const exact = /^=(?!=)([^=]+)(?:=.*)?$/.exec(rest);
  // conda's single `=` is a prefix match; a build string after a second `=` means nothing to pip.
  if (exact) return `${pip}==${exact[1]}${(exact[1] ?? '').endsWith('*') ? '' : '.*'}`;
  if (/^[\d]/.test(rest)) return `${pip}==${rest}`;
  return pip + rest.replace(/^==([^=,]+)=.*$/, '==$1');
}

/**
 * Reads a conda file (YAML text, or the JSON text that the service answers).
 * @param file finds a requirements file named by `-r file` in the pip section; undefined when it is not at hand
 * @throws Failure `InvalidCondaFile`
 */
export function readConda(text: string, file?: (path: string) => string | undefined): Requirements {
  let conda: CondaFile;
  try {
    conda = (parse(text) ?? {}) as CondaFile;
  } catch (cause) {
    throw new Failure(`The conda file is not YAML: ${cause instanceof Error ? cause.message : String(cause)}`, {
      code: 'InvalidCondaFile',
      cause,
    });
  }
  const notes: string[] = [];
  const lines: string[] = [];
  let python: string | undefined;
  const wrong = (what: string): Failure =>
    new Failure(`The conda file is not one: ${what}.`, {
      code: 'InvalidCondaFile',
      advice: "Write 'dependencies:' with a list of packages; what pip installs is a list below '- pip:'.",
    });
  if (typeof conda !== 'object' || Array.isArray(conda)) throw wrong('it is no mapping');
  const dependencies: unknown = conda.dependencies ?? [];
  if (!Array.isArray(dependencies)) throw wrong("'dependencies' is no list");
  for (const entry of dependencies as unknown[]) {
    if (typeof entry === 'string') {
      const pin = /^python\s*(?:[=<>!~]+\s*([\d.*]+).*)?$/.exec(entry.trim());
      if (pin) python = pin[1];
      else if (!/^pip\b(?!-)/.test(entry.trim()))
        lines.push(...[condaRequirement(entry, notes)].filter((line) => line !== undefined));
    } else if (typeof entry === 'object' && entry !== null && 'pip' in entry) {
      const pip = entry.pip ?? [];
      if (!Array.isArray(pip)) throw wrong("'pip' is no list");
      for (const line of pip.map(String)) lines.push(...pipLines(line, notes, file));
    } else throw wrong(`${JSON.stringify(entry)} among the dependencies is no package`);
  }
  return { lines, notes, ...(python !== undefined && { python }) };
}

function pipLines(line: string, notes: string[], file?: (path: string) => string | undefined): string[] {
  const reference = /^(?:-r|--requirement)[\s=]+(.+)$/.exec(line.trim());
  if (!reference) return [line.trim()];
  const text = file?.(reference[1] ?? '');
  if (text === undefined) {
    throw new Failure(`The pip section names '${reference[1]}', which is not part of the environment.`, {
      code: 'InvalidCondaFile',
      advice: 'Write the packages into the conda file, as the service asks for it, too.',
    });
  }
  notes.push(`requirements of ${reference[1]} taken over`);
  return readRequirements(text);
}

/** Lines of a requirements file without comments and blanks; continued lines are joined. */
export function readRequirements(text: string): string[] {
  return text
    .replace(/\\\r?\n\s*/g, ' ')
    .split(/\r?\n/)
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter(Boolean);
}

/** Versions loosened (`==1.2` becomes `>=1.2`, upper bounds vanish): the last resort when pins of an old Python cannot be had for the host's. */
export function loosen(line: string): string {
  if (line.startsWith('-')) return line;
  const match = /^([A-Za-z0-9][\w.-]*(?:\[[^\]]*\])?)\s*([<>=!~].*?)?(\s*;.*)?$/.exec(line);
  if (!match?.[2]) return line;
  return `${match[1]}${match[3] ?? ''}`;
}
