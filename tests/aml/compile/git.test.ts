import assert from 'node:assert/strict';
import { gitProperties } from '../../../src/aml/compile/git.js';
import { Problems } from '../../../src/aml/compile/problems.js';
import { cleanUp, files } from './support.js';

const commit = 'a'.repeat(40);
const config =
  '[core]\n\tbare = false\n[remote "fork"]\n\turl = https://x/fork\n[remote "origin"]\n\turl = https://dev.azure.com/o/p/_git/r\n';

describe('compile: git properties', () => {
  afterEach(cleanUp);
  const read = (folder: string, env: Record<string, string> = {}): [Record<string, string>, Problems] => {
    const problems = new Problems();
    return [gitProperties(folder, env, problems), problems];
  };

  it('reads branch, commit and origin from the files of the work tree', () => {
    const repo = files({
      'r/.git/HEAD': 'ref: refs/heads/feature/x\n',
      'r/.git/refs/heads/feature/x': `${commit}\n`,
      'r/.git/config': config,
      'r/sub/job.yml': '',
    });
    assert.deepEqual(read(repo.path('r/sub'))[0], {
      'mlflow.source.git.repoURL': 'https://dev.azure.com/o/p/_git/r',
      'mlflow.source.git.branch': 'feature/x',
      'mlflow.source.git.commit': commit,
    });
  });

  it('reads detached heads, packed refs and linked work trees', () => {
    const detached = files({ '.git/HEAD': `${commit}\n`, '.git/config': '' });
    assert.equal(read(detached.folder)[0]['mlflow.source.git.commit'], commit);
    const linked = files({
      'main/.git/config': config,
      'main/.git/packed-refs': `# pack-refs\n${commit} refs/heads/w\n`,
      'main/.git/worktrees/w/HEAD': 'ref: refs/heads/w\n',
      'main/.git/worktrees/w/commondir': '../..\n',
      'w/job.yml': '',
    });
    linked.write({ 'w/.git': `gitdir: ${linked.path('main/.git/worktrees/w')}\n` });
    assert.equal(read(linked.path('w'))[0]['mlflow.source.git.commit'], commit);
    assert.equal(read(linked.path('w'))[0]['mlflow.source.git.repoURL'], 'https://dev.azure.com/o/p/_git/r');
  });

  it('lets the environment win, and leaves out a URL that holds a password', () => {
    const repo = files({
      '.git/HEAD': 'ref: refs/heads/main\n',
      '.git/config': '[remote "origin"]\n\turl = https://user:secret@x/r\n',
    });
    const [properties, problems] = read(repo.folder, { AZUREML_GIT_BUILD_ID: '7' });
    assert.deepEqual(properties, { 'azureml.git.build_id': '7' });
    assert.match(problems.warnings[0]?.message ?? '', /holds a password/);
    assert.equal(
      read(repo.folder, { AZUREML_GIT_REPOSITORY_URI: 'https://y/r', AZUREML_GIT_COMMIT: 'c' })[0]['mlflow.source.git.commit'],
      'c',
    );
  });
});
