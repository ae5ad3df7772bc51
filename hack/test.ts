// Runs every suite that CI runs, one after the other, streams what they print and ends with `N passed, N failed`.
// Usage: node hack/test.ts [SUITE ...]      suites: lint generated unit trainer official s3 integration e2e kueue
// Without a name: all of them when CI=true, all but e2e and kueue otherwise.
import { spawn } from 'node:child_process';
import { globSync } from 'node:fs';
import { join } from 'node:path';

const ROOT = join(import.meta.dirname, '..');
const NODE = process.execPath;
const PYTHON = join(ROOT, 'trainer/.venv/bin/python');

const GENERATED = ['crds', 'docs/reference', 'operator/src/gen', 'trainer/polar/gen', 'trainer/polar/run_config.schema.json'];

interface Outcome { readonly passed: number; readonly failed: number }
interface Suite { readonly name: string; readonly says: string; readonly run: () => Promise<Outcome> }

/** Runs a command in the repository, echoes its output and resolves with exit code and text. */
function run(command: readonly string[], cwd = ROOT): Promise<{ code: number; text: string }> {
  return new Promise((resolve, reject) => {
    const child = spawn(command[0] ?? '', command.slice(1), { cwd, stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } });
    let text = '';
    const keep = (chunk: Buffer): void => { text = (text + chunk.toString()).slice(-65_536); process.stdout.write(chunk); };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    child.on('error', reject);
    child.on('close', (code) => { resolve({ code: code ?? 1, text }); });
  });
}

/** A suite whose command only succeeds or fails counts as one test. */
async function oneOf(commands: readonly (readonly [string, readonly string[], string?])[]): Promise<Outcome> {
  let passed = 0;
  for (const [label, command, cwd] of commands) {
    const { code } = await run(command, cwd);
    console.log(`${code === 0 ? 'ok' : 'FAILED'}: ${label}`);
    if (code === 0) passed += 1;
  }
  return { passed, failed: commands.length - passed };
}

function counted(text: string, passed: RegExp, failed: readonly RegExp[], code: number): Outcome {
  const last = (pattern: RegExp): number => Number([...text.matchAll(pattern)].at(-1)?.[1] ?? 0);
  const failures = failed.reduce((sum, pattern) => sum + last(pattern), 0);
  return { passed: last(passed), failed: code !== 0 && failures === 0 ? 1 : failures };
}

async function nodeTests(patterns: readonly string[], options: readonly string[]): Promise<Outcome> {
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: ROOT })).sort();
  const { code, text } = await run([NODE, '--test', '--test-reporter=spec', ...options, ...files]);
  return counted(text, /^ℹ pass (\d+)$/gm, [/^ℹ fail (\d+)$/gm, /^ℹ cancelled (\d+)$/gm], code);
}

async function pytest(...paths: readonly string[]): Promise<Outcome> {
  const { code, text } = await run([PYTHON, '-m', 'pytest', '-q', '-n', '2', '--dist', 'loadfile', '--durations=5', ...paths], join(ROOT, 'trainer'));
  return counted(text, /(\d+) passed/g, [/(\d+) failed/g, /(\d+) errors?\b/g], code);
}

async function official(): Promise<Outcome> {
  const installed = await oneOf([['the official code is installed', ['make', 'setup-official']]]);
  return installed.failed > 0 ? installed : pytest('tests/official');
}

async function s3(): Promise<Outcome> {
  const built = await oneOf([['the S3 server is built', [NODE, 'local/src/versitygw.ts']]]);
  return built.failed > 0 ? built : pytest('tests/s3');
}

/** Tests that need the control plane's programs; building them first keeps that time out of any test's timeout. */
async function onCluster(pattern: string): Promise<Outcome> {
  const built = await oneOf([['the control plane is built', [NODE, 'local/src/cli.ts', 'build']]]);
  if (built.failed > 0) return built;
  return nodeTests([pattern], ['--test-concurrency=1', '--test-timeout=900000']);
}

