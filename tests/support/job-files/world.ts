/** The files of one generated case: a job file and what it names. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';
import type { Random } from './random.js';
import { Plain, yamlText, type Yaml, type YamlMap } from './yaml-text.js';

export interface Link {
  link: string;
}
export interface Declared {
  name: string;
  type: string;
  optional?: boolean;
  default?: boolean;
}
/** A component that steps can name. */
export interface Made {
  path: string;
  type: string;
  inputs: Declared[];
  outputs: Declared[];
}

const FOLDERS = ['src', 'code', 'my src', 'quelltext-ü', 'a.b', 'Src2'];
const DATA = ['data', 'more data', 'dätä', 'in.put'];

export class World {
  readonly files = new Map<string, string | Link>();
  readonly components: Made[] = [];
  /** Whether components are named as `file:path`. */
  readonly filePrefix: boolean;
  private count = 0;
  constructor(readonly random: Random) {
    this.filePrefix = random.chance(0.25);
  }

  next(): number {
    return ++this.count;
  }
  yaml(path: string, value: Yaml): string {
    this.files.set(path, yamlText(value, this.random));
    return path;
  }
  /** How a file in folder `base` names `path`. */
  named(base: string, path: string): string {
    const plain = posix.relative(base, path) || '.';
    return this.random.chance(0.5) && !plain.startsWith('.') ? `./${plain}` : plain;
  }

  /** A folder with code; sometimes one that is there already. */
  code(near: string): string {
    const { random } = this;
    const known = [...this.files.keys()].filter((name) => name.endsWith('/main.py')).map((name) => posix.dirname(name));
    if (known.length > 0 && random.chance(0.25)) return random.pick(known);
    const folder = posix.join(near, `${random.pick(FOLDERS)}${random.chance(0.5) ? '' : this.next()}`);
    this.files.set(`${folder}/main.py`, `print(${this.next()})\n`);
    for (const [name, text] of random.some<[string, string]>([
      ['sub/util.py', 'x = 1\n'],
      ['sub/deep/z.txt', 'z'],
      ['B.txt', 'b'],
      ['a.txt', ''],
      ['ünïcode name.md', '# ü\n'],
      ['__pycache__/main.pyc', 'bytes'],
      ['.hidden', 'h'],
      ['.git/config', 'g'],
      ['sub/__pycache__/y.pyc', 'bytes'],
      ['data.log', 'log'],
      [
        '.amlignore',
        random.pick(['*.log\n', 'sub/\n', '# no\n!a.txt\n*.txt\n', '/B.txt\n\n.hidden', 'sub/**\n!sub/util.py\n', '*\n!main.py']),
      ],
      ['.gitignore', random.pick(['*.md\n', 'deep\n', '**/z.txt\n', '__pycache__/\n', '[ab].txt\n'])],
    ]))
      this.files.set(`${folder}/${name}`, text);
    if (random.chance(0.1)) this.files.set(`${folder}/link.py`, { link: 'main.py' });
    return folder;
  }

  /** A local file, folder or table. */
  data(near: string, kind: 'file' | 'folder' | 'table'): string {
    const { random } = this;
    const folder = posix.join(near, `${random.pick(DATA)}${this.next()}`);
    this.files.set(`${folder}/${random.pick(['x.csv', 'two words.csv', 'é.csv'])}`, `a,b\n${this.next()},2\n`);
    if (random.chance(0.3)) this.files.set(`${folder}/sub/y.csv`, 'y\n');
    if (random.chance(0.15)) this.files.set(`${folder}/.amlignore`, 'sub\n');
    if (kind === 'table')
      this.files.set(
        `${folder}/MLTable`,
        'paths:\n  - file: ./x.csv\ntransformations:\n  - read_delimited:\n      delimiter: ","\n',
      );
    if (kind !== 'file') return folder;
    const file = `${folder}/${random.pick(['one.csv', 'one two.txt', 'öne'])}`;
    this.files.set(file, `${this.next()}\n`);
    return file;
  }

  conda(near: string): string {
    return this.yaml(posix.join(near, `conda${this.next()}.yml`), condaOf(this.random));
  }

  write(folder: string): void {
    for (const [name, content] of this.files) {
      const path = join(folder, name);
      mkdirSync(dirname(path), { recursive: true });
      if (typeof content === 'string') writeFileSync(path, content);
      else symlinkSync(content.link, path);
    }
  }
}

export function condaOf(random: Random): YamlMap {
  return {
    ...random.maybe(0.6, { name: () => random.pick<Yaml>(['env', new Plain('1.10'), 'a long name']) }),
    channels: random.pick<Yaml>([['conda-forge'], ['defaults', 'conda-forge']]),
    dependencies: [
      random.pick<Yaml>(['python=3.10', 'python>=3.8,<3.12']),
      ...random.some<Yaml>([
        'pip',
        'numpy=1.10',
        { pip: random.some(['mlflow', 'azureml-mlflow==1.1', '-r requirements.txt', 'x[y]>=1  # why']) },
        new Plain('1.0'),
      ]),
    ],
    ...random.maybe(0.1, { variables: () => ({ A: random.pick<Yaml>([new Plain('yes'), 'text', new Plain('017')]) }) }),
  };
}
