// Writes templates/*/README.md from the `parameters:` blocks and comments of the templates. `--check` writes nothing and fails when one is stale.
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { isMap, isSeq, parseDocument, stringify } from 'yaml';
import { root } from './lib/setup.mjs';

const folders = {
  stages: 'Whole paths: what a pipeline `extends`.',
  jobs: 'One job each, for stages of your own.',
  steps: 'Steps for jobs of your own.',
};

/** Values that make the snippet of a template readable; a parameter with a default is left out of its snippet. */
const examples = {
  pipelineFile: 'aml/pipeline.yml',
  modelName: 'churn',
  modelVersion: '7',
  azureSubscription: 'arm-dev',
  train: { name: 'dev', azureSubscription: 'arm-dev', resourceGroupName: 'rg-dev', workspaceName: 'mlw-dev' },
  place: { name: 'prod', azureSubscription: 'arm-prod', resourceGroupName: 'rg-prod', workspaceName: 'mlw-prod' },
  places: [{ name: 'prod', azureSubscription: 'arm-prod', resourceGroupName: 'rg-prod', workspaceName: 'mlw-prod' }],
  promoteTo: [{ name: 'prod', azureSubscription: 'arm-prod', resourceGroupName: 'rg-prod', workspaceName: 'mlw-prod' }],
  source: { registry: 'reg-mlops' },
  target: { azureSubscription: 'arm-prod', resourceGroupName: 'rg-prod', workspaceName: 'mlw-prod' },
  steps: [{ script: 'echo hello' }],
  condition: "in(variables['promote.outcome'], 'promoted', 'unchanged')",
};

/** Meanings of parameters that many templates share; a comment beside a parameter wins. */
const meanings = {
  azureSubscription: 'service connection (a compile-time string)',
  resourceGroupName: 'not needed when the connection is scoped to a workspace',
  workspaceName: 'not needed when the connection is scoped to a workspace',
  modelName: 'name of the registered model',
  modelVersion: 'an exact version',
  outputName: "the job's output that is the model",
  pipelineFile: "job file below the repository's root",
  experimentName: "overrides the file's",
  onRejected: "what a gate's no does; under `warn` no later stage runs",
  champion: 'whom a gate compares with: champion, latest, a version, none',
  onNoChampion: 'a condition on the champion when there is none',
  streamLogs: 'logs of the Azure ML job in the log of the step',
  lockBehavior: 'takes effect with the Exclusive Lock check of an environment',
  pool: 'agents, unless a place has its own',
  place: 'one place',
  beforeTrain: 'steps of yours before the training',
  afterRegister: 'steps of yours after the registration; `$(register.modelId)`, `$(register.modelVersion)`',
  beforePromote: 'steps of yours before the promotion',
  afterPromote: 'steps of yours after the promotion: deploy `$(promote.modelId)` here',
  afterRollback: 'steps of yours after the rollback: deploy `$(rollback.modelId)` here',
  gate: "mapping from a condition's name to the condition",
  action: 'what the step does',
  stepName: 'name of the step, for its output variables',
  targetModelName: 'another name in the target',
  planDigest: 'digest that a plan printed: the promotion stops when the world has changed since',
  requireApproval: 'writes nothing without an approval of this stage that was not bypassed',
  onTimeout: 'what becomes of the job then',
  source: 'where the tested version is',
  steps: 'the steps',
  places: 'ordered list of places',
  promoteTo: 'ordered list of places',
};

/** Templates that the others are made of. */
const helpers = ['check-place.yml', 'promote-chain.yml', 'conditional.yml'];

/** Shown although they have a default, because hardly anybody does without. */
const shown = { 'stages/train-and-promote.yml': ['promoteTo'], 'stages/promote.yml': ['registry'] };
const shownValues = { registry: 'reg-mlops' };

