/** Every job and component file that was recorded with the official client, compiled in this process and compared in one Python process. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { anonymousVersion, useComponent } from '../../../src/aml/compile/component.js';
import { Context } from '../../../src/aml/compile/context.js';
import { textNode } from '../../../src/aml/compile/document.js';
import { compileJob, offlineTarget } from '../../../src/aml/compile/index.js';
import { Failure } from '../../../src/azure/errors.js';

const shared = join(import.meta.dirname, '..', '..', '..', '..', 'shared', 'conformance');
const jobs = join(shared, 'jobs');
const workspace = { subscriptionId: '00000000-0000-0000-0000-000000000001', resourceGroup: 'rg-dev', workspace: 'mlw-dev' };

interface Row {
  case: string;
  file: string;
  yaml: string;
  operation: string;
  outcome: string;
}
type Result = { requests: unknown } | { error: string };

/** Compares a map of results with the recordings; components without what naming changes. Prints the differences as JSON. */
const COMPARE = `
import json, sys
sys.path.insert(0, sys.argv[1])
import compare_jobs as c
def bare(doc):
    last = [r for r in doc["requests"] if r.get("method") == "PUT"][-1]
    last["path"] = "/x/components/it/versions/1"
    body = last["body"]["properties"]
    for k in ("name", "version", "_source"): body["componentSpec"].pop(k, None)
    for k in ("isAnonymous", "isArchived"): body.pop(k, None)
    return doc
out = {}
for name, item in json.load(open(sys.argv[2])).items():
    case = json.load(open(item["recording"]))
    ours = {"requests": item["requests"]}
    if item["operation"] == "component": case, ours = bare(case), bare(ours)
    d = c.compare(case, ours)
    if d: out[name] = d[:8]
print(json.dumps(out))
`;

async function compiled(row: Row): Promise<Result> {
  const file = join(jobs, 'tree', row.yaml);
  const target = offlineTarget(workspace);
  try {
    if (row.operation === 'job') return { requests: (await compileJob({ file, name: 'case', env: {} }, target)).requests };
    const context = new Context(target.workspaceId);
    const used = useComponent(context, textNode(file, { file, line: 1, column: 1 }), dirname(file), undefined);
    await context.settle();
    context.problems.throwIfAny(file);
    assert.equal(used?.kind, 'local');
    await used.id.resolve({ target, sequential: true });
    return { requests: target.requests };
  } catch (error) {
    if (error instanceof Failure && error.code === 'JobInvalid') return { error: error.message };
    throw error;
  }
}

describe('conformance with the official client', function () {
  this.timeout(120_000);
  let rows: Row[] = [];
  const results = new Map<string, Result>();
  before(async function () {
    if (!existsSync(join(jobs, 'index.json'))) {
      process.stderr.write(`    skipped: the recordings are not at ${jobs}\n`);
      this.skip();
    }
    rows = (JSON.parse(readFileSync(join(jobs, 'index.json'), 'utf8')) as { cases: Row[] }).cases.filter(
      ({ operation }) => operation === 'job' || operation === 'component',
    );
    for (const row of rows) results.set(row.case, await compiled(row));
  });

  it('compiles every job and component that the client submits, with equal bodies', () => {
    const submitted = rows.filter(({ outcome }) => outcome === 'submitted');
    const refused = submitted.flatMap((row) => {
      const result = results.get(row.case);
      return result && 'error' in result ? [`${row.case}: ${result.error}`] : [];
    });
    assert.deepEqual(refused, []);
    const folder = mkdtempSync(join(tmpdir(), 'conformance-'));
    try {
      const list = join(folder, 'results.json');
      const entries = submitted.map((row) => [
        `${row.operation} ${row.case}`,
        { ...results.get(row.case), recording: join(jobs, row.file), operation: row.operation },
      ]);
      writeFileSync(list, JSON.stringify(Object.fromEntries(entries)));
      const differences = execFileSync('python3', ['-c', COMPARE, shared, list], {
        encoding: 'utf8',
        maxBuffer: 64 * 1024 * 1024,
      });
      // No recorded file is excepted.
      assert.deepEqual(JSON.parse(differences), {});
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
    assert.ok(submitted.length >= 100, `${submitted.length} cases`);
  });

  it('refuses what the client refuses to submit, naming file, line and column', () => {
    const refused = rows.filter(({ outcome, operation }) => outcome === 'refused' && operation === 'job');
    for (const row of refused) {
      const result = results.get(row.case);
      assert.ok(result && 'error' in result, `${row.case} was compiled`);
      assert.match(result.error, /cannot be submitted: (one problem|\d+ problems)\.\n {2}\S+:\d+:\d+: .+ Accepted: /, row.case);
    }
    assert.ok(refused.length > 0);
  });

  it('versions anonymous components as the client does', () => {
    let checked = 0;
    for (const row of rows.filter(({ operation, outcome }) => operation === 'job' && outcome === 'submitted')) {
      const recording = JSON.parse(readFileSync(join(jobs, row.file), 'utf8')) as {
        requests: { method?: string; path?: string; body?: { properties: { componentSpec: never } } }[];
        bindings?: Record<string, string>;
      };
      const bindings = recording.bindings ?? {};
      for (const { method, path, body } of recording.requests) {
        const version = /\/components\/azureml_anonymous\/versions\/(.+)$/.exec(path ?? '')?.[1];
        if (method !== 'PUT' || version === undefined || !body) continue;
        const text = JSON.stringify(body.properties.componentSpec).replace(/<\w+:\d+>/g, (name) => bindings[name] ?? name);
        const spec = JSON.parse(text) as Record<string, never>;
        // The README names the exceptions: prompt flows, and parallel components whose partition keys are hashed as a list.
        if (spec['type'] === 'promptflow_parallel' || spec['partition_keys']) continue;
        // JSON has no floats of its own: a whole one cannot be told from an int here.
        if (/:\s*\d+\.\d/.test(text)) continue;
        assert.equal(anonymousVersion(spec), bindings[version] ?? version, row.case);
        checked++;
      }
    }
    assert.ok(checked > 50, `${checked} components`);
  });
});
