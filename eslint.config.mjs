// The budgets and the import direction of the house (CONTRIBUTING.md), enforced.
import tseslint from 'typescript-eslint';

const pure = {
  files: ['operator/src/{run,sweep,corpus,evaluation,reward}/{checks,plan,desired,status}.ts', 'operator/src/run/checks/*.ts'],
  rules: {
    '@typescript-eslint/no-restricted-imports': ['error', {
      patterns: [
        { group: ['node:*', 'pino', 'undici', '@grpc/*'], message: 'plan, checks, desired and status are pure: no IO, clock, randomness or logger.' },
        { group: ['**/runtime/*', '**/ingest/*', '@kubernetes/*'], allowTypeImports: true, message: 'pure modules may import types from here, not values.' },
      ],
    }],
    'no-restricted-globals': ['error', 'Date', 'process', 'fetch', 'setTimeout', 'setInterval', 'performance', 'crypto'],
    'no-restricted-syntax': ['error', { selector: "MemberExpression[object.name='Math'][property.name='random']", message: 'pure modules have no randomness.' }],
  },
};

const forbid = (files, group, message) => ({
  files,
  ignores: ['**/*.test.ts'],
  rules: { '@typescript-eslint/no-restricted-imports': ['error', { patterns: [{ group, message }] }] },
});

export default tseslint.config(
  { ignores: ['node_modules', '.local', '**/gen/**', 'trainer'] },
  ...tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    rules: {
      complexity: ['error', 10],
      'max-depth': ['error', 3],
      'max-params': ['error', 4],
      'max-statements': ['error', 20],
      'max-nested-callbacks': ['error', 4],
      'max-lines': ['error', { max: 300, skipBlankLines: false, skipComments: false }],
      'max-lines-per-function': ['error', { max: 50, skipBlankLines: true, skipComments: true }],
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/consistent-type-imports': 'error',
      '@typescript-eslint/explicit-module-boundary-types': 'error',
      'no-restricted-exports': ['error', { restrictDefaultExports: { direct: true, named: true, defaultFrom: true, namedFrom: true, namespaceFrom: true } }],
    },
  },
  {
    files: ['**/*.test.ts', 'test/**/*.ts'],
    rules: { 'max-lines-per-function': 'off', 'max-statements': 'off', 'max-nested-callbacks': 'off', '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafeCalls: [{ from: 'package', name: ['test', 'it', 'describe', 'suite'], package: 'node:test' }] }] },
  },
  forbid(['operator/src/runtime/**/*.ts'], ['**/api/*', '**/run/*', '**/sweep/*', '**/ingest/*'], 'runtime knows nothing of POLAR.'),
  forbid(['operator/src/run/**/*.ts'], ['**/sweep/*', '**/ingest/*'], 'run meets the others through the API server only.'),
  forbid(['operator/src/ingest/**/*.ts'], ['**/run/*', '**/sweep/*'], 'ingest meets run through the API server only.'),
  forbid(['operator/src/api/**/*.ts'], ['**/runtime/*', '**/run/*', '**/ingest/*', '@kubernetes/*', 'node:*'], 'api declares fields and imports nothing but zod.'),
  forbid(['operator/src/workers/**/*.ts'], ['**/run/*', '**/sweep/*', '**/ingest/*', '**/runtime/*'], 'workers are programs of their own: they share nothing with the controllers but api.'),
  forbid(['operator/src/cli/**/*.ts'], [
    '**/run/*', '**/ingest/*', '**/workers/*', '**/runtime/*', '!**/runtime/apiError.ts', '!**/runtime/object.ts',
    '**/sweep/*', '!**/sweep/fit', '!**/sweep/grid.ts', '!**/sweep/laws.ts', '!**/sweep/naming.ts', '!**/sweep/observations.ts', '!**/sweep/optima.ts', '!**/sweep/point.ts', '!**/sweep/records.ts',
  ], 'the command line shares fits, records and names with the operator, never its controllers.'),
  pure,
  { files: ['**/*.mjs'], ...tseslint.configs.disableTypeChecked, rules: { ...tseslint.configs.disableTypeChecked.rules, 'no-restricted-exports': 'off' } },
);
