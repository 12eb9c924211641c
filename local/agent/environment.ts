/** What of this machine's environment a task's process sees: an allow-list, so that a task that leans on more is found out. */
import { delimiter } from 'node:path';

const everywhere = ['PATH', 'HOME', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'];
/** Windows processes do not start, or find no home, without these. */
const windows = [
  'SystemRoot',
  'SystemDrive',
  'ComSpec',
  'PATHEXT',
  'TEMP',
  'TMP',
  'USERPROFILE',
  'APPDATA',
  'LOCALAPPDATA',
  'ProgramData',
  'ProgramFiles',
  'NUMBER_OF_PROCESSORS',
  'PROCESSOR_ARCHITECTURE',
];

/** The allowed part of an environment. */
export function allowedEnvironment(): Record<string, string> {
  const { env, platform } = process;
  const allowed = platform === 'win32' ? [...everywhere, ...windows] : everywhere;
  const wanted = new Set(allowed.map((name) => (platform === 'win32' ? name.toUpperCase() : name)));
  const picked: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (value !== undefined && wanted.has(platform === 'win32' ? name.toUpperCase() : name)) picked[name] = value;
  }
  return picked;
}

/** PATH with what `task.prependpath` added, last added first (B.5). */
export function pathWith(prepended: string[], path: string | undefined): string {
  return [...[...prepended].reverse(), path ?? ''].filter((entry) => entry !== '').join(delimiter);
}
