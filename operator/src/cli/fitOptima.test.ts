// The best learning rate and batch of a table, through the program.
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { test } from 'node:test';
import { program } from './testIo.ts';

const RATES = join(import.meta.dirname, '../../../testdata/scaling/rates.csv');

interface Answer {
  readonly optima: readonly { of: string; parameters?: number; tokens?: number; value: number; lower: number; upper: number; degree: number; runs: number }[];
  readonly hyperLaw: { readonly coefficients?: readonly { name: string; value: number; lower: number; upper: number }[]; readonly points: number; readonly notes: readonly string[] };
  readonly warnings: readonly string[];
}

async function fitted(form: string, stdin: string, ...more: readonly string[]): Promise<Answer> {
  const { code, out, err } = await program(['fit', '-', '--form', form, '-o', 'json', ...more], { stdin });
  assert.deepEqual([code, err], [0, '']);
  return JSON.parse(out) as Answer;
}

const valley = (value: number, best: number): number => 0.5 + 0.02 * Math.log(value / best) ** 2;

test('gives the learning rate of the generated table at each scale, and the law it was drawn from, with intervals', async () => {
  const { code, out } = await program(['fit', RATES, '--form', 'learning-rate', '-o', 'json']);
  assert.equal(code, 0);
  const { optima, hyperLaw: { coefficients = [], points } } = JSON.parse(out) as Answer;
  assert.deepEqual([optima.length, points], [6, 6]);
  const inside = optima.filter(({ parameters = 0, tokens = 0, lower, upper }) => { const best = 0.001 * (parameters / 2 ** 20) ** -0.2 * (tokens / 2 ** 30) ** 0.3; return lower <= best && best <= upper; });
  assert.ok(inside.length >= 5, String(inside.length));
  for (const [index, wanted] of [0.001, -0.2, 0.3].entries()) assert.ok((coefficients[index]?.lower ?? 1) <= wanted && wanted <= (coefficients[index]?.upper ?? -1), JSON.stringify(coefficients[index]));
});

test('needs no params and tokens, and says that one optimum makes no law', async () => {
  const rows = [32, 64, 128, 256].map((batch) => `${String(batch)},${String(valley(batch, 100))}`);
  const { optima: [best], hyperLaw } = await fitted('batch', ['batch_size,val_loss', ...rows, ''].join('\n'));
  assert.ok(best !== undefined && Math.abs(best.value - 100) < 1e-3 && best.degree === 2 && best.runs === 4);
  assert.match(hyperLaw.notes.join(), /no law: it needs optima of the batch at several sizes or budgets/);
});

test('compares runs whose tokens differ by a batch, and warns when the other setting varies', async () => {
  const rows = [0.0005, 0.001, 0.002].flatMap((lr, i) => [32, 64].map((batch) => [1e6, 5e6 + 100 * batch * i, lr, batch, valley(lr, 0.0009) + batch / 1e4].join(',')));
  const csv = ['params,tokens,learningRate,batchTriplets,loss', ...rows, ''].join('\n');
  const all = await fitted('learning-rate', csv);
  assert.match(all.warnings.join(), /batch has 2 values in these rows: choose one with --where/);
  const one = await fitted('learning-rate', csv, '--where', 'batchTriplets=64');
  assert.deepEqual([one.warnings, one.optima.length, one.optima[0]?.runs], [[], 1, 3]);
  assert.ok(Math.abs((one.optima[0]?.value ?? 0) - 0.0009) < 1e-7);
});

test('prints when the optimum lies outside the rates tried', async () => {
  const { out } = await program(['fit', '-', '--form', 'learning-rate'], { stdin: 'lr,loss\n0.001,0.5\n0.002,0.51\n0.004,0.53\n0.008,0.56\n' });
  assert.match(out, /the lowest loss is at the edge of what was tried: the best learningRate lies beyond it/);
});

test('refuses what has too few values, no column, or options of other forms', async () => {
  const few = 'lr,loss\n0.1,1\n0.2,1\n';
  const cases: readonly (readonly [readonly string[], string, number, RegExp])[] = [
    [['--form', 'learning-rate'], few, 1, /stdin: expected at least three values of lr at one scale in 2 rows/],
    [['--form', 'batch'], few, 1, /no column for batch: name it with --columns batch=NAME/],
    [['--form', 'learning-rate', '--predict', 'N=7B'], few, 2, /--predict: expected with power, offset and joint only, got --form learning-rate/],
    [['--form', 'batch', '-o', 'svg'], few, 2, /-o: expected table, json, got "svg"/],
    [['--form', 'learning-rate'], 'lr,loss\n0.1,1\nauto,1\n', 1, /line 3: column "lr": expected a positive number, got "auto"/],
  ];
  for (const [words, stdin, status, said] of cases) {
    const { code, out, err } = await program(['fit', '-', ...words], { stdin });
    assert.deepEqual([code, out], [status, ''], words.join(' '));
    assert.match(err, said);
  }
});
