/** The expander against the recorded truth beside the repository (../shared/conformance/templates), in this process. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { expandPipeline, type Normal, PipelineError } from '../../../../local/pipeline/expand/index.js';

const root = join(import.meta.dirname, '..', '..', '..', '..', '..', 'shared', 'conformance', 'templates');

/** Cases that nobody can pass, with the reason. */
const exceptions: Record<string, string> = {
  'normalisation/parameters-kept':
    'contradicts itself: its checks want the root parameters block in the document, its normal form and the README leave it out',
};

interface Check {
  path: string;
  equals?: string;
  length?: number;
  absent?: boolean;
  any?: boolean;
  emptyOrAbsent?: boolean;
  keys?: string[];
  keysAnyOrder?: string[];
}

interface Expectation {
  entry?: string;
  outcome: 'ok' | 'error';
  errorContains?: string;
  errorAlso?: string[];
  errorAt?: { file: string; line: number; col: number };
  checks?: Check[];
  expanded?: Normal;
  predefinedVariables?: Record<string, string>;
  catalogue?: object;
}

function same(want: unknown, have: unknown, at = ''): string[] {
  if (Array.isArray(want)) {
    if (!Array.isArray(have) || have.length !== want.length) return [`${at}: list of ${want.length} expected`];
    return want.flatMap((item, index) => same(item, have[index], `${at}[${index}]`));
  }
  if (want !== null && typeof want === 'object') {
    if (have === null || typeof have !== 'object') return [`${at}: mapping expected`];
    const extra = Object.keys(have).filter((key) => !(key in want));
    return [
      ...extra.map((key) => `${at}.${key}: not expected`),
      ...Object.entries(want).flatMap(([key, item]) =>
        key in have ? same(item, (have as Record<string, unknown>)[key], `${at}.${key}`) : [`${at}.${key}: missing`],
      ),
    ];
  }
  const [a, b] = [(want as string | null) ?? '', (have as string | undefined) ?? ''];
  const folds = /^(true|false)$/i.test(a) && a.toLowerCase() === b.toLowerCase();
  return a === b || folds ? [] : [`${at}: '${a}' expected, '${b}'`];
}

function get(document: unknown, path: string): unknown {
  let found = document as Record<string, unknown> | undefined;
  for (const match of path.matchAll(/\[(\d+)\]|\['([^']*)'\]|([^.[\]]+)/g)) {
    const key = match[1] ?? match[2] ?? match[3] ?? '';
    found = found !== undefined && typeof found === 'object' && key in found ? (found[key] as never) : undefined;
  }
  return found;
}

function check(document: unknown, { path, ...wanted }: Check): string[] {
  const found = get(document, path);
  const problems: string[] = [];
  if (wanted.equals !== undefined) problems.push(...same(wanted.equals, found, path));
  const size = typeof found === 'object' && found !== null ? Object.keys(found).length : undefined;
  if (wanted.length !== undefined && size !== wanted.length) problems.push(`${path}: length ${wanted.length} expected`);
  if (wanted.absent && found !== undefined) problems.push(`${path}: should be absent`);
  if (wanted.any && found === undefined) problems.push(`${path}: should be there`);
  if (wanted.emptyOrAbsent && size) problems.push(`${path}: should be empty`);
  const keys = wanted.keys ?? wanted.keysAnyOrder;
  if (keys) problems.push(...same([...keys].sort(), Object.keys((found as object | undefined) ?? {}).sort(), path));
  return problems;
}

function verdict(folder: string): string[] {
  const expected = JSON.parse(readFileSync(join(folder, 'expect.json'), 'utf8')) as Expectation;
  const parameters = join(folder, 'parameters.json');
  const aliases = join(folder, 'repositories');
  try {
    const { document } = expandPipeline(expected.entry ?? 'pipeline.yml', {
      root: folder,
      ...(existsSync(parameters) && { parameters: JSON.parse(readFileSync(parameters, 'utf8')) as Record<string, string> }),
      ...(existsSync(aliases) && {
        repositories: Object.fromEntries(readdirSync(aliases).map((name) => [name, join(aliases, name)])),
      }),
      ...(expected.predefinedVariables && { variables: expected.predefinedVariables }),
      ...(expected.catalogue && { catalogue: expected.catalogue }),
    });
    if (expected.outcome === 'error') return ['an error is expected, it expanded'];
    return [
      ...(expected.expanded ? same(expected.expanded, document) : []),
      ...(expected.checks ?? []).flatMap((item) => check(document, item)),
    ];
  } catch (error) {
    if (!(error instanceof PipelineError)) throw error;
    if (expected.outcome === 'ok') return [`it should expand: ${error.message}`];
    const at = expected.errorAt;
    const place = at && `${at.file} (Line: ${at.line}, Col: ${at.col})`;
    return [expected.errorContains, ...(expected.errorAlso ?? []), place]
      .filter((text) => text !== undefined && !error.message.includes(text))
      .map((text) => `message lacks '${text ?? ''}': ${error.message}`);
  }
}

describe('expansion as measured on the service', () => {
  if (!existsSync(root)) {
    it('is skipped: ../shared/conformance/templates is not beside the repository');
    return;
  }
  const folders = readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.name === 'expect.json')
    .map((entry) => entry.parentPath);
  const groups = [...new Set(folders.map((folder) => basename(dirname(folder))))].sort();
  for (const group of groups) {
    const cases = folders.filter((folder) => basename(dirname(folder)) === group).sort();
    it(`${group}: ${cases.length} cases`, () => {
      const wrong = cases.flatMap((folder) => {
        const name = `${group}/${basename(folder)}`;
        const problems = verdict(folder);
        if (name in exceptions) {
          assert.ok(problems.length > 0, `${name} passes now: take it off the list of exceptions`);
          return [];
        }
        return problems.map((problem) => `${name}: ${problem}`);
      });
      assert.deepEqual(wrong, []);
    });
  }
});
