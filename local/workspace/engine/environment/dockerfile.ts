/** A Dockerfile that only installs with pip, read as requirements; every other one is refused by the line that cannot be done here. */
import { posix } from 'node:path';
import { Failure } from '../../../../src/azure/errors.js';
import { readConda, readRequirements, type Requirements } from './conda.js';

/** Reads a file of the build context; undefined when it is not there. */
type ContextFile = (path: string) => string | undefined;

interface Instruction {
  word: string;
  rest: string;
  line: number;
}

function instructions(text: string): Instruction[] {
  const found: Instruction[] = [];
  const lines = text.split(/\r?\n/);
  for (let index = 0; index < lines.length; index++) {
    const start = index + 1;
    let line = lines[index] ?? '';
    if (/^\s*(#.*)?$/.test(line)) continue;
    while (/\\\s*$/.test(line) && index + 1 < lines.length) {
      index++;
      const next = lines[index] ?? '';
      line = line.replace(/\\\s*$/, ' ') + (/^\s*#/.test(next) ? ' \\' : next);
    }
    const match = /^\s*([A-Za-z]+)\s+(.*)$/.exec(line);
    if (match) found.push({ word: (match[1] ?? '').toUpperCase(), rest: (match[2] ?? '').trim(), line: start });
  }
  return found;
}

/** Instructions that change nothing for a Python process on the host. */
const harmless = new Set(['ARG', 'LABEL', 'WORKDIR', 'USER', 'EXPOSE', 'MAINTAINER', 'SHELL', 'STOPSIGNAL']);

function refuse(instruction: Instruction, why: string, path: string): never {
  throw new Failure(
    `${path}, line ${instruction.line}: '${instruction.word} ${instruction.rest.slice(0, 80)}' ${why}. ` +
      'Without Docker only a Dockerfile that installs with pip can be used.',
    {
      code: 'UnsupportedDockerfile',
      file: path,
      line: instruction.line,
      advice: 'Use an image with a conda file, or add a row for this image to environments.yml.',
    },
  );
}

/** Words of a shell command, quotes removed. */
function words(command: string): string[] {
  return [...command.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(([, a, b, c]) => a ?? b ?? c ?? '');
}

/**
 * Reads a Dockerfile.
 * @returns base image and requirements; `environment` = variables that ENV sets
 * @throws Failure `UnsupportedDockerfile` naming file and line
 */
export function readDockerfile(
  text: string,
  path: string,
  context: ContextFile,
): Requirements & { image: string; environment: Record<string, string> } {
  const lines: string[] = [];
  const notes: string[] = [];
  const environment: Record<string, string> = {};
  /** Path inside the image → path in the build context. */
  const copied: [to: string, from: string][] = [];
  let image = '';
  let python: string | undefined;
  const file = (name: string): string | undefined => {
    const clean = posix.normalize(name).replace(/^(\.\/|\/)+/, '');
    for (const [to, from] of copied) {
      const target = posix.normalize(to).replace(/^(\.\/|\/)+/, '');
      if (clean === target || posix.basename(clean) === posix.basename(from)) return context(from);
    }
    return context(clean) ?? context(posix.basename(clean));
  };
  for (const instruction of instructions(text)) {
    const { word, rest } = instruction;
    if (word === 'FROM') {
      if (image) refuse(instruction, 'is a second build stage', path);
      image = rest.replace(/^--platform=\S+\s+/, '').split(/\s+/)[0] ?? '';
    } else if (word === 'ENV') {
      const pairs = rest.includes('=') ? [...rest.matchAll(/([A-Za-z_]\w*)=("[^"]*"|\S*)/g)] : [];
      for (const [, key = '', value = ''] of pairs) environment[key] = value.replace(/^"|"$/g, '');
      // A PATH of the image names folders that do not exist here.
      delete environment['PATH'];
    } else if (word === 'COPY' || word === 'ADD') {
      const parts = words(rest.replace(/^\[|\]$/g, '').replace(/",\s*"/g, '" "')).filter((part) => !part.startsWith('--'));
      const to = parts.pop() ?? '.';
      for (const from of parts)
        copied.push([parts.length > 1 || to.endsWith('/') || to === '.' ? posix.join(to, posix.basename(from)) : to, from]);
    } else if (word === 'RUN') {
      for (const step of rest.split(/&&|;/).map((part) => part.trim())) runStep(step, instruction);
    } else if (!harmless.has(word)) refuse(instruction, 'cannot be done', path);
  }
  if (!image) throw new Failure(`${path} has no FROM.`, { code: 'UnsupportedDockerfile', file: path });
  return { image, lines, notes, environment, ...(python !== undefined && { python }) };

  function runStep(step: string, instruction: Instruction): void {
    const parts = words(step);
    const pip = /^(?:(?:\/\S*\/)?(?:python3?(?:\.\d+)?)\s+-m\s+)?(?:\/\S*\/)?pip3?\s+install\b/.exec(step);
    if (pip) return pipInstall(words(step.slice(pip[0].length)), instruction);
    const conda = /^(?:conda|mamba|micromamba)\s+env\s+(?:create|update)\b/.exec(step);
    if (conda) {
      const at = parts.findIndex((part) => part === '-f' || part === '--file');
      const text = at >= 0 ? file(parts[at + 1] ?? '') : undefined;
      if (text === undefined) refuse(instruction, 'names a conda file that is not in the build context', path);
      const read = readConda(text, file);
      lines.push(...read.lines);
      notes.push(...read.notes);
      python = read.python ?? python;
      return;
    }
    if (parts.length === 0 || /^(?:rm|mkdir|echo|true|conda\s+(?:clean|run)|pip3?\s+cache)\b/.test(step)) return;
    refuse(instruction, `runs '${(parts[0] ?? '').slice(0, 40)}'`, path);
  }

  function pipInstall(args: string[], instruction: Instruction): void {
    for (let index = 0; index < args.length; index++) {
      const arg = args[index] ?? '';
      const [flag, inline] =
        arg.startsWith('--') && arg.includes('=') ? (arg.split(/=(.*)/s, 2) as [string, string]) : [arg, undefined];
      const next = (): string => inline ?? args[++index] ?? '';
      if (flag === '-r' || flag === '--requirement') {
        const name = next();
        const text = file(name);
        if (text === undefined) refuse(instruction, `names '${name}', which is not in the build context`, path);
        lines.push(...readRequirements(text));
      } else if (['--extra-index-url', '--index-url', '-i', '--find-links', '-f', '--trusted-host'].includes(flag)) {
        lines.push(`${{ '-i': '--index-url', '-f': '--find-links' }[flag] ?? flag} ${next()}`);
      } else if (flag === '-e' || arg === '.') refuse(instruction, 'installs from the build context itself', path);
      else if (!arg.startsWith('-')) {
        if (arg !== 'pip') lines.push(arg);
      }
    }
  }
}
