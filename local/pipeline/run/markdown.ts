/** Markdown of run summaries as HTML. Everything is escaped first; only the few forms below become tags, links only to http(s). */

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;');
}

const entities: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', '#39': "'" };

/** Code spans, backslash escapes and entities are held back as text, so that nothing in them becomes markup; what remains is escaped. */
function inline(text: string): string {
  const held: string[] = [];
  const hold = (html: string): string => `\u0000${held.push(html) - 1}\u0000`;
  const rest = text
    .replace(/`([^`]+)`|\\([!-/:-@[-`{-~])/g, (_whole, code: string | undefined, literal: string | undefined) =>
      hold(code === undefined ? escapeHtml(literal ?? '') : `<code>${escapeHtml(code)}</code>`),
    )
    .replace(/&(lt|gt|amp|quot|#39);/g, (_whole, name: string) => hold(escapeHtml(entities[name] ?? '')));
  return escapeHtml(rest)
    .replace(/\*\*([^*]+)\*\*/g, '<strong>$1</strong>')
    .replace(/(?<![\w*])([_*])(?=\S)([^_*]*[^_*\s])\1(?!\w)/g, '<em>$2</em>')
    .replace(/\[([^\]]+)\]\((https?:\/\/[^\s()\u0000]+)\)/g, '<a href="$2" rel="noreferrer noopener">$1</a>')
    .replace(/\u0000(\d+)\u0000/g, (_whole, index: string) => held[Number(index)] ?? '');
}

const cells = (line: string): string[] =>
  line
    .trim()
    .replace(/^\||\|$/g, '')
    .split(/(?<!\\)\|/)
    .map((cell) => inline(cell.trim().replaceAll('\\|', '|')));

/** @param text untrusted Markdown @returns safe HTML */
export function markdownToHtml(text: string): string {
  const lines = text.replaceAll('\u0000', '').split(/\r?\n/);
  const html: string[] = [];
  for (let index = 0; index < lines.length; index += 1) {
    const line = lines[index] ?? '';
    const heading = /^(#{1,6})\s+(.*)$/.exec(line);
    if (/^```/.test(line)) {
      const code: string[] = [];
      for (index += 1; index < lines.length && !/^```/.test(lines[index] ?? ''); index += 1) code.push(lines[index] ?? '');
      html.push(`<pre>${escapeHtml(code.join('\n'))}</pre>`);
    } else if (heading) {
      const level = Math.min(6, (heading[1]?.length ?? 1) + 2);
      html.push(`<h${level}>${inline(heading[2] ?? '')}</h${level}>`);
    } else if (
      line.trim().startsWith('|') &&
      /^\s*\|?[\s:|-]+\|?\s*$/.test(lines[index + 1] ?? '') &&
      (lines[index + 1] ?? '').includes('-')
    ) {
      const titles = cells(line);
      const rows = titles.some(Boolean) ? [`<tr>${titles.map((cell) => `<th>${cell}</th>`).join('')}</tr>`] : [];
      for (index += 2; index < lines.length && (lines[index] ?? '').trim().startsWith('|'); index += 1)
        rows.push(
          `<tr>${cells(lines[index] ?? '')
            .map((cell) => `<td>${cell}</td>`)
            .join('')}</tr>`,
        );
      index -= 1;
      html.push(`<table>${rows.join('')}</table>`);
    } else if (/^\s*[-*]\s+/.test(line)) {
      const items: string[] = [];
      for (; index < lines.length && /^\s*[-*]\s+/.test(lines[index] ?? ''); index += 1)
        items.push(`<li>${inline((lines[index] ?? '').replace(/^\s*[-*]\s+/, ''))}</li>`);
      index -= 1;
      html.push(`<ul>${items.join('')}</ul>`);
    } else if (line.trim()) html.push(`<p>${inline(line)}</p>`);
  }
  return html.join('\n');
}
