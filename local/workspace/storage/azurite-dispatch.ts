/** Which of Azurite's operations a request means, with the rule of its dispatch.middleware: of all that match, the first with the most required parameters. */

interface Parameter {
  mapper: {
    required?: boolean;
    isConstant?: boolean;
    defaultValue?: string | number | boolean;
    serializedName?: string;
    type: { name: string; allowedValues?: string[] };
  };
}
export interface Specification {
  httpMethod: string;
  path?: string;
  queryParameters?: Parameter[];
  headerParameters?: Parameter[];
}
interface Request {
  getMethod(): string;
  getHeader(name: string): string | undefined;
  getQuery(name: string): unknown;
}
interface Context {
  dispatchPattern?: string;
  operation?: number;
}
export type Dispatch = (context: Context, request: Request, next: (error?: unknown) => void, logger: object) => void;

type Requirement = (request: Request) => boolean;
interface Candidate {
  operation: number;
  holds: Requirement[];
}

/** The only paths that Azurite holds against templates: what a request is about, not its name. */
const patterns = ['/', '/container', '/container/blob'];
const overrides = new Set(['GET', 'MERGE', 'PATCH', 'DELETE']);

/** `specifications`: by number of the operation. `fits`: whether a pattern is of a template. `original` serves requests that none of this fits, and says so in its words. */
export function dispatcher(
  specifications: Readonly<Record<string, Specification>>,
  fits: (pattern: string, template: string) => boolean,
  original: Dispatch,
): Dispatch {
  const table = new Map<string, Candidate[]>();
  for (const [operation, specification] of Object.entries(specifications)) {
    for (const pattern of patterns) {
      if (!fits(pattern, `/${specification.path?.replace(/^\//, '') ?? ''}`)) continue;
      const key = `${specification.httpMethod} ${pattern}`;
      const holds = [
        ...required(specification.queryParameters).map(inQuery),
        ...required(specification.headerParameters).map(inHeaders),
      ];
      table.set(key, [...(table.get(key) ?? []), { operation: Number(operation), holds }]);
    }
  }
  for (const candidates of table.values())
    candidates.sort((a, b) => b.holds.length - a.holds.length || a.operation - b.operation);
  return (context, request, next, logger) => {
    const asked = request.getHeader('X-HTTP-Method')?.trim() ?? '';
    const method = overrides.has(asked) ? asked : request.getMethod();
    const found = table
      .get(`${method} ${context.dispatchPattern}`)
      ?.find(({ holds }) => holds.every((requirement) => requirement(request)));
    if (!found) return original(context, request, next, logger);
    context.operation = found.operation;
    next();
  };
}

function required(parameters: Parameter[] | undefined): Parameter[] {
  return (parameters ?? []).filter(({ mapper }) => mapper.required);
}

function inQuery({ mapper }: Parameter): Requirement {
  const name = mapper.serializedName ?? '';
  return (request) =>
    allows(mapper, request.getQuery(name)) && (!mapper.isConstant || request.getQuery(name) === mapper.defaultValue);
}

function inHeaders({ mapper }: Parameter): Requirement {
  const name = mapper.serializedName ?? '';
  const constant = String(mapper.defaultValue || '').toLowerCase();
  return (request) =>
    allows(mapper, request.getHeader(name)) && (!mapper.isConstant || request.getHeader(name)?.toLowerCase() === constant);
}

function allows({ type }: Parameter['mapper'], value: unknown): boolean {
  return value !== undefined && (type.name !== 'Enum' || type.allowedValues?.some((one) => one === value) === true);
}
