/** The one file of environments, approvals and checks (environments.schema.json), for the command line and for the local runner. */
import { Ajv, type ErrorObject } from 'ajv';
import { LineCounter, isMap, isSeq, parseDocument, type Document, type Node } from 'yaml';
import { Failure } from '../azure/errors.js';
import schema from './environments.schema.json' with { type: 'json' };

export interface ApprovalSpec {
  approvers: string[];
  minimumApprovers?: number;
  order?: 'anyOrder' | 'inSequence';
  requesterCannotApprove?: boolean;
  instructions?: string;
  timeoutInMinutes?: number;
  phase?: 'preCheck' | 'check' | 'postCheck';
}

export interface BranchControlSpec {
  allowedBranches: string[];
  protectedOnly?: boolean;
  allowUnknownStatus?: boolean;
  timeoutInMinutes?: number;
}

export interface RequiredTemplateSpec {
  repositoryType?: 'git' | 'github' | 'bitbucket';
  repository: string;
  ref: string;
  path: string;
}

/** What guards an environment or a service connection. An absent key says nothing about checks of that kind. */
export interface GuardSpec {
  name: string;
  approvals?: ApprovalSpec[];
  exclusiveLock?: boolean;
  branchControl?: BranchControlSpec;
  requiredTemplates?: RequiredTemplateSpec[];
  pipelines?: 'all' | (string | number)[];
}

export interface EnvironmentSpec extends GuardSpec {
  description?: string;
}

export interface EnvironmentsFile {
  environments: EnvironmentSpec[];
  serviceConnections: GuardSpec[];
  delete: { environments: string[] };
}

const maxBytes = 1024 * 1024;

/**
 * Reads and checks the text of an environments file.
 * @param file name for messages
 * @throws Failure `EnvironmentsFileInvalid` with every problem, each with line and column
 */
export function parseEnvironmentsFile(text: string, file: string): EnvironmentsFile {
  if (Buffer.byteLength(text) > maxBytes) throw invalid(file, [`${file}: larger than 1 MiB.`]);
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false, uniqueKeys: true });
  if (document.errors.length > 0)
    throw invalid(
      file,
      document.errors.map((error) => `${place(file, lines, error.pos[0])}: ${error.message}`),
    );
  const value: unknown = document.toJS({ maxAliasCount: 100 }) ?? {};
  const validate = new Ajv({ allErrors: true, verbose: true }).compile(schema);
  if (!validate(value)) {
    const errors = validate.errors ?? [];
    // One sentence for a choice, not one for each of its branches.
    const choices = new Set(errors.filter(({ keyword }) => keyword === 'oneOf').map(({ instancePath }) => instancePath));
    const problems = errors.filter(({ keyword, instancePath }) => keyword === 'oneOf' || !choices.has(instancePath));
    throw invalid(file, [...new Set(problems.map((error) => word(error, document, file, lines)))]);
  }
  const found = value as Partial<EnvironmentsFile>;
  const parsed: EnvironmentsFile = {
    environments: found.environments ?? [],
    serviceConnections: found.serviceConnections ?? [],
    delete: { environments: found.delete?.environments ?? [] },
  };
  const problems = [
    ...repeated(parsed.environments, 'environments'),
    ...repeated(parsed.serviceConnections, 'serviceConnections'),
  ];
  const kept = new Set(parsed.environments.map(({ name }) => name.toLowerCase()));
  for (const [index, name] of parsed.delete.environments.entries())
    if (kept.has(name.toLowerCase()))
      problems.push({
        path: ['delete', 'environments', index],
        text: `environment '${name}' is both described and to be deleted.`,
      });
  if (problems.length > 0)
    throw invalid(
      file,
      problems.map(({ path, text: said }) => `${at(document, path, file, lines)}: ${said}`),
    );
  return parsed;
}

function repeated(guards: GuardSpec[], list: string): { path: (string | number)[]; text: string }[] {
  const seen = new Set<string>();
  return guards.flatMap(({ name }, index) => {
    const key = name.toLowerCase();
    if (!seen.has(key)) {
      seen.add(key);
      return [];
    }
    return [{ path: [list, index, 'name'], text: `'${name}' appears more than once in ${list}.` }];
  });
}

function word(error: ErrorObject, document: Document, file: string, lines: LineCounter): string {
  const path = error.instancePath
    .split('/')
    .slice(1)
    .map((part) => part.replace(/~1/g, '/').replace(/~0/g, '~'));
  const where = path.join('.') || 'the file';
  if (error.keyword === 'additionalProperties') {
    const key = (error.params as { additionalProperty: string }).additionalProperty;
    const known = Object.keys((error.parentSchema?.['properties'] as object | undefined) ?? {});
    const accepted = known.length > 0 ? ` Accepted: ${known.join(', ')}.` : '';
    return `${at(document, [...path, key], file, lines)}: unknown key '${key}' in ${where}.${accepted}`;
  }
  if (error.keyword === 'enum')
    return `${at(document, path, file, lines)}: ${where} must be one of ${(error.params as { allowedValues: string[] }).allowedValues.join(', ')}.`;
  if (error.keyword === 'oneOf')
    return `${at(document, path, file, lines)}: ${where} must be 'all' or a list of names or ids of pipelines.`;
  return `${at(document, path, file, lines)}: ${where} ${error.message ?? 'is not valid'}.`;
}

/** The place of a key where there is one, else of what holds it. */
function at(document: Document, path: (string | number)[], file: string, lines: LineCounter): string {
  let node: unknown = document.contents;
  let offset = (node as Node | null)?.range?.[0] ?? 0;
  for (const part of path) {
    if (isMap(node)) {
      const pair = node.items.find((item) => String((item.key as { value?: unknown } | null)?.value) === String(part));
      if (!pair) break;
      offset = (pair.key as Node).range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      offset = (node as Node | undefined)?.range?.[0] ?? offset;
    } else break;
  }
  return place(file, lines, offset);
}

function place(file: string, lines: LineCounter, offset: number): string {
  const { line, col } = lines.linePos(offset);
  return `${file} (Line: ${line}, Col: ${col})`;
}

function invalid(file: string, problems: string[]): Failure {
  return new Failure(problems.join('\n'), {
    code: 'EnvironmentsFileInvalid',
    file,
    advice: 'The format is described by src/devops/environments.schema.json.',
  });
}
