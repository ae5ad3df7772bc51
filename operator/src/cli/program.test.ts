// The program inside this process: what it refuses, and how it ends then.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { program } from './testIo.ts';

const RUNS = join(import.meta.dirname, '../../../testdata/scaling/runs.csv');
const folder = mkdtempSync(join(tmpdir(), 'polar-cli-'));
after(() => { rmSync(folder, { recursive: true }); });

test('ends with 2 and says what was expected when it is used wrongly', async () => {
  const cases: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /^Scaling laws/],
    [['frobnicate'], /^error: unknown command "frobnicate": expected fit, sweep/],
    [['fit'], /^error: fit: expected one FILE \(or - for stdin\), got 0/],
    [['fit', RUNS, '--form', 'cubic'], /^error: --form: expected power, offset, joint, learning-rate, batch, got "cubic"/],
    [['fit', RUNS, '--frm', 'joint'], /^error: --frm: unknown option, expected one of --form,/],
    [['fit', RUNS, '--form'], /^error: --form: expected a value/],
    [['fit', RUNS, '--form', 'joint', '--form', 'power'], /^error: --form: expected once, got 2 times/],
    [['fit', RUNS, '--predict', 'X=3'], /^error: --predict: expected N=7B,D=3\.6T .* got "X=3"/],
    [['fit', RUNS, '--form', 'joint', '--predict', 'N=7B'], /^error: --predict N=7B: expected N and D, or C/],
    [['fit', RUNS, '--need', 'loss=x'], /^error: --need: expected loss=0\.35, got "loss=x"/],
    [['fit', RUNS, '--delta', '-1'], /^error: --delta: expected a value; one that starts with a dash is written --delta=VALUE/],
    [['fit', RUNS, '--bootstrap', '1.5'], /^error: --bootstrap: expected a whole number from 0 to 10000, got "1\.5"/],
    [['fit', RUNS, '--columns', 'size=a'], /^error: --columns: expected NAME=VALUE with a name of params, tokens, flops, loss, lr, batch, got "size=a"/],
    [['fit', RUNS, '-o', 'pdf'], /^error: -o: expected table, json, csv, svg, png, got "pdf"/],
  ];
  for (const [words, said] of cases) {
    const { code, out, err } = await program(words);
    assert.deepEqual([code, out], [2, ''], words.join(' '));
    assert.match(err, said);
    assert.doesNotMatch(err, /\n {4}at /, 'no stack');
  }
});

test('ends with 1 and names file, line and column when the input does not allow it', async () => {
  const bad = join(folder, 'bad.csv');
  writeFileSync(bad, 'params,loss\n1M,0.6\n2M,oops\n');
  const binary = join(folder, 'binary.csv');
  writeFileSync(binary, Buffer.from([0x50, 0x4b, 3, 4, 0, 0xff, 0xfe, 0x80]));
  const cases: readonly (readonly [readonly string[], string | undefined, RegExp])[] = [
    [['fit', join(folder, 'none.csv')], undefined, /^error: .*none\.csv: cannot be read: no such file\n$/],
    [['fit', folder], undefined, /cannot be read: it is a folder\n$/],
    [['fit', binary], undefined, /binary\.csv: expected text in UTF-8 or UTF-16, got other bytes\n$/],
    [['fit', bad], undefined, /line 3: column "loss": expected a positive number, got "oops"\n$/],
    [['fit', '-'], '', /^error: stdin: expected a header line and a row per run, got nothing\n$/],
    [['fit', '-'], 'params,loss\n1M,2\n', /^error: the rows used: expected at least 3 for the form power, got 1\n$/],
    [['fit', '-'], 'params,loss\n1M,2\n1M,2.1\n1M,2.2\n', /^error: the rows used: params: expected at least 2 different values/],
    [['fit', RUNS, '--out', join(folder, 'none', 'x.svg')], undefined, /cannot be written: there is no such folder\n$/],
  ];
  for (const [words, stdin, said] of cases) {
    const { code, out, err } = await program(words, stdin === undefined ? {} : { stdin });
    assert.deepEqual([code, out], [1, ''], words.join(' '));
    assert.match(err, said);
    assert.doesNotMatch(err, /\n {4}at /, 'no stack');
  }
});

test('colours a terminal only, and not when NO_COLOR is set', async () => {
  const fit = (options: Parameters<typeof program>[1]): Promise<string> => program(['fit', RUNS], options).then(({ out }) => out);
  const [pipe, terminal, plain] = [await fit({}), await fit({ isTTY: true }), await fit({ isTTY: true, env: { NO_COLOR: '1' } })];
  assert.deepEqual([pipe.includes('\u001b'), terminal.includes('\u001b[36mo'), plain.includes('\u001b')], [false, true, false]);
  assert.equal(plain, pipe);
});

test('writes no picture into a terminal', async () => {
  const { code, err } = await program(['fit', RUNS, '-o', 'png'], { isTTY: true });
  assert.deepEqual([code, err.split('\n')[0]], [2, 'error: -o png: expected --out FILE or a redirection, got a terminal']);
});
