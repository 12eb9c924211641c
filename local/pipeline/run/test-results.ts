/** Counts of a JUnit file, enough for a line in the log; the file itself is kept with the run. */
interface TestCounts {
  total: number;
  failed: number;
  skipped: number;
}

/** Reads test cases by their tags; nothing of the text is interpreted. */
export function countTests(xml: string): TestCounts {
  const text = xml.replace(/<!--[\s\S]*?-->|<!\[CDATA\[[\s\S]*?\]\]>/g, '');
  const counts: TestCounts = { total: 0, failed: 0, skipped: 0 };
  for (const [, self, body = ''] of text.matchAll(/<testcase\b[^>]*?(?:(\/)>|>([\s\S]*?)<\/testcase>)/g)) {
    counts.total += 1;
    if (self) continue;
    if (/<(failure|error)\b/.test(body)) counts.failed += 1;
    else if (/<skipped\b/.test(body)) counts.skipped += 1;
  }
  return counts;
}
