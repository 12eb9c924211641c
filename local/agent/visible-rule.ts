/** `visibleRule` of inputs and groups: `a = x && b != y`, or with `||`; never both, no parentheses (task-contract B.1). */

interface VisibleRule {
  join: '&&' | '||';
  terms: { input: string; operator: string; value: string }[];
}

const operators = [
  '!=',
  '==',
  '=',
  'NotIn',
  'In',
  'NotContains',
  'Contains',
  'NotStartsWith',
  'StartsWith',
  'NotEndsWith',
  'EndsWith',
];
const term = new RegExp(
  `^\\s*([A-Za-z][A-Za-z0-9]*)\\s*(${operators.map((o) => (/\w/.test(o) ? `\\s${o}\\s` : o)).join('|')})\\s*(.*?)\\s*$`,
);

/** The rule, or a text that says what is wrong with it. */
export function parseVisibleRule(rule: string): VisibleRule | string {
  if (/[()]/.test(rule)) return 'parentheses are not allowed';
  if (rule.includes('&&') && rule.includes('||')) return '&& and || cannot be mixed';
  const join = rule.includes('||') ? '||' : '&&';
  const terms: VisibleRule['terms'] = [];
  for (const part of rule.split(join)) {
    const match = term.exec(part);
    if (!match) return `"${part.trim()}" is not "input = value"`;
    terms.push({ input: match[1] ?? '', operator: (match[2] ?? '').trim(), value: match[3] ?? '' });
  }
  return { join, terms };
}

/** Is an input with this rule shown, given the values of the others? An unreadable rule hides nothing. */
export function isVisible(rule: string | undefined, valueOf: (input: string) => string): boolean {
  if (rule === undefined) return true;
  const parsed = parseVisibleRule(rule);
  if (typeof parsed === 'string') return true;
  const holds = ({ input, operator, value }: VisibleRule['terms'][number]): boolean => {
    const actual = valueOf(input).toLowerCase();
    const wanted = value.toLowerCase();
    switch (operator) {
      case '!=':
        return actual !== wanted;
      case 'In':
        return wanted.split(',').includes(actual);
      case 'NotIn':
        return !wanted.split(',').includes(actual);
      case 'Contains':
        return actual.includes(wanted);
      case 'NotContains':
        return !actual.includes(wanted);
      case 'StartsWith':
        return actual.startsWith(wanted);
      case 'NotStartsWith':
        return !actual.startsWith(wanted);
      case 'EndsWith':
        return actual.endsWith(wanted);
      case 'NotEndsWith':
        return !actual.endsWith(wanted);
      default:
        return actual === wanted;
    }
  };
  return parsed.join === '||' ? parsed.terms.some(holds) : parsed.terms.every(holds);
}