/** A template as its file describes itself. */
function read(file) {
  const text = readFileSync(file, 'utf8');
  const document = parseDocument(text);
  const block = document.get('parameters');
  const parameters = (isSeq(block) ? block.items : [])
    .filter(isMap)
    .map((item) => {
      const pair = item.items.find(({ key }) => key.value === 'name');
      return {
        name: item.get('name'),
        type: item.get('type') ?? 'string',
        required: !item.has('default'),
        default: item.has('default') ? item.get('default', true).toJS(document) : undefined,
        values: item.has('values') ? item.get('values').toJSON() : undefined,
        meaning: (pair?.value?.comment ?? meanings[item.get('name')] ?? '').trim(),
      };
    })
    .filter(({ meaning }) => !meaning.startsWith('inner'));
  const head = text
    .split('\n')
    .filter((line, index, all) => line.startsWith('#') && all.slice(0, index).every((before) => before.startsWith('#')));
  const lines = head.map((line) => line.replace(/^# ?/, ''));
  const example = lines.findIndex((line) => line === '');
  return { parameters, about: (example < 0 ? lines : lines.slice(0, example)).join('\n') };
}

function cell(text) {
  return String(text).replaceAll('|', '\\|').replaceAll('\n', ' ');
}

function shownDefault({ required, default: value, values }) {
  if (required) return 'required';
  const text =
    typeof value === 'object'
      ? Object.keys(value ?? {}).length === 0
        ? Array.isArray(value)
          ? '`[]`'
          : '`{}`'
        : `\`${JSON.stringify(value)}\``
      : value === ''
        ? ''
        : `\`${value}\``;
  const others = (values ?? []).filter((other) => other !== value).map((other) => `\`${other}\``);
  return others.length > 0 ? `${text}, or ${others.join(', ')}` : text;
}

function snippet(folder, name, { parameters }, tag) {
  const wanted = parameters.filter((parameter) => parameter.required || shown[`${folder}/${name}`]?.includes(parameter.name));
  const values = Object.fromEntries(wanted.map(({ name: key }) => [key, examples[key] ?? shownValues[key] ?? 'value']));
  const reference = { template: `templates/${folder}/${name}@aml`, ...(wanted.length > 0 && { parameters: values }) };
  const resources = {
    repositories: [
      {
        repository: 'aml',
        type: 'github',
        endpoint: 'github',
        name: 'your-organization/azure-machine-learning-mlops',
        ref: `refs/tags/${tag}`,
      },
    ],
  };
  const body = { stages: { extends: reference }, jobs: { jobs: [reference] }, steps: { steps: [reference] } }[folder];
  return stringify({ resources, ...body }, { indentSeq: false, singleQuote: true, lineWidth: 0 }).trimEnd();
}

/** Helpers come last. */
function byUse(a, b) {
  return Number(helpers.includes(a)) - Number(helpers.includes(b)) || a.localeCompare(b);
}

/** A comment as Markdown: what stands in angle brackets is code. */
function prose(text) {
  return text.replaceAll(/`[^`]*`|[\w./]*<[^<>]+>/g, (found) => (found.startsWith('`') ? found : `\`${found}\``));
}

function page(folder, tag) {
  const files = readdirSync(join(root, 'templates', folder))
    .filter((name) => name.endsWith('.yml'))
    .sort(byUse);
  const parts = [
    `# Templates: ${folder}`,
    '',
    `${folders[folder]} Generated from the templates by \`npm run docs\`; the keys of a place are in [docs/templates.md](../../docs/templates.md).`,
  ];
  for (const name of files) {
    const template = read(join(root, 'templates', folder, name));
    parts.push(
      '',
      `## ${name}`,
      '',
      prose(template.about),
      '',
      '| parameter | type | default | meaning |',
      '| --- | --- | --- | --- |',
    );
    for (const parameter of template.parameters) {
      parts.push(
        `| \`${parameter.name}\` | ${parameter.type} | ${cell(shownDefault(parameter))} | ${cell(prose(parameter.meaning))} |`,
      );
    }
    if (!helpers.includes(name)) parts.push('', '```yaml', snippet(folder, name, template, tag), '```');
  }
  return `${parts.join('\n')}\n`;
}

/** Brings the generated pages up to date. @returns names of the pages that were stale */
export function docs({ check = false } = {}) {
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const stale = [];
  for (const folder of Object.keys(folders)) {
    const file = join(root, 'templates', folder, 'README.md');
    const text = page(folder, `v${version}`);
    if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
    stale.push(`templates/${folder}/README.md`);
    if (!check) writeFileSync(file, text);
  }
  return stale;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const check = process.argv.includes('--check');
  const stale = docs({ check });
  if (stale.length > 0) console.error(check ? `Stale, run npm run docs: ${stale.join(', ')}` : `Written: ${stale.join(', ')}`);
  process.exitCode = check && stale.length > 0 ? 1 : 0;
}