const SUITES: readonly Suite[] = [
  { name: 'lint', says: 'eslint, tsc, ruff, mypy (about a minute)', run: () => oneOf([
    ['eslint', [NODE, 'node_modules/eslint/bin/eslint.js', '.']],
    ['tsc', [NODE, 'node_modules/typescript/bin/tsc', '-p', '.']],
    ['ruff', [join(ROOT, 'trainer/.venv/bin/ruff'), 'check', 'trainer', 'demo', 'bench']],
    ['mypy', [join(ROOT, 'trainer/.venv/bin/mypy')], join(ROOT, 'trainer')],
  ]) },
  { name: 'generated', says: 'generated files are fresh', run: () => oneOf([
    ['generate', [NODE, 'hack/generate.ts']],
    ['protobuf stubs', ['hack/generate-proto.sh']],
    ['nothing differs (else run make generate and commit the result)', ['git', 'diff', '--exit-code', '--stat', '--', ...GENERATED]],
    ['nothing is left uncommitted', ['bash', '-c', 'left=$(git ls-files --others --exclude-standard -- "$@"); [ -z "$left" ] || echo "$left"; [ -z "$left" ]', 'bash', ...GENERATED]],
  ]) },
  { name: 'unit', says: 'operator and local, without a cluster', run: () => nodeTests(['operator/src/**/*.test.ts', 'local/src/**/*.test.ts', 'demo/**/*.test.ts', 'hack/**/*.test.ts'], []) },
  { name: 'trainer', says: 'the trainer, on CPU', run: () => pytest() },
  { name: 'official', says: 'equal to the official POLAR code, in its own environment', run: official },
  { name: 's3', says: 'checkpoints in a bucket of a real S3 server (built on first use, about two minutes)', run: s3 },
  { name: 'integration', says: 'on a real kube-apiserver and etcd (built on first use, about five minutes on two cores)',
    run: () => onCluster('test/integration/*.test.ts') },
  { name: 'e2e', says: 'whole runs, faults and bad input on an embedded cluster (about three minutes)', run: () => onCluster('test/e2e/*.test.ts') },
  { name: 'kueue', says: 'queues of the real Kueue manager (built on first use, about three minutes; then about three)', run: () => onCluster('test/kueue/*.test.ts') },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !SUITES.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(`unknown suite ${unknown.join(', ')}: expected ${SUITES.map((suite) => suite.name).join(', ')}`);
  process.exit(2);
}

let total: Outcome = { passed: 0, failed: 0 };
const lines: string[] = [];
const SLOW: ReadonlySet<string> = new Set(['e2e', 'kueue']);
const byDefault = SUITES.filter(({ name }) => !SLOW.has(name) || process.env['CI'] === 'true');
const chosen = wanted.length === 0 ? byDefault : SUITES.filter(({ name }) => wanted.includes(name));
for (const suite of chosen) {
  console.log(`\n=== ${suite.name}: ${suite.says}`);
  const t0 = performance.now();
  const outcome = await suite.run();
  lines.push(`${suite.name.padEnd(12)} ${String(outcome.passed).padStart(5)} passed ${String(outcome.failed).padStart(5)} failed  ${((performance.now() - t0) / 1000).toFixed(0).padStart(5)} s`);
  total = { passed: total.passed + outcome.passed, failed: total.failed + outcome.failed };
}
console.log(`\n${lines.join('\n')}`);
const leftOut = SUITES.filter((suite) => !chosen.includes(suite)).map(({ name }) => `the suite ${name}`);
console.log(`left out: ${[...leftOut, 'make demo (two minutes)', 'make test-faults (twelve minutes)', 'make bench (half an hour)', 'make bench-sweep (up to 90 minutes)', 'the run on real data (examples/12, docs/LOG.md)'].join(', ')}`);
console.log(`${String(total.passed)} passed, ${String(total.failed)} failed`);
process.exit(total.failed === 0 ? 0 : 1);
