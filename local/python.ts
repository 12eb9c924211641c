/**
 * Python on this machine: which interpreter, and virtual environments cached by their content. Used by the job engine (environments
 * of job nodes) and by tests that drive the real Python clients.
 *
 * A venv lives at `<cache>/venvs/<name>-<hash>`; hash = interpreter + requirements. It is built in place (a venv cannot be moved) under
 * a lock, and counts as there once its `.complete` marker has been renamed into place: a build that died leaves no marker and is redone.
 */
import { execFile, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createWriteStream, existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, platform, arch } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { finished } from 'node:stream/promises';
import { Failure } from '../src/azure/errors.js';
import { withLock } from './lock.js';

interface Python {
  /** The interpreter's own file (not a shim). */
  executable: string;
  /** e.g. `3.11.7` */
  version: string;
}

export interface Venv {
  folder: string;
  python: string;
  /** Folder of the executables, to be put first on PATH. */
  bin: string;
  /** Path of the log of the build (this one's or an earlier one's). */
  buildLog: string;
  /** False when it was there already. */
  built: boolean;
}

interface VenvRequest {
  /** Lines of a requirements file; order does not matter. */
  requirements: string[];
  /** Readable part of the folder's name. */
  name: string;
  /** Gets each line of the build's output. Not called when the venv is there. */
  onProgress?: (line: string) => void;
  signal?: AbortSignal;
}

/** Oldest Python that is accepted (README: Python >= 3.11). */
const minimum = [3, 11] as const;

/** Folder for what can be built again: AMLOPS_CACHE, else the platform's user cache folder. */
export function cacheFolder(): string {
  const { env } = process;
  if (env['AMLOPS_CACHE']) return env['AMLOPS_CACHE'];
  if (platform() === 'win32') return join(env['LOCALAPPDATA'] ?? join(homedir(), 'AppData', 'Local'), 'amlops');
  if (platform() === 'darwin') return join(homedir(), 'Library', 'Caches', 'amlops');
  return join(env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'amlops');
}

/** Where a venv keeps its executables. */
function venvBin(folder: string): string {
  return platform() === 'win32' ? join(folder, 'Scripts') : join(folder, 'bin');
}

function venvPython(folder: string): string {
  return join(venvBin(folder), platform() === 'win32' ? 'python.exe' : 'python');
}

const probe = 'import sys; print("%d.%d.%d|%s" % (*sys.version_info[:3], sys.executable))';

async function probeOne(command: string, args: string[]): Promise<Python | undefined> {
  const text = await new Promise<string>((resolve) => {
    execFile(command, [...args, '-c', probe], { timeout: 20_000, windowsHide: true }, (error, stdout) => {
      resolve(error ? '' : stdout.trim());
    });
  });
  const [version, executable] = text.split('|');
  if (!version || !executable) return undefined;
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major === minimum[0] && minor >= minimum[1] ? { executable, version } : undefined;
}

let found: Promise<Python> | undefined;

/**
 * The Python to use: AMLOPS_PYTHON when set, else the first of python3, python3.11 … python3.14, python (Windows: also `py -3`) that is
 * >= 3.11. Looked up once a process.
 * @throws Failure `PythonNotFound`
 */
export function findPython(): Promise<Python> {
  found ??= (async () => {
    const named = process.env['AMLOPS_PYTHON'];
    const candidates: [string, string[]][] = named
      ? [[named, []]]
      : ['python3', 'python3.11', 'python3.12', 'python3.13', 'python3.14', 'python'].map((name) => [name, []]);
    if (!named && platform() === 'win32') candidates.push(['py', ['-3']]);
    for (const [command, args] of candidates) {
      const python = await probeOne(command, args);
      if (python) return python;
    }
    throw new Failure(
      named ? `AMLOPS_PYTHON is '${named}', which is not a Python >= 3.11.` : 'No Python >= 3.11 was found on the PATH.',
      { code: 'PythonNotFound', advice: 'Install Python 3.11 or newer, or set AMLOPS_PYTHON to one.' },
    );
  })();
  found.catch(() => (found = undefined));
  return found;
}

/**
 * Starts the command in a process group of its own, which ends with this process even when that is killed: a build that went on alone
 * would write into the folder of the next one. The group's watcher reads a pipe that only this process holds open.
 */
const launcher = `( trap '' TERM; read -r _ <&3; kill -KILL 0 ) >/dev/null 2>&1 &
exec 3<&-
exec "$@"`;

