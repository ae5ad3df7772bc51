// kubectl polar fit as a process, on files: what it prints, what it refuses and how it ends.
import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { repositoryRoot } from '../../local/src/paths.ts';
import { run } from './cliProgram.ts';

const RUNS = join(repositoryRoot, 'testdata/scaling/runs.csv');
const folder = mkdtempSync(join(tmpdir(), 'polar-cli-'));
after(() => { rmSync(folder, { recursive: true }); });

interface FitJson {
  readonly parameters: readonly { readonly name: string; readonly value: number; readonly lower: number; readonly upper: number }[];
  readonly objective: number;
  readonly points: number;
  readonly predictions: readonly { readonly loss: number; readonly lower: number; readonly upper: number }[];
  readonly needed: readonly { readonly flops?: { readonly value: number }; readonly unreachable?: boolean }[];
  readonly heldOut: readonly { readonly error: number }[];
}

const jsonOf = (text: string): FitJson => JSON.parse(text) as FitJson;

test('finds the law that a table was made from, inside its intervals', async () => {
  const { code, out, err } = await run(['fit', RUNS, '--form', 'joint', '--predict', 'N=7B,D=3.6T', '--need', '0.35', '--need', 'loss=0.2', '-o', 'json']);
  assert.deepEqual([code, err], [0, '']);
  const made: Readonly<Record<string, number>> = { E: 0.3, A: 5, B: 20, alpha: 0.25, beta: 0.28 };
  const { parameters, predictions: [prediction], needed } = jsonOf(out);
  assert.deepEqual(parameters.map(({ name }) => name), Object.keys(made));
  for (const { name, lower, upper } of parameters) assert.ok(lower <= (made[name] ?? 0) && (made[name] ?? 0) <= upper, `${name}: ${String(lower)} to ${String(upper)}`);
  const truth = 0.3 + 5 * 7e9 ** -0.25 + 20 * 3.6e12 ** -0.28;
  assert.ok(prediction !== undefined && prediction.lower <= truth && truth <= prediction.upper);
  assert.deepEqual(needed.map(({ unreachable }) => unreachable === true), [false, true]);
});

test('prints the same numbers as table, JSON and a second fit of its own CSV', async () => {
  const words = ['--form', 'joint', '--bootstrap', '50'];
  const [table, json, csv] = await Promise.all([run(['fit', RUNS, ...words]), run(['fit', RUNS, ...words, '-o', 'json']), run(['fit', RUNS, ...words, '-o', 'csv'])]);
  const again = jsonOf((await run(['fit', '-', ...words, '-o', 'json'], { stdin: csv.out })).out);
  assert.deepEqual(again.parameters, jsonOf(json.out).parameters);
  for (const { name, value } of again.parameters) assert.match(table.out, new RegExp(`^${name} +${value.toPrecision(6)} `, 'm'));
});

test('compares runs that were held out with what the law says of them', async () => {
  const { code, out } = await run(['fit', RUNS, '--form', 'joint', '--hold-out', 'params>500M', '--bootstrap', '100', '-o', 'json']);
  const { points, heldOut } = jsonOf(out);
  assert.deepEqual([code, points, heldOut.length], [0, 36, 6]);
  assert.ok(heldOut.every(({ error }) => Math.abs(error) < 0.02));
});

test('writes pictures to files by their names, and to a pipe', async () => {
  const [svg, png] = [join(folder, 'law.svg'), join(folder, 'law.png')];
  const written = await run(['fit', RUNS, '--out', svg]);
  assert.deepEqual([written.code, written.out, written.err.trim().split('\n').at(-1)], [0, '', `wrote ${svg}`]);
  assert.match(readFileSync(svg, 'utf8'), /^<svg xmlns="http:\/\/www\.w3\.org\/2000\/svg" .*<\/svg>\n$/s);
  assert.equal((await run(['fit', RUNS, '--out', png])).code, 0);
  assert.equal(readFileSync(png).subarray(1, 4).toString(), 'PNG');
  assert.equal((await run(['fit', RUNS, '-o', 'png'])).bytes.subarray(1, 4).toString(), 'PNG');
});

test('reads what spreadsheets write: UTF-16 with tabs, and decimal commas between semicolons', async () => {
  const rows = [['params', 'loss'], ['1M', '0.6'], ['10M', '0.55'], ['100M', '0.51'], ['1B', '0.47']];
  const utf16 = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(rows.map((row) => row.join('\t')).join('\r\n'), 'utf16le')]);
  const commas = rows.map((row) => row.join(';').replace('.', ',')).join('\r\n');
  const [one, two] = await Promise.all([run(['fit', '-', '-o', 'json'], { stdin: utf16 }), run(['fit', '-', '-o', 'json'], { stdin: commas })]);
  assert.deepEqual(jsonOf(one.out), jsonOf(two.out));
});

test('ends with 2 when it is used wrongly, with 1 when the input does not allow it, and shows no stack', async () => {
  const wrong = await run(['fit', RUNS, '--form', 'cubic']);
  assert.deepEqual(wrong, { ...wrong, code: 2, out: '', err: 'error: --form: expected power, offset, joint, learning-rate, batch, got "cubic"\nsee kubectl polar fit --help\n' });
  const bad = await run(['fit', '-'], { stdin: 'params,loss\n1M,0.6\n2M,oops\n' });
  assert.deepEqual([bad.code, bad.out], [1, '']);
  assert.match(bad.err, /^error: stdin: 1 of the rows .*\n {2}line 3: column "loss": expected a positive number, got "oops"\n$/);
});

test('refuses input without end at 64 MiB', async () => {
  const { code, err } = await run(['fit', '/dev/zero']);
  assert.deepEqual([code, err], [1, 'error: /dev/zero: expected at most 64 MiB, got more; a law needs one row per run\n']);
});

test('helps at every level and says its version', async () => {
  for (const [words, said] of [[['--help'], /Commands\n {2}fit /], [['fit', '--help'], /--hold-out CONDITION/], [['help', 'sweep'], /--watch/], [['sweep', '-h'], /Examples\n {2}kubectl polar sweep demo\n/]] as const) {
    const { code, out, err } = await run(words);
    assert.deepEqual([code, err], [0, '']);
    assert.match(out, said);
  }
  assert.match((await run(['--version'])).out, /^kubectl-polar \d+\.\d+\.\d+\n$/);
});

test('writes no colours into a pipe', async () => {
  assert.ok(!(await run(['fit', RUNS])).out.includes('\u001b'));
});
