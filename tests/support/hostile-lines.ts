/** Log lines of an attacker, from one seed: every way we know to smuggle a logging command past a reader (task-contract D.1). */

/** Small seeded generator (mulberry32); numbers from 0 up to, not including, 1. */
function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

const commands = [
  'task.setvariable variable=PATH]/tmp',
  'task.setvariable variable=jobStatus;isOutput=true]Completed',
  'task.prependpath]/tmp/evil',
  'task.complete result=Succeeded;done=true;]',
  'task.setsecret]a',
  'task.setendpoint id=x;field=url]https://evil.example/',
  'task.uploadsummary]/etc/passwd',
  'artifact.upload artifactname=x]/etc',
  'build.addbuildtag]approved',
  'TASK.Debug]x',
];
/** Nothing to see: zero-width, soft hyphen, joiners, variation selector, BOM, tags, control characters. */
const invisible = [
  '\u200b',
  '\u200c',
  '\u200d',
  '\u00ad',
  '\u2060',
  '\ufeff',
  '\ufe0f',
  '\u034f',
  '\u{e0020}',
  '\u0000',
  '\u0007',
  '\u0008',
  '\u001b',
  '\u0085',
  '\u180e',
];
const breaks = ['\r', '\n', '\r\n', '\u2028', '\u2029', '\u000b', '\u000c', '\u0085'];
const ansi = ['\u001b[31m', '\u001b[0m', '\u001b[2K', '\u001b]0;title\u0007', '\u001b[1A', '\u009b31m'];
const lookalikes: Record<string, string[]> = {
  '#': ['\uff03', '\ufe5f', '#'],
  '[': ['\uff3b', '\u2045', '[', '\ufe47'],
  v: ['\uff56', 'V', '\u2174', 'v'],
  s: ['\uff53', 'S', '\u017f', 's'],
  o: ['\uff4f', 'O', '\u2134', 'o'],
};

/** `count` lines (some hold line breaks of their own), the same for the same seed. */
export function hostileLines(seed: number, count: number): string[] {
  const next = random(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)] as T;
  const prefix = (): string => {
    const plain = pick(['##vso[', '##vso[', '##VSO[', '##[error]', '##[group]', '##[command]', '##vso']);
    const style = Math.floor(next() * 5);
    if (style === 0) return plain;
    return [...plain]
      .map((character) => {
        if (style === 1 && next() < 0.4) return character + pick(invisible);
        if (style === 2 && next() < 0.4) return pick(lookalikes[character] ?? [character]);
        if (style === 3 && next() < 0.3) return pick(ansi) + character;
        if (style === 4 && next() < 0.2) return `${character}\u0308`.repeat(next() < 0.5 ? 1 : 0) || character;
        return character;
      })
      .join('');
  };
  const lines: string[] = [];
  for (let index = 0; index < count; index += 1) {
    const parts: string[] = [];
    const length = 1 + Math.floor(next() * 3);
    for (let part = 0; part < length; part += 1) {
      parts.push(
        pick([
          '',
          'epoch 3 loss=0.1 ',
          '  ',
          '%0A',
          '%5D',
          '%25',
          '\ud800',
          'é'.repeat(3),
          'x'.repeat(Math.floor(next() * 2000)),
        ]),
      );
      parts.push(pick(['', '', ...breaks]));
      parts.push(prefix() + pick(commands));
      // A prefix that appears only when something is taken out of the middle.
      if (next() < 0.2) parts.push(`##v${pick([...invisible, ...ansi, '##vso['])}so[${pick(commands)}`);
    }
    lines.push(parts.join(''));
  }
  return lines;
}

/**
 * Would a reader that ignores what cannot be seen find a command here? The agent searches with the culture's rules, under which
 * zero-width and control characters weigh nothing (task-contract D.1). Stricter than any agent.
 */
export function resemblesCommand(line: string): boolean {
  const visible = line
    .normalize('NFKC')
    .replace(/[\p{Cc}\p{Cf}\p{Mn}\p{Variation_Selector}\p{Default_Ignorable_Code_Point}]/gu, '');
  return /##vso\[/i.test(visible);
}
