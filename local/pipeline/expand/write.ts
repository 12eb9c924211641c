/** The expanded document as text: YAML as the service writes it. */
import { Document, Scalar, visit } from 'yaml';
import type { ExpandedPipeline } from './types.js';

/**
 * YAML of the document: lists not indented, single quotes, no folding, an empty line at the end.
 * Values of the normal form are text; those that look like numbers or Booleans are written bare, as the service does.
 */
export function writeYaml({ document, parametersBlock }: ExpandedPipeline): string {
  const whole = parametersBlock === undefined ? document : { parameters: parametersBlock, ...document };
  const yaml = new Document(whole, { schema: 'failsafe', aliasDuplicateObjects: false });
  visit(yaml, {
    Scalar(_key, node) {
      if (node.value === '') node.type = Scalar.QUOTE_SINGLE;
    },
  });
  return `${yaml.toString({ indentSeq: false, singleQuote: true, lineWidth: 0 })}\n`;
}
