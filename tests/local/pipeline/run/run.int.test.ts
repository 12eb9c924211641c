/** The local runner: what runs, in which order, with which variables; what is refused. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeReport } from '../../../../local/pipeline/run/report.js';
import { ownStateFolder } from '../../../../local/state-folder.js';
import { Bench } from './support.js';

describe('local runner', () => {
  let bench: Bench;
  before(() => (bench = new Bench()));
  after(() => bench.remove());

  it('gives output variables to steps, jobs, stage conditions and jobs of later stages', async () => {
    const ran = await bench.run(`
variables:
  greeting: hello
  both: $(greeting) world
stages:
- stage: A
  jobs:
  - job: make
    steps:
    - checkout: none
    - bash: |
        echo "##vso[task.setvariable variable=v;isOutput=true]7"
        echo "##vso[task.setvariable variable=key;isOutput=true;isSecret=true]s3cr3t-$((40+2))"
      name: set
    - script: echo "step $(set.v) $(both)"
  - job: next
    dependsOn: make
    variables:
      got: $[ dependencies.make.outputs['set.v'] ]
      hidden: $[ dependencies.make.outputs['set.key'] ]
    condition: eq(dependencies.make.outputs['set.v'], '7')
    steps:
    - checkout: none
    - script: echo "job $(got) $(hidden)"
  - deployment: D
    environment: dev
    strategy:
      runOnce:
        deploy:
          steps:
          - script: echo "##vso[task.setvariable variable=w;isOutput=true]8"
            name: s
- stage: B
  condition: and(succeeded(), eq(dependencies.A.outputs['make.set.v'], '7'), eq(dependencies.A.outputs['D.D.s.w'], '8'))
  jobs:
  - job: use
    variables:
      v: $[ stageDependencies.A.make.outputs['set.v'] ]
      w: $[ stageDependencies.A.D.outputs['D.s.w'] ]
    steps:
    - checkout: none
    - script: echo "stage $(v) $(w)"
- stage: C
  dependsOn: A
  condition: eq(dependencies.A.outputs['make.set.v'], '9')
  jobs:
  - job: never
    steps: [{script: exit 1}]
`);
    assert.deepEqual(ran.results, { A: 'Succeeded', B: 'Succeeded', C: 'Skipped' });
    const log = ran.seen.lines.join('\n');
    assert.match(log, /^step 7 hello world$/m);
    assert.match(log, /^job 7 \*\*\*$/m);
    assert.match(log, /^stage 7 8$/m);
    assert.doesNotMatch(readFileSync(join(ran.folder, 'run.json'), 'utf8'), /s3cr3t-42/, 'a secret output is never on disk');
    assert.match(ran.seen.messages.join('\n'), /Environment dev did not exist and was made/);
  });

  it('puts variables into each other where the job runs: what a stage, a leg or a step sets counts in values of farther levels', async () => {
    const ran = await bench.run(
      `
name: $(label)-$(Rev:r)
variables:
  stage: one
  label: v-$(stage)
  address: https://$(token)@host
stages:
- stage: two
  variables: {stage: two}
  jobs:
  - job: legs
    variables: {flavor: plain, cake: $(flavor) cake in $(label)}
    strategy: {matrix: {a: {flavor: lemon}}}
    steps:
    - checkout: none
    - script: echo "##vso[task.setvariable variable=stage]three $(cake)"
    - script: echo "later $(label)"
    - script: echo "met by its condition"
      condition: eq(variables['label'], 'v-three lemon cake in v-two')
    - script: echo "open \${ADDRESS:-none} $(address)"
`,
      { secrets: { token: 'pass-phrase' } },
    );
    assert.equal(ran.result, 'succeeded');
    assert.equal(ran.document.buildNumber, 'v-one-1');
    const log = ran.seen.lines.join('\n');
    for (const line of ['later v-three lemon cake in v-two', 'met by its condition', 'open none ***'])
      assert.ok(log.split('\n').includes(line), `${line}\n${log}`);
  });

  it('runs steps as the agent does: conditions, continueOnError, retries, time-outs, secrets', async () => {
    const ran = await bench.run(
      `
steps:
- checkout: none
- script: exit 1
  continueOnError: true
- script: echo "token length $(echo -n $TOKEN | wc -c) and $(token)"
  env: {TOKEN: $(token)}
- bash: |
    n=$(cat count 2>/dev/null || echo 0); echo $((n+1)) > count; [ $n -ge 1 ]
  retryCountOnTaskFailure: 2
- script: echo oops >&2
  failOnStderr: true
- script: echo not reached
- script: echo "cleanup $(Agent.JobStatus)"
  condition: failed()
`,
      { secrets: { token: 'pass-phrase' } },
    );
    assert.equal(ran.result, 'failed');
    const results = ran.document.records.filter(({ type }) => type === 'Task').map(({ result }) => result);
    assert.deepEqual(results, ['succeededWithIssues', 'succeeded', 'succeeded', 'failed', 'skipped', 'succeeded']);
    const log = ran.seen.lines.join('\n');
    assert.match(log, /token length 11 and \*\*\*/);
    assert.match(log, /cleanup Failed/);
    const slow = await bench.run(
      'jobs:\n- job: a\n  timeoutInMinutes: 0.01\n  steps:\n  - checkout: none\n  - script: sleep 30\n  - script: echo still\n    condition: always()\n',
    );
    assert.equal(slow.result, 'failed');
    assert.match(JSON.stringify(slow.document.records), /ran longer than the maximum time/);
    assert.match(slow.seen.lines.join('\n'), /^still$/m);
  }).timeout(60_000);

  it('passes artifacts, checks sources out, publishes test results, and deployments download by themselves', async () => {
    bench.write('data/in.txt', 'from the repository');
    const ran = await bench.run(`
stages:
- stage: A
  jobs:
  - job: a
    steps:
    - script: cat data/in.txt && mkdir -p out/deep && echo '<testsuite><testcase name="x"/><testcase name="y"><failure/></testcase></testsuite>' > out/deep/TEST-a.xml
    - publish: out
      artifact: drop-$(System.StageAttempt)
    - task: PublishTestResults@2
      inputs: {testResultsFormat: JUnit, testResultsFiles: '**/TEST-*.xml'}
    - task: UsePythonVersion@0
      inputs: {versionSpec: 3.x}
    - bash: python3 --version
- stage: B
  jobs:
  - deployment: d
    environment: dev
    strategy:
      runOnce:
        deploy:
          steps:
          - bash: ls $(Pipeline.Workspace)/drop-1/deep; echo "in $(Environment.Name)"; test ! -e data
        on:
          success:
            steps:
            - download: none
            - script: echo on success
          failure:
            steps:
            - script: echo on failure
`);
    assert.equal(ran.result, 'succeeded', ran.seen.lines.join('\n'));
    const log = ran.seen.lines.join('\n');
    assert.match(log, /from the repository/);
    assert.match(log, /2 tests, 1 failed/);
    assert.match(log, /TEST-a\.xml\nin dev/);
    assert.match(log, /on success/);
    assert.doesNotMatch(log, /on failure/);
    assert.deepEqual(readdirSync(join(ran.folder, 'agents')), [], 'agents leave nothing');
  }).timeout(60_000);

  it('never checks its own state out: it lies in the repository, and holds keys', async () => {
    // On a machine without git all files are checked out, these left out by name.
    spawnSync('git', ['init', '-q', '.'], { cwd: bench.root });
    try {
      bench.write('.amlops/connection.json', '{}').write('src/.amlops/x', '').write('src/a.txt', 'a');
      const ran = await bench.run('steps:\n- bash: find . -name .git -prune -o -type f -print | sort\n');
      assert.match(ran.seen.lines.join('\n'), /src\/a\.txt/);
      assert.doesNotMatch(ran.seen.lines.join('\n'), /\.amlops\//);
      const [fresh, own] = [join(bench.folder, 'fresh'), join(bench.root, 'src')];
      ownStateFolder(fresh);
      ownStateFolder(own);
      ownStateFolder(join(bench.root, '.amlops'));
      const ignored = (folder: string) => existsSync(join(folder, '.gitignore'));
      assert.deepEqual([ignored(fresh), ignored(own), ignored(join(bench.root, '.amlops'))], [true, false, true]);
    } finally {
      rmSync(join(bench.root, '.git'), { recursive: true, force: true });
    }
  });

  it('refuses before anything runs, with file, line and column', async () => {
    const refused = (text: string, options = {}) =>
      bench.run(text, options).then(
        () => assert.fail('ran'),
        (error: Error) => error.message,
      );
    const steps = await refused('steps:\n- script: touch ran\n- task: AzureCLI@2\n  inputs: {scriptType: bash}\n');
    assert.match(steps, /azure-pipelines\.yml \(Line: 3, Col: 3\): Task 'AzureCLI@2' cannot be run here/);
    const rolling = await refused(
      'jobs:\n- deployment: d\n  environment: dev\n  strategy:\n    rolling:\n      deploy:\n        steps: [{script: a}]\n',
    );
    assert.match(rolling, /Job d: the rolling strategy needs virtual machines/);
    assert.match(await refused('jobs:\n- job: a\n  pool: server\n  steps: []\n'), /agentless jobs/);
    bench.task('PromoteModel', ['azureSubscription'], '');
    const connection = 'steps:\n- task: PromoteModel@1\n  inputs:\n    azureSubscription: arm-nowhere\n';
    assert.match(
      await refused(connection, { connections: ['arm-prod'] }),
      /Line: 4, Col: 5\): Job Job: Step {2}input azureSubscription references service connection arm-nowhere which could not be found\..* Here there are arm-prod\.$/m,
    );
    const typo = await refused(connection.replace('arm-nowhere', 'arm-pord'), { connections: ['arm-prod', 'arm-dev'] });
    assert.match(typo, /Did you mean arm-prod\?$/m);
    mkdirSync(join(bench.root, 't'), { recursive: true });
    writeFileSync(
      join(bench.root, 't', 'steps.yml'),
      'parameters:\n- name: to\nsteps:\n- task: PromoteModel@1\n  inputs:\n    azureSubscription: ${{ parameters.to }}\n',
    );
    const template = 'steps:\n- template: t/steps.yml\n  parameters:\n    to: arm-pord\n';
    assert.match(
      await refused(template, { connections: ['arm-prod'] }),
      /^\/azure-pipelines\.yml \(Line: 4, Col: 9\): .*arm-pord/m,
      'at the line that gave it',
    );
    const variable = connection.replace('arm-nowhere', '$(connection)');
    assert.match(
      await refused(variable, { connections: ['arm-prod'] }),
      /Service connections must be known when the YAML is expanded/,
    );
    const missing =
      'jobs:\n- deployment: d\n  environment: aml-prdo\n  strategy:\n    runOnce:\n      deploy:\n        steps: [{script: a}]\n';
    assert.match(
      await refused(missing, { environmentsText: 'environments:\n- name: aml-prod\n' }),
      /Environment aml-prdo could not be found/,
    );
    assert.equal(existsSync(join(bench.root, 'ran')), false);
  });

  it('writes a page in which nothing foreign is markup', async () => {
    const evil = '<script>alert(1)</script><img src=x onerror=alert(2)>';
    const ran = await bench.run(`
steps:
- checkout: none
- bash: |
    echo '${evil}'
    printf '# Plan ${evil}\\n\\n| a | b |\\n|---|---|\\n| [x](javascript:alert(3)) | [ok](https://example.org) |\\n' > $(Agent.TempDirectory)/s.md
    echo "##vso[task.uploadsummary]$(Agent.TempDirectory)/s.md"
    echo '${evil}' > $(Agent.TempDirectory)/page.html
    echo "##vso[task.addattachment type=aml.run;name=page.html;]$(Agent.TempDirectory)/page.html"
  displayName: Say ${evil}
`);
    const folder = join(bench.folder, 'report');
    const page = readFileSync(await writeReport(ran.folder, folder), 'utf8');
    assert.doesNotMatch(page, /<script|<img|javascript:alert\(3\)"/);
    assert.match(page, /&lt;script&gt;alert\(1\)&lt;\/script&gt;/);
    assert.match(page, /<td><a href="https:\/\/example\.org"/);
    assert.match(page, /Content-Security-Policy/);
    assert.deepEqual(readdirSync(join(folder, 'files')), ['1-page.html.txt']);
  });

  it('the page says what went wrong, what was skipped and why, and holds artifacts, tests, long logs and earlier attempts', async () => {
    const ran = await bench.run(`
stages:
- stage: train
  jobs:
  - job: train
    steps:
    - checkout: none
    - bash: |
        for i in $(seq 3000); do echo "line $i is about one hundred characters long, so that three thousand of them are a lot of text"; done
        mkdir -p $(Agent.TempDirectory)/drop/sub
        echo '<svg onload="alert(1)"/>' > $(Agent.TempDirectory)/drop/sub/a.svg
        echo '{}' > $(Agent.TempDirectory)/drop/b.json
        echo '<testsuite><testcase name="a"/><testcase name="b"><failure/></testcase></testsuite>' > $(Agent.TempDirectory)/t.xml
        echo "##vso[results.publish type=JUnit;runTitle=Gates;resultFiles=$(Agent.TempDirectory)/t.xml]"
    - {publish: $(Agent.TempDirectory)/drop, artifact: drop$(System.StageAttempt)}
    - bash: echo "##vso[task.logissue type=error]too few rows"; exit 1
      displayName: judge
  - job: tell
    dependsOn: train
    steps: [{bash: echo told}]
- stage: promote
  condition: and(succeeded(), true)
  jobs: [{job: a, steps: [{bash: echo a}]}]
`);
    assert.equal(ran.stages[1]?.reason, 'Its condition does not hold (train: Failed): and(succeeded(), true)');
    await bench.run('', { rerun: ran.runId });
    const folder = join(bench.folder, 'failed');
    await writeReport(ran.folder, folder);
    const page = readFileSync(await writeReport(ran.folder, folder), 'utf8');
    assert.match(page, /id="problems">[\s\S]*train › train › judge<\/a><p>too few rows<\/p>/);
    assert.match(page, /promote<\/a><\/td>[\s\S]*skipped[\s\S]*Its condition does not hold \(train: Failed\)/);
    assert.match(page, /tell [\s\S]*What it waits for did not succeed \(train: Failed\)/);
    assert.match(page, /1 of 2 passed/);
    assert.match(page, /train, attempt 1: failed/);
    assert.match(page, /href="files\/artifact-1\/1-b\.json">b\.json<\/a>[\s\S]*2-a\.svg\.txt">sub\/a\.svg/);
    const [long] = readdirSync(join(folder, 'files')).filter((name) => name.startsWith('log-'));
    assert.match(readFileSync(join(folder, 'files', long ?? ''), 'utf8'), /line 1 is/);
    assert.doesNotMatch(page, /line 1 is/);
  }).timeout(60_000);
});
