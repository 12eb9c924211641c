/** The run's number from the pipeline's `name:` (run-number format of Azure Pipelines). */

const two = (value: number): string => String(value).padStart(2, '0');

function date(pattern: string, at: Date): string {
  const parts: Record<string, string> = {
    yyyy: String(at.getFullYear()),
    yy: two(at.getFullYear() % 100),
    MM: two(at.getMonth() + 1),
    M: String(at.getMonth() + 1),
    dd: two(at.getDate()),
    d: String(at.getDate()),
    HH: two(at.getHours()),
    mm: two(at.getMinutes()),
    ss: two(at.getSeconds()),
  };
  return pattern.replace(/yyyy|yy|MM|M|dd|d|HH|mm|ss/g, (part) => parts[part] ?? part);
}

/**
 * @param format e.g. `$(Date:yyyyMMdd)$(Rev:.r)`
 * @param variables names in any case; an unknown one stays as it is written
 * @param taken numbers of earlier runs of the pipeline: `Rev` is the first that makes the number new
 */
export function runNumber(
  format: string,
  variables: Record<string, string>,
  at: Date,
  runId: number,
  taken: ReadonlySet<string>,
): string {
  const byName = new Map(Object.entries(variables).map(([name, value]) => [name.toLowerCase(), value]));
  const known: Record<string, string> = {
    buildid: String(runId),
    dayofmonth: String(at.getDate()),
    month: String(at.getMonth() + 1),
    hours: String(at.getHours()),
    minutes: String(at.getMinutes()),
    seconds: String(at.getSeconds()),
    sourcebranchname: byName.get('build.sourcebranchname') ?? '',
    teamproject: byName.get('system.teamproject') ?? '',
    builddefinitionname: byName.get('build.definitionname') ?? '',
  };
  const make = (revision: number): string =>
    format.replace(/\$\(([^()]+)\)/g, (whole, token: string) => {
      const [name = '', argument = ''] = token.split(':');
      const key = name.trim().toLowerCase();
      if (key === 'date' || key === 'year') return date(argument, at);
      if (key === 'rev') return argument.replace(/r+/, (digits) => String(revision).padStart(digits.length, '0'));
      return known[key] ?? byName.get(key) ?? whole;
    });
  if (make(1) === make(2)) return make(1);
  for (let revision = 1; ; revision += 1) {
    const number = make(revision);
    if (!taken.has(number)) return number;
  }
}
