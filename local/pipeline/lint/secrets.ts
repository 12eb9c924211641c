/** Secrets where everybody reads them: parameters and variables in the file, inputs, scripts. */
import { readFileSync } from 'node:fs';
import type { ExpandedPipeline, Position } from '../expand/index.js';
import type { MappingNode, Node } from '../yaml/nodes.js';
import { readYaml } from '../yaml/read.js';
import type { Finding } from './types.js';

const secretName =
  /(^|[^a-z])(password|passwd|pwd|secret|token|pat|api_?key|account_?key|access_?key|private_?key|client_?secret|connection_?string|sas)s?$/i;

/** Camel-case words apart, so that `clientSecret` and `sasToken` are seen and `path` is not. */
function isSecretName(name: string): boolean {
  return secretName.test(name.replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2'));
}

const secretValues: [RegExp, string][] = [
  [/\b(AccountKey|SharedAccessKey|SharedAccessSignature)=[A-Za-z0-9+/%]{20,}/i, 'a storage key'],
  [/[?&]sig=[A-Za-z0-9%+/]{20,}/, 'a shared access signature'],
  [/-----BEGIN [A-Z ]*PRIVATE KEY-----/, 'a private key'],
  [/\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}/, 'a token'],
  [/\bgh[pousr]_[A-Za-z0-9]{30,}/, 'a GitHub token'],
  [/\b[A-Za-z0-9_~.-]{3}8Q~[A-Za-z0-9_~.-]{31,34}\b/, 'a client secret'],
];

/** Text that holds nothing itself: macros, expressions, nothing. */
function refersElsewhere(text: string): boolean {
  return text.trim() === '' || /^\s*(\$\(|\$\[|\$\{\{)/.test(text);
}

export function checkSecrets(pipeline: ExpandedPipeline): Finding[] {
  const found: Finding[] = [];
  const add = (severity: Finding['severity'], message: string, position: Position): void => {
    found.push({ rule: 'secret', severity, message, position });
  };
  for (const file of pipeline.files) {
    const name = file.repository === 'self' ? file.path : `${file.path}@${file.repository}`;
    const { root } = readYaml(readFileSync(file.location, 'utf8'), name);
    if (!root) continue;
    if (root.kind === 'mapping') parameters(root, add);
    walk(root, undefined, add);
  }
  return found;
}

type Add = (severity: Finding['severity'], message: string, position: Position) => void;

function child(node: Node, key: string): Node | undefined {
  return node.kind === 'mapping' ? node.entries.find((entry) => entry.key.text === key)?.value : undefined;
}

function parameters(root: MappingNode, add: Add): void {
  const block = child(root, 'parameters');
  for (const item of block?.kind === 'sequence' ? block.items : []) {
    const name = child(item, 'name');
    if (name?.kind !== 'scalar' || !isSecretName(name.text)) continue;
    const type = child(item, 'type');
    if (type?.kind === 'scalar' && type.text !== 'string') continue;
    const preset = child(item, 'default');
    if (preset?.kind === 'scalar' && refersElsewhere(preset.text) && !preset.empty && preset.text !== '') continue;
    add(
      'error',
      `The parameter '${name.text}' looks like a secret, and parameters are plain text in the run's page and logs. Use a secret variable or a key vault and pass it with env.`,
      name.place,
    );
  }
}

/** Values that are secrets by their form, and variables that are by their name. */
function walk(node: Node, key: string | undefined, add: Add): void {
  if (node.kind === 'sequence') node.items.forEach((item) => walk(item, key, add));
  else if (node.kind === 'mapping') {
    const name = child(node, 'name');
    const value = child(node, 'value');
    if (key === 'variables' && name?.kind === 'scalar' && value?.kind === 'scalar')
      named(name.text, value.text, value.place, add);
    for (const entry of node.entries) {
      if (
        key === 'variables' &&
        entry.value.kind === 'scalar' &&
        !['name', 'value', 'group', 'template', 'readonly'].includes(entry.key.text)
      ) {
        named(entry.key.text, entry.value.text, entry.value.place, add);
      }
      walk(entry.value, entry.key.text, add);
    }
  } else {
    const kind = secretValues.find(([pattern]) => pattern.test(node.text))?.[1];
    if (kind !== undefined)
      add(
        'error',
        `This looks like ${kind} in plain text. Take it out, renew it, and read it from a secret variable or a key vault.`,
        node.place,
      );
  }
}

function named(name: string, value: string, position: Position, add: Add): void {
  if (!isSecretName(name) || refersElsewhere(value)) return;
  add(
    'error',
    `The variable '${name}' looks like a secret in plain text. Make it a secret variable of the pipeline or of a variable group.`,
    position,
  );
}
