/** What the parts of a report share. */
import type { RunDocument, TimelineRecord } from '../devops/types.js';
import { plainText } from './console.js';
import { escapeHtml } from './markdown.js';

export interface View {
  run: RunDocument;
  runFolder: string;
  folder: string;
  /** Records of every attempt. */
  every: TimelineRecord[];
}

export const e = (text: string): string => escapeHtml(plainText(text));

export function table(titles: string[], rows: string[]): string {
  if (rows.length === 0) return '';
  return `<div class="wide"><table><tr>${titles.map((title) => `<th>${title}</th>`).join('')}</tr>${rows.join('')}</table></div>`;
}

/** Where a record stands: `Promote to prod › promote`, with the attempt when it is not the present one. */
export function placeOf({ every, run }: View, id: string): string {
  const record = every.find((other) => other.id === id);
  if (!record) return '';
  let stage = record;
  for (let parent = stage; parent;) {
    stage = parent;
    const next = every.find((other) => other.id === stage.parentId);
    if (!next) break;
    parent = next;
  }
  const old = run.records.some((other) => other.id === stage.id) ? '' : ` (attempt ${stage.attempt})`;
  return stage === record ? `${record.name}${old}` : `${stage.name}${old} › ${record.name}`;
}
