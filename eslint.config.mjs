import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Rooms that must run on Linux, Windows and macOS agents: nothing POSIX-only (design: every agent). */
const agentRooms = ['tasks/**/*.ts', 'src/**/*.ts'];

const rights = ['chmod', 'chown', 'lchmod', 'lchown', 'fchmod', 'fchown', 'symlink'];
const notOnWindows = [...rights, ...rights.map((name) => `${name}Sync`)];
const noProcesses = 'Tasks start no processes.';
const ownPaths = 'Use toSlash() and "/" for blob paths, node:path for files.';

/** tests/house/lint.test.ts shows what each of these catches. */
export const agentRules = {
  'no-restricted-globals': [
    'error',
    { name: 'fetch', message: 'Use the HTTP pipeline of src/azure (start-up cost, proxy, CA).' },
  ],
  'no-restricted-imports': [
    'error',
    {
      paths: [
        ...['child_process', 'cluster'].flatMap((name) => [
          { name, message: noProcesses },
          { name: `node:${name}`, message: noProcesses },
        ]),
        ...['fs', 'fs/promises'].flatMap((name) => [
          { name, importNames: notOnWindows, message: 'Not the same on every agent (Windows).' },
          { name: `node:${name}`, importNames: notOnWindows, message: 'Not the same on every agent (Windows).' },
        ]),
        ...['path', 'node:path'].map((name) => ({ name, importNames: ['posix', 'win32'], message: ownPaths })),
        ...['path/posix', 'node:path/posix'].map((name) => ({ name, message: ownPaths })),
      ],
    },
  ],
  'no-restricted-syntax': [
    'error',
    {
      selector: `CallExpression[callee.property.name=/^(${notOnWindows.join('|')})$/]`,
      message: 'Not the same on every agent (Windows).',
    },
    { selector: "MemberExpression[object.name='path'][property.name='posix']", message: ownPaths },
    {
      selector: "MemberExpression[object.name='globalThis'][property.name='fetch']",
      message: 'Use the HTTP pipeline of src/azure.',
    },
    { selector: 'ImportExpression[source.value=/^(node:)?(child_process|cluster)$/]', message: noProcesses },
    {
      selector: "CallExpression[callee.object.name='process'][callee.property.name=/^(kill|umask|[gs]ete?[ug]id|getgroups)$/]",
      message: 'Signals, users and masks of POSIX are not those of Windows.',
    },
    {
      selector:
        "MemberExpression[object.object.name='process'][object.property.name='env']:matches([property.name='HOME'], [property.value='HOME'])",
      message: 'Windows has no HOME: use what the agent gives (Platform), or os.homedir().',
    },
    {
      selector:
        ':matches(Literal[value=/^\\u002f(tmp|dev|proc|etc|usr|var|home|bin|opt)(\\u002f|$)/], TemplateElement[value.raw=/^\\u002f(tmp|dev|proc|etc|usr|var|home|bin|opt)\\u002f/])',
      message: 'No such folder on Windows: use Platform.temp, or os.tmpdir().',
    },
    {
      selector: "MemberExpression[property.name='pathname'] > NewExpression.object MetaProperty",
      message: 'Use fileURLToPath: the pathname of a file URL is no path on Windows.',
    },
    { selector: "CallExpression[callee.object.name='console']", message: 'A task writes through the platform only.' },
  ],
};

export default tseslint.config(
  {
    ignores: [
      'node_modules',
      'dist',
      'out',
      'coverage',
      '.cache',
      '.amlops',
      'samples',
      'templates',
      'tests/**/fixtures',
      'eslint.config.mjs',
    ],
  },
  js.configs.recommended,
  {
    files: ['**/*.ts'],
    extends: [...tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': ['error', { checksVoidReturn: { attributes: false } }],
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/no-unused-vars': [
        'error',
        { argsIgnorePattern: '^_', varsIgnorePattern: '^_', caughtErrorsIgnorePattern: '^_' },
      ],
      '@typescript-eslint/require-await': 'off',
      'no-empty': ['error', { allowEmptyCatch: false }],
      'no-control-regex': 'off',
      eqeqeq: ['error', 'always', { null: 'ignore' }],
    },
  },
  {
    files: agentRooms,
    rules: agentRules,
  },
  {
    files: ['tests/**/*.ts'],
    rules: {
      '@typescript-eslint/no-unsafe-assignment': 'off',
      '@typescript-eslint/no-unsafe-member-access': 'off',
      '@typescript-eslint/no-unsafe-argument': 'off',
      '@typescript-eslint/no-unsafe-call': 'off',
      '@typescript-eslint/no-unsafe-return': 'off',
      '@typescript-eslint/no-unused-expressions': 'off',
    },
  },
  {
    files: ['**/*.mjs', '**/*.cjs'],
    languageOptions: {
      globals: {
        process: 'readonly',
        console: 'readonly',
        URL: 'readonly',
        Buffer: 'readonly',
        setTimeout: 'readonly',
        clearTimeout: 'readonly',
        module: 'writable',
        require: 'readonly',
        performance: 'readonly',
      },
    },
  },
);
