/** Source paths of issues on every agent: as the repository names them, with `/`. */
import assert from 'node:assert/strict';
import path from 'node:path';
import { repositoryPath } from '../../src/task/repository-path.js';

describe('repository path', () => {
  it('is relative and has slashes below the root, and stays what it is elsewhere', () => {
    const windows: [string, string][] = [
      ['D:\\a\\1\\s\\src\\train.py', 'src/train.py'],
      ['d:\\A\\1\\S\\src/train.py', 'src/train.py'],
      ['D:\\a\\1\\s\\..names\\x.py', '..names/x.py'],
      ['D:\\a\\1\\other\\x.py', 'D:\\a\\1\\other\\x.py'],
      ['C:\\a\\1\\s\\x.py', 'C:\\a\\1\\s\\x.py'],
      ['\\\\server\\share\\x.py', '\\\\server\\share\\x.py'],
      ['src/train.py', 'src/train.py'],
    ];
    for (const [file, expected] of windows) assert.equal(repositoryPath('D:\\a\\1\\s', file, path.win32), expected);
    assert.equal(repositoryPath('/w/1/s', '/w/1/s/a\\b.py', path.posix), 'a\\b.py');
    assert.equal(repositoryPath('/w/1/s', '/w/1/x.py', path.posix), '/w/1/x.py');
    assert.equal(repositoryPath(undefined, '/w/x.py', path.posix), '/w/x.py');
  });
});
