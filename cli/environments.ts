/** `amlops environments plan|apply FILE`: Azure DevOps environments, approvals and checks as code. */
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { Failure } from '../src/azure/errors.js';
import type { DevOpsToken } from '../src/devops/rest.js';
import type { EnvironmentsPlan } from '../src/devops/environments.js';

interface EnvironmentsFlags {
  organization: string;
  project: string;
  delete?: boolean;
  ca?: string;
  json?: boolean;
}

export function register(program: Command): void {
  const command = program.command('environments').description('Azure DevOps environments, approvals and checks as code');
  for (const [verb, summary] of [
    ['plan', 'show what apply would change; changes nothing'],
    ['apply', 'make what the file says; a second time it changes nothing'],
  ] as const)
    command
      .command(verb)
      .description(summary)
      .argument('<file>', 'environments.yml (format: src/devops/environments.schema.json)')
      .requiredOption('--organization <url>', 'e.g. https://dev.azure.com/contoso')
      .requiredOption('--project <name>', 'project of the environments')
      .option('--delete', 'also delete checks and permissions that the file does not name, on the resources that it names')
      .option('--ca <file>', 'PEM file to trust besides the system’s')
      .option('--json', 'the differences as JSON on standard output')
      .action(async (file: string, flags: EnvironmentsFlags) => {
        process.exitCode = await environmentsCommand(verb, file, flags);
      })
      .addHelpText(
        'after',
        '\nSigns in with AZURE_DEVOPS_TOKEN (Microsoft Entra), SYSTEM_ACCESSTOKEN (a pipeline’s own) or AZURE_DEVOPS_EXT_PAT (personal access token), the first that is set.',
      );
}

/** The first credential that is set. Errors: Failure `Usage`. */
function signIn(env: NodeJS.ProcessEnv): DevOpsToken {
  for (const name of ['AZURE_DEVOPS_TOKEN', 'SYSTEM_ACCESSTOKEN']) if (env[name]) return { kind: 'bearer', token: env[name] };
  if (env['AZURE_DEVOPS_EXT_PAT']) return { kind: 'pat', token: env['AZURE_DEVOPS_EXT_PAT'] };
  throw new Failure(
    'Not signed in to Azure DevOps: none of AZURE_DEVOPS_TOKEN, SYSTEM_ACCESSTOKEN and AZURE_DEVOPS_EXT_PAT is set.',
    {
      code: 'Usage',
      advice:
        'For example: export AZURE_DEVOPS_TOKEN=$(az account get-access-token --resource 499b84ac-1321-427f-aa17-267ca6975798 --query accessToken -o tsv)',
    },
  );
}

async function environmentsCommand(verb: 'plan' | 'apply', file: string, flags: EnvironmentsFlags): Promise<number> {
  const { parseEnvironmentsFile } = await import('../src/devops/environments-file.js');
  const { applyEnvironments, planEnvironments } = await import('../src/devops/environments.js');
  const { openEnvironmentsService } = await import('../src/devops/environments-service.js');
  try {
    let text: string;
    try {
      text = readFileSync(file, 'utf8');
    } catch (error) {
      throw new Failure(`The environments file cannot be read: ${(error as Error).message}`, { code: 'Usage', file });
    }
    const wanted = parseEnvironmentsFile(text, file);
    const network = flags.ca === undefined ? {} : { ca: flags.ca };
    const service = await openEnvironmentsService(flags.organization, flags.project, signIn(process.env), network);
    const plan = await planEnvironments(wanted, service, { delete: flags.delete === true });
    if (flags.json)
      process.stdout.write(
        `${JSON.stringify({ changes: plan.changes.map(({ action, resource, text: what }) => ({ action, resource, text: what })), kept: plan.kept }, null, 2)}\n`,
      );
    else process.stdout.write(describePlan(plan));
    if (verb === 'apply') {
      const count = await applyEnvironments(plan, service, ({ action, resource, text: what }) =>
        process.stderr.write(`${{ create: 'created', change: 'changed', delete: 'deleted' }[action]} ${resource}: ${what}\n`),
      );
      process.stderr.write(count === 0 ? 'Nothing was changed.\n' : `${count} ${count === 1 ? 'change' : 'changes'} made.\n`);
    }
    return 0;
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    process.stderr.write(`${error.message}${error.details.advice ? `\n${error.details.advice}` : ''}\n`);
    return error.code === 'Usage' ? 2 : 1;
  }
}

const signs = { create: '+', change: '~', delete: '-' } as const;

function describePlan({ changes, kept }: EnvironmentsPlan): string {
  const lines: string[] = [];
  const names: Record<string, string> = { endpoint: 'service connection' };
  const resources = [...new Set([...changes, ...kept].map(({ resource }) => resource))];
  for (const resource of resources) {
    lines.push(resource.replace(/^\w+/, (type) => names[type] ?? type));
    for (const { action, text } of changes.filter((change) => change.resource === resource))
      lines.push(`  ${signs[action]} ${text}`);
    for (const { text } of kept.filter((entry) => entry.resource === resource))
      lines.push(`    ${text} (not in the file; stays)`);
  }
  const count = (action: string): number => changes.filter((change) => change.action === action).length;
  lines.push(
    changes.length === 0
      ? 'Nothing to change.'
      : `${count('create')} to create, ${count('change')} to change, ${count('delete')} to delete.`,
  );
  return `${lines.join('\n')}\n`;
}
