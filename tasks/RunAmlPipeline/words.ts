/** Numbers, sizes and durations as a person reads them. Exact values go to output variables and attachments. */

/** `1 file`, `2 files`. */
export function counted(count: number, thing: string): string {
  return `${count} ${thing}${count === 1 ? '' : 's'}`;
}

/** Milliseconds as `12 s`, `1 min 8 s`, `14 min`, `2 h 30 min`, `3 d 4 h`. */
export function duration(ms: number): string {
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 600) return two(seconds, 60, 'min', 's');
  const minutes = Math.round(ms / 60_000);
  if (minutes < 60) return `${minutes} min`;
  if (minutes < 48 * 60) return two(minutes, 60, 'h', 'min');
  return two(Math.round(ms / 3_600_000), 24, 'd', 'h');
}

function two(count: number, each: number, large: string, small: string): string {
  const rest = count % each;
  return `${Math.floor(count / each)} ${large}${rest > 0 ? ` ${rest} ${small}` : ''}`;
}

/** Bytes as `812 bytes`, `3.6 KB`, `52 MB`, in thousands. */
export function size(bytes: number): string {
  if (bytes < 1000) return counted(bytes, 'byte');
  let value = bytes;
  let unit = -1;
  // 999,950 and more would be rounded to a thousand of the unit.
  while (value >= 999.5 && unit < 3) {
    value /= 1000;
    unit += 1;
  }
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)} ${['KB', 'MB', 'GB', 'TB'][unit]}`;
}

/** A metric with six digits that count; whole numbers in full. */
export function figure(value: number): string {
  return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(6)));
}
