/** The import rules of the house (docs/architecture.md): rooms depend downwards only, and each foreign package has one door. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative, sep } from 'node:path';

const root = join(import.meta.dirname, '..', '..');
const rooms = ['tasks', 'src/azure', 'src/aml', 'src/release', 'src/devops', 'src/task', 'local', 'cli'];

/** Which rooms a room may import (values and types), besides itself. */
const allowed: Record<string, string[]> = {
  tasks: ['src/task', 'src/release', 'src/devops', 'src/aml', 'src/azure'],
  'src/azure': [],
  'src/aml': ['src/azure'],
  'src/devops': ['src/azure'],
  'src/task': ['src/azure'],
  'src/release': [],
  local: ['src/azure', 'src/aml', 'src/release', 'src/devops', 'src/task'],
  cli: ['local', 'src/azure', 'src/aml', 'src/release', 'src/devops', 'src/task'],
};

/** Packages with one door. */
const doors: { pattern: RegExp; rooms: string[] }[] = [
  { pattern: /^azure-pipelines-task-lib/, rooms: ['src/task'] },
  { pattern: /^@azure\/arm-machinelearning/, rooms: ['src/azure', 'src/aml'] },
  { pattern: /^@azure\/(?!arm-machinelearning)/, rooms: ['src/azure'] },
  { pattern: /^azure-devops-node-api/, rooms: ['src/devops'] },
];

interface Import {
  file: string;
  room: string;
  line: number;
  specifier: string;
  typeOnly: boolean;
}

function imports(): Import[] {
  const found: Import[] = [];
  for (const top of ['tasks', 'src', 'local', 'cli']) {
    for (const entry of readdirSync(join(root, top), { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith('.ts')) continue;
      const path = join(entry.parentPath, entry.name);
      const file = relative(root, path).split(sep).join('/');
      const room = rooms.find((name) => file.startsWith(`${name}/`));
      assert.ok(room, `${file} stands in no room`);
      const text = readFileSync(path, 'utf8');
      const pattern =
        /(?:^|\n)\s*(?:import|export)\s+(type\s+)?[^'"();]*?from\s+'([^']+)'|\bimport\(\s*'([^']+)'\s*\)|(?:^|\n)\s*import\s+'([^']+)'/g;
      for (const match of text.matchAll(pattern)) {
        const specifier = match[2] ?? match[3] ?? match[4] ?? '';
        found.push({
          file,
          room,
          line: text.slice(0, match.index + 1).split('\n').length,
          specifier,
          typeOnly: match[1] !== undefined,
        });
      }
    }
  }
  return found;
}

describe('rules of the house', () => {
  const all = imports();

  it('finds imports to check', () => assert.ok(all.length > 10));

  it('rooms import only what lies below them', () => {
    const wrong: string[] = [];
    for (const { file, room, line, specifier, typeOnly } of all) {
      if (!specifier.startsWith('.')) continue;
      const target = normalize(join(dirname(file), specifier))
        .split(sep)
        .join('/');
      const into = rooms.find((name) => target.startsWith(`${name}/`));
      if (into === room) continue;
      const types = room === 'release' || room === 'src/release' ? typeOnly : false;
      if (into && (allowed[room]?.includes(into) || types)) continue;
      wrong.push(`${file}:${line} imports ${specifier}`);
    }
    assert.deepEqual(wrong, []);
  });

  it('foreign packages come in through their one door', () => {
    const wrong = all.flatMap(({ file, room, line, specifier }) =>
      doors.some((door) => door.pattern.test(specifier) && !door.rooms.includes(room))
        ? [`${file}:${line} imports ${specifier}`]
        : [],
    );
    assert.deepEqual(wrong, []);
  });
});
