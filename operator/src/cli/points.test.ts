// Tables as they come: what is read from them, and what is said of those that cannot be.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseColumnNames, parseUnits } from './columns.ts';
import { parseSheet } from './csv.ts';
import { parseFilter } from './filter.ts';
import type { PointOptions, Points } from './points.ts';
import { readPoints } from './points.ts';

function points(text: string, options: Partial<PointOptions> & { readonly columns?: string } = {}): Points {
  const named = parseColumnNames(options.columns === undefined ? [] : [options.columns]);
  return readPoints(parseSheet('runs.csv', text), { form: 'power', units: {}, where: [], holdOut: [], skipBadRows: false, ...options, named });
}

const pairs = (text: string, options?: Partial<PointOptions> & { readonly columns?: string }): (number | undefined)[][] =>
  points(text, options).fitted.map(({ observation: { parameters, tokens, flops, loss } }) => [parameters ?? tokens ?? flops, loss]);

test('reads commas, semicolons, tabs and bars, any line ends, a byte order mark and empty lines alike', () => {
  for (const separator of [',', ';', '\t', '|']) {
    for (const end of ['\n', '\r\n', '\r']) {
      const text = ['\uFEFFparams,loss', '', '1M,2.5', '   ', '"2M","2.25"', ',', '4M , 2.125', ''].join(end).replaceAll(',', separator);
      assert.deepEqual(pairs(text), [[1e6, 2.5], [2e6, 2.25], [4e6, 2.125]], JSON.stringify(text));
    }
  }
});

test('knows columns by their headers, whatever their case and punctuation', () => {
  assert.deepEqual(pairs('Val Loss,N_params,colour\n2.5,1M,#fff\n'), [[1e6, 2.5]]);
  assert.deepEqual(pairs('"Training FLOP",loss\n1e18,2.5\n'), [[1e18, 2.5]]);
});

test('takes columns that are named, by position too, and headers with commas', () => {
  assert.deepEqual(pairs('"size, total",a,loss\n1M,7,2.5\n', { columns: 'params=size, total,loss=loss' }), [[1e6, 2.5]]);
  assert.deepEqual(pairs('x,x,y\n1,2M,2.5\n', { columns: 'params=#2,loss=y' }), [[2e6, 2.5]]);
  assert.deepEqual(pairs('1M,2.5\n2M,2.25\n', { columns: 'params=#1,loss=#2' }), [[1e6, 2.5], [2e6, 2.25]]);
});

test('multiplies with the unit of a column', () => {
  assert.deepEqual(pairs('n,loss\n1.5,2.5\n', { units: parseUnits(['params=M']) }), [[1.5e6, 2.5]]);
  assert.deepEqual(parseUnits(['tokens=B,flops=1e18']), { tokens: 1e9, flops: 1e18 });
});

test('derives the third of params, tokens and flops and says so', () => {
  const joint = points('params,flops,loss\n1e6,6e15,2.5\n', { form: 'joint' });
  assert.deepEqual([joint.fitted[0]?.observation.tokens, joint.derived], [1e9, 'tokens = flops / (6 params)']);
  const compute = points('params,tokens,loss\n1e6,1e9,2.5\n', { axis: 'flops' });
  assert.deepEqual([compute.fitted[0]?.observation.flops, compute.derived], [6e15, 'flops = 6 params tokens']);
});

test('reads a decimal comma where semicolons separate, and thousands where they are quoted', () => {
  assert.deepEqual(pairs('params;loss\n1M;2,5\n'), [[1e6, 2.5]]);
  assert.deepEqual(pairs('params,loss\n"1,000,000",2.5\n'), [[1e6, 2.5]]);
});

test('names every row that cannot be read by its line', () => {
  const text = 'params,loss\n1M,2.5\n\n2M,nan\n"3\nM",2\nabc,2.1\n4M\n5M,-1\n';
  assert.throws(() => points(text), (error: Error) => {
    assert.equal(error.message, [
      'runs.csv: 5 of the rows cannot be read; --skip-bad-rows goes on without them',
      'line 4: column "loss": expected a positive number, got "nan"', 'line 6: column "params": expected a positive number, got "3\\nM"',
      'line 7: column "params": expected a positive number, got "abc"', 'line 8: column "loss": expected a positive number, got only 1 of 2 fields',
      'line 9: column "loss": expected a positive number, got "-1"',
    ].join('\n  '));
    return true;
  });
  const skipped = points(text, { skipBadRows: true });
  assert.deepEqual([skipped.fitted.map(({ line }) => line), skipped.bad.length], [[2], 5]);
});

test('names at most ten bad rows', () => {
  const text = `params,loss\n${'1M,\n'.repeat(25)}`;
  assert.throws(() => points(text), /25 of the rows(.*\n){11}  and 15 more$/);
});

test('leaves rows out and holds rows out by conditions on any column', () => {
  const text = 'params,loss,set\n1M,2.5,a\n2M,2.3,a\n4M,2.2,b\n8M,9,a\n';
  const chosen = points(text, { where: [parseFilter('--where', 'set=a')], holdOut: [parseFilter('--hold-out', 'params >= 2M')], dropAbove: 5 });
  assert.deepEqual([chosen.fitted.map(({ line }) => line), chosen.heldOut.map(({ line }) => line), chosen.filtered], [[2], [3], 2]);
});

test('says which column is missing, doubtful or twice there, and which there are', () => {
  assert.throws(() => points('a,b\n1,2\n'), /runs\.csv: no column for loss: name it with --columns loss=NAME, one of "a", "b" \(separated by commas\)/);
  assert.throws(() => points('loss,val_loss,params\n1,2,3\n'), /runs\.csv: line 1: "loss" and "val_loss" could each be loss: say which with --columns loss=NAME/);
  assert.throws(() => points('params,loss\n1,2\n', { columns: 'params=size' }), /--columns params=size: no column "size" in runs\.csv: expected one of "params", "loss"/);
  assert.throws(() => points('a,a,loss\n1,2,3\n', { columns: 'params=a' }), /expected one column "a" in runs\.csv, got 2; name it by position, as #1/);
  assert.throws(() => points('params,loss\n1,2\n', { columns: 'params=#3' }), /expected a position from #1 to #2 in runs\.csv, got #3/);
  assert.throws(() => points('params,loss\n1,2\n', { form: 'joint' }), /no column for tokens/);
  assert.throws(() => points('1M,2\n2M,3\n'), /no column for loss/);
  assert.throws(() => points('1,2\n2,3\n', { columns: 'params=1,loss=2' }), /line 1: expected a header, got only numbers/);
  assert.throws(() => points('params,loss\n1,2\n', { where: [parseFilter('--where', 'colour=red')] }), /colour=red: no column "colour" in runs\.csv/);
});

test('says where quotes go wrong, and that a file is empty', () => {
  assert.throws(() => points('params,loss\n1M,2.5\n2M,"2.4\n'), /runs\.csv: line \d: expected the quote that is opened there to be closed/);
  assert.throws(() => points(''), /runs\.csv: expected a header line and a row per run, got nothing/);
  assert.throws(() => points('\n# only a comment\n'), /got nothing/);
});

test('refuses more rows than runs can be', () => {
  assert.throws(() => points(`params,loss\n${'1M,2\n'.repeat(100_001)}`), /runs\.csv: expected at most 100000 rows, got more/);
});

test('refuses conditions that say nothing', () => {
  for (const text of ['loss', 'loss<', '<3', 'loss<abc', '']) assert.throws(() => parseFilter('--where', text), /--where: expected/, text);
});
