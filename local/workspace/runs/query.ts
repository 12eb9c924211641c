/** `$filter` and `$orderby` of run history: comparisons joined by `and`, as clients send them. */
import { ServiceError } from '../errors.js';
import type { RunRecord } from './record.js';

const fields: Record<string, (run: RunRecord) => string> = {
  runid: (run) => run.runId,
  parentrunid: (run) => run.parentRunId ?? '',
  rootrunid: (run) => run.rootRunId,
  status: (run) => run.status,
  displayname: (run) => run.displayName,
  createdutc: (run) => run.createdAt,
  starttimeutc: (run) => run.startedAt ?? '',
  endtimeutc: (run) => run.endedAt ?? '',
  target: (run) => run.target ?? '',
  hidden: (run) => String(run.hidden),
  experimentid: (run) => run.experimentId,
};

function reader(path: string): (run: RunRecord) => string {
  const known = fields[path.toLowerCase()];
  if (known) return known;
  const match = /^(tags|properties)\/(.+)$/i.exec(path);
  if (!match)
    throw new ServiceError(400, 'UserError', `The filter field '${path}' is not known.`, {
      envelope: 'data',
      inner: ['BadArgument'],
    });
  const table = (match[1] ?? '').toLowerCase() as 'tags' | 'properties';
  const name = match[2] ?? '';
  return (run) => run[table][name] ?? '';
}

/**
 * Runs that fit a filter (`status eq 'Failed' and tags/a eq 'b'`), in the order asked for (else as given).
 * @throws ServiceError 400 for a filter that cannot be read
 */
export function selectRuns(runs: RunRecord[], filter: string | undefined, orderBy: string | undefined): RunRecord[] {
  let selected = runs;
  for (const part of filter === undefined || filter.trim() === '' ? [] : filter.split(/\s+and\s+/i)) {
    const match = /^\(?\s*([\w/.-]+)\s+(eq|ne|gt|ge|lt|le)\s+(?:'((?:[^']|'')*)'|([^\s)]+))\s*\)?$/i.exec(part.trim());
    if (!match)
      throw new ServiceError(400, 'UserError', `The filter '${part}' cannot be read.`, {
        envelope: 'data',
        inner: ['BadArgument'],
      });
    const read = reader(match[1] ?? '');
    const wanted = match[3]?.replaceAll("''", "'") ?? (match[4] === 'null' ? '' : (match[4] ?? ''));
    const compare = {
      eq: (a: number) => a === 0,
      ne: (a: number) => a !== 0,
      gt: (a: number) => a > 0,
      ge: (a: number) => a >= 0,
      lt: (a: number) => a < 0,
      le: (a: number) => a <= 0,
    }[(match[2] ?? 'eq').toLowerCase()];
    selected = selected.filter((run) => {
      const value = read(run);
      return compare?.(value === wanted ? 0 : value < wanted ? -1 : 1);
    });
  }
  const order = /^\s*([\w/.-]+)(?:\s+(asc|desc))?\s*$/i.exec(orderBy ?? '');
  if (!order) return selected;
  const read = reader(order[1] ?? '');
  const sign = order[2]?.toLowerCase() === 'desc' ? -1 : 1;
  return [...selected].sort((a, b) => (read(a) === read(b) ? 0 : read(a) < read(b) ? -sign : sign));
}