/** Runs a command; its lines go to `onLine`. @throws Failure `code` with the last lines. */
async function run(
  command: string,
  args: string[],
  onLine: (line: string) => void,
  code: string,
  options: { env?: NodeJS.ProcessEnv; signal?: AbortSignal } = {},
): Promise<void> {
  const last: string[] = [];
  const { signal } = options;
  const group = platform() !== 'win32';
  const child = spawn(group ? '/bin/sh' : command, group ? ['-c', launcher, 'sh', command, ...args] : args, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    windowsHide: true,
    detached: group,
    env: { ...process.env, ...options.env },
  });
  const streams = [child.stdout, child.stderr] as const;
  for (const stream of streams)
    if (stream)
      createInterface({ input: stream }).on('line', (line) => {
        last.push(line);
        if (last.length > 30) last.shift();
        onLine(line);
      });
  // The pipe's far end goes away with the group; its near end, when the command or the wait for it is over.
  child.stdio[3]?.on('error', () => undefined);
  const end = (): void => {
    child.stdio[3]?.destroy();
    if (!group) child.kill();
  };
  child.once('exit', () => child.stdio[3]?.destroy());
  signal?.addEventListener('abort', end);
  if (signal?.aborted) end();
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  })
    .catch((cause: unknown) => {
      throw new Failure(`${command} could not be run: ${String(cause)}`, { code, cause });
    })
    .finally(() => signal?.removeEventListener('abort', end));
  if (signal?.aborted) throw new Failure('The build was cancelled.', { code: 'BuildCanceled' });
  if (status !== 0)
    throw new Failure(`${[command, ...args].slice(0, 4).join(' ')} … ended with ${status}.\n${last.join('\n')}`, { code });
}

/** `uv` flags that repeat what this machine's pip is configured with (index, find-links, trusted hosts); its certificate comes by SSL_CERT_FILE. */
export function uvFlags(pipConfig: string): { flags: string[]; env: NodeJS.ProcessEnv } {
  const flags: string[] = [];
  const env: NodeJS.ProcessEnv = {};
  const seen = new Set<string>();
  for (const line of pipConfig.split(/\r?\n/)) {
    const match = /^(:env:|global|install|site|user)\.([\w-]+)='(.*)'$/.exec(line.trim());
    if (!match) continue;
    const [, , key = '', raw = ''] = match;
    const values = raw.split(/\\n|\s+/).filter(Boolean);
    const flag = {
      'index-url': '--index-url',
      'extra-index-url': '--extra-index-url',
      'find-links': '--find-links',
      'trusted-host': '--allow-insecure-host',
    }[key];
    for (const value of flag ? values : [])
      if (!seen.has(flag + value)) {
        seen.add(flag + value);
        flags.push(flag as string, value);
      }
    if (key === 'no-index' && /^(1|true|yes)$/i.test(raw)) flags.push('--no-index');
    if (key === 'cert' && values[0]) env['SSL_CERT_FILE'] = values[0];
    if (key === 'default-timeout' || key === 'timeout') env['UV_HTTP_TIMEOUT'] = raw;
  }
  if (flags.includes('--extra-index-url')) flags.push('--index-strategy', 'unsafe-best-match');
  return { flags, env };
}

interface Installer {
  uv: string;
  flags: string[];
  env: NodeJS.ProcessEnv;
}

/** `uv`, installed once into the cache; undefined when this machine cannot have it (then pip does the work). */
async function findInstaller(python: Python, cache: string): Promise<Installer | undefined> {
  if (process.env['AMLOPS_NO_UV']) return undefined;
  const folder = join(cache, 'tools', `uv-${python.version}`);
  const uv = join(venvBin(folder), platform() === 'win32' ? 'uv.exe' : 'uv');
  const config = await new Promise<string>((resolve) => {
    execFile(python.executable, ['-m', 'pip', 'config', 'list'], { timeout: 20_000 }, (error, stdout) => {
      resolve(error ? '' : stdout);
    });
  });
  const { flags, env } = uvFlags(config);
  const installer = { uv, flags, env: { ...env, UV_CACHE_DIR: join(cache, 'uv'), UV_NO_PROGRESS: '1' } };
  if (existsSync(join(folder, '.complete'))) return installer;
  await mkdir(dirname(folder), { recursive: true });
  return withLock(`${folder}.lock`, async () => {
    if (existsSync(join(folder, '.complete'))) return installer;
    await rm(folder, { recursive: true, force: true });
    try {
      await run(python.executable, ['-m', 'venv', folder], () => undefined, 'UvInstallFailed');
      await run(
        venvPython(folder),
        ['-m', 'pip', 'install', '--disable-pip-version-check', 'uv'],
        () => undefined,
        'UvInstallFailed',
      );
    } catch (error) {
      // uv is only a faster pip: without it everything still works. The reason is kept beside the folder for whoever wonders.
      await rm(folder, { recursive: true, force: true });
      await writeFile(`${folder}.unavailable.txt`, String(error));
      return undefined;
    }
    await mark(folder);
    return installer;
  });
}

