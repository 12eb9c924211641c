import js from '@eslint/js';
import tseslint from 'typescript-eslint';

/** Rooms that must run on Linux, Windows and macOS agents: nothing POSIX-only (design: every agent). */
const agentRooms = ['tasks/**/*.ts', 'src/**/*.ts'];

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
    rules: {
      'no-restricted-globals': [
        'error',
        { name: 'fetch', message: 'Use the HTTP pipeline of src/azure (start-up cost, proxy, CA).' },
      ],
      'no-restricted-imports': [
        'error',
        {
          paths: [
            { name: 'child_process', message: 'Tasks start no processes.' },
            { name: 'node:child_process', message: 'Tasks start no processes.' },
          ],
        },
      ],
      'no-restricted-syntax': [
        'error',
        {
          selector: 'CallExpression[callee.property.name=/^(chmod|chmodSync|chown|symlink|symlinkSync)$/]',
          message: 'Not the same on every agent (Windows).',
        },
        {
          selector: "MemberExpression[object.name='path'][property.name='posix']",
          message: 'Use toSlash() for blob paths, node:path for files.',
        },
        { selector: "CallExpression[callee.object.name='console']", message: 'A task writes through the platform only.' },
      ],
    },
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
