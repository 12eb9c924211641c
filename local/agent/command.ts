/** Grammar of logging commands, exactly as the agent reads them (task-contract B.6.1; agent: Command.cs, CommandStringConvertor.cs). */

export interface LoggingCommand {
  /** Lower case. */
  area: string;
  event: string;
  /** Keys in lower case, values unescaped. */
  properties: Map<string, string>;
  data: string;
}

const prefix = '##vso[';
const escapes = [
  [';', '%3B'],
  ['\r', '%0D'],
  ['\n', '%0A'],
  [']', '%5D'],
] as const;

/**
 * Undoes the writer's escapes in the agent's order; `%AZP25` last, so that an escaped percent sign starts nothing new. `percents: false`
 * (the agent's DECODE_PERCENTS) leaves it as it is.
 */
export function unescapeCommand(text: string, percents = true): string {
  let plain = text;
  for (const [token, escaped] of escapes) plain = plain.replaceAll(escaped, token);
  return percents ? plain.replaceAll('%AZP25', '%') : plain;
}

/** Names without regard to the case of ASCII letters: the agent compares ordinally, so that a Kelvin sign is no `k`. */
const lower = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());

/** The first command of a line, wherever it begins; undefined when the line holds none that parses. */
export function parseCommand(line: string, percents = true): LoggingCommand | undefined {
  const start = line.indexOf(prefix);
  if (start < 0) return undefined;
  const end = line.indexOf(']', start);
  if (end < 0) return undefined;
  const info = line.slice(start + prefix.length, end);
  const space = info.indexOf(' ');
  const name = (space < 0 ? info : info.slice(0, space)).split('.').filter((part) => part !== '');
  const [area, event] = name;
  if (name.length !== 2 || area === undefined || event === undefined) return undefined;
  const properties = new Map<string, string>();
  if (space > 0) {
    for (const pair of info.slice(space + 1).split(';')) {
      // Cut as .NET does without empty parts: `=` at the start of a name or a value is lost, an empty value drops the pair. A blank before a
      // name is part of it.
      const [, name, value] = /^=*([^=]+)=+([^=][^]*)$/.exec(pair) ?? [];
      if (name !== undefined && value !== undefined) properties.set(lower(name), unescapeCommand(value, percents));
    }
  }
  return {
    area: lower(area),
    event: lower(event),
    properties,
    data: unescapeCommand(line.slice(end + 1), percents),
  };
}

/** A line that names commands without being one: the agent warns about it (B.6.1 rule 6). */
export const mentionsCommand = (line: string): boolean => line.includes('##vso');