async function mark(folder: string): Promise<void> {
  await writeFile(join(folder, '.complete.tmp'), new Date().toISOString());
  await rename(join(folder, '.complete.tmp'), join(folder, '.complete'));
}

/** Hash that names a venv: platform, interpreter and requirements, order and blank lines aside. */
export function venvHash(python: Python, requirements: string[]): string {
  const lines = [...new Set(requirements.map((line) => line.trim()).filter((line) => line && !line.startsWith('#')))].sort();
  return createHash('sha256')
    .update(JSON.stringify([platform(), arch(), python.executable, python.version, lines]))
    .digest('hex')
    .slice(0, 20);
}

/**
 * A virtual environment that has these requirements (and pip). Built at most once, whoever asks for it at the same time, in this process
 * or another.
 * @throws Failure `PythonNotFound`, `EnvironmentBuildFailed` (message carries the last lines of the installer), `BuildCanceled`
 */
export async function ensureVenv({ requirements, name, onProgress, signal }: VenvRequest): Promise<Venv> {
  const python = await findPython();
  const cache = cacheFolder();
  const readable = name.replace(/[^A-Za-z0-9._-]+/g, '-').slice(0, 60) || 'venv';
  const folder = join(cache, 'venvs', `${readable}-${venvHash(python, requirements)}`);
  const venv = { folder, python: venvPython(folder), bin: venvBin(folder), buildLog: `${folder}.log` };
  if (existsSync(join(folder, '.complete'))) return { ...venv, built: false };
  await mkdir(dirname(folder), { recursive: true });
  const build = async (): Promise<Venv> => {
    if (existsSync(join(folder, '.complete'))) return { ...venv, built: false };
    await rm(folder, { recursive: true, force: true });
    const temp = `${folder}.tmp`;
    const log = createWriteStream(venv.buildLog);
    const line = (text: string): void => {
      log.write(`${text}\n`);
      onProgress?.(text);
    };
    try {
      // An installer that is stopped leaves its temporary files behind.
      await rm(temp, { recursive: true, force: true });
      await mkdir(temp);
      await fill({ folder, python, cache, requirements, temp }, line, signal);
      await mark(folder);
    } finally {
      await rm(temp, { recursive: true, force: true, maxRetries: 3 });
      log.end();
      await finished(log);
    }
    return { ...venv, built: true };
  };
  return withLock(`${folder}.lock`, build, signal);
}

async function fill(
  {
    folder,
    python,
    cache,
    requirements,
    temp,
  }: Record<'folder' | 'cache' | 'temp', string> & { python: Python; requirements: string[] },
  line: (text: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  const code = 'EnvironmentBuildFailed';
  const own = { TMPDIR: temp, TEMP: temp, TMP: temp };
  const stop = { env: own, ...(signal && { signal }) };
  const file = `${folder}.requirements.txt`;
  await writeFile(file, requirements.join('\n') + '\n');
  const installer = await findInstaller(python, cache);
  line(`Python ${python.version}; ${requirements.length} requirements; installer ${installer ? 'uv' : 'pip'}`);
  for (const requirement of requirements) line(`  ${requirement}`);
  if (installer) {
    const options = { ...stop, env: { ...installer.env, ...own } };
    await run(installer.uv, ['venv', '--seed', '--python', python.executable, ...installer.flags, folder], line, code, options);
    if (requirements.length > 0)
      await run(
        installer.uv,
        ['pip', 'install', '--python', venvPython(folder), ...installer.flags, '-r', file],
        line,
        code,
        options,
      );
    return;
  }
  await run(python.executable, ['-m', 'venv', folder], line, code, stop);
  if (requirements.length > 0)
    await run(venvPython(folder), ['-m', 'pip', 'install', '--disable-pip-version-check', '-r', file], line, code, stop);
}

/** The environment of a process that runs in this venv. */
export function venvEnvironment(venv: Venv, base: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...base, VIRTUAL_ENV: venv.folder, PATH: venv.bin + delimiter + (base['PATH'] ?? '') };
  delete env['PYTHONHOME'];
  return env;
}

/** The log of a venv's build, or an empty text when there is none. */
export async function readBuildLog(venv: Venv): Promise<string> {
  return existsSync(venv.buildLog) ? readFile(venv.buildLog, 'utf8') : '';
}
