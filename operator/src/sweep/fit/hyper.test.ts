import assert from 'node:assert/strict';
import { test } from 'node:test';
import { batchLaw, learningRateLaw } from '../../run/laws.ts';
import { FitError } from './error.ts';
import { hyperLawAt, PAPER_BATCH, PAPER_LEARNING_RATE, refitHyperLaw } from './hyper.ts';
import { batchOptimum, learningRateOptimum } from './optimum.ts';
import { seeded } from './random.ts';
import { valueNamed, within } from './testdata.ts';

const SMALL = { parameters: 1.8e9, pretrainedTokens: 2.5e12, tokens: 0.94e12 };
const LARGE = { parameters: 7e9, pretrainedTokens: 4e12, tokens: 3.6e12 };

test('the paper\'s laws give the learning rates and batches of its two runs', () => {
  assert.equal(hyperLawAt(PAPER_LEARNING_RATE, SMALL).toPrecision(2), '0.000014');
  assert.equal(hyperLawAt(PAPER_LEARNING_RATE, LARGE).toPrecision(3), '0.0000167');
  assert.equal(hyperLawAt(PAPER_BATCH, SMALL).toFixed(0), '1940');
  assert.equal(hyperLawAt(PAPER_BATCH, LARGE).toFixed(0), '4343');
});

test('a run set to auto gets what the laws give here', () => {
  for (const scale of [SMALL, LARGE]) {
    assert.ok(within(hyperLawAt(PAPER_LEARNING_RATE, scale), learningRateLaw(scale), 1e-12));
    assert.ok(within(hyperLawAt(PAPER_BATCH, scale), batchLaw(scale), 1e-12));
  }
});

const scales = [115.52e6, 232.65e6, 389.87e6, 924.09e6].flatMap((parameters) =>
  [131.84e9, 175.78e9, 219.73e9].flatMap((pretrainedTokens) => [23.9e9, 55.78e9, 103.72e9].map((tokens) => ({ parameters, pretrainedTokens, tokens }))));

test('refits both laws from the optima of the paper\'s scales', () => {
  const random = seeded(5);
  const noisy = (value: number): number => value * Math.exp(0.02 * random.normal());
  const rate = refitHyperLaw(scales.map((scale) => ({ ...scale, optimum: noisy(hyperLawAt(PAPER_LEARNING_RATE, scale)) })));
  const batch = refitHyperLaw(scales.map(({ parameters, tokens }) => ({ parameters, tokens, optimum: noisy(hyperLawAt(PAPER_BATCH, { parameters, tokens })) })));
  for (const [fit, law] of [[rate, PAPER_LEARNING_RATE], [batch, PAPER_BATCH]] as const) {
    for (const [name, exponent] of Object.entries(law.exponents)) {
      const { lower, upper } = valueNamed(fit.estimates, name);
      assert.ok(lower <= exponent && exponent <= upper, `${name}: ${lower} to ${upper} without ${exponent}`);
    }
  }
  assert.deepEqual(batch.leftOut, ['pretrainedTokens']);
  assert.ok(within(hyperLawAt(rate.law, LARGE), 1.67e-5, 0.1));
});

test('refuses a refit that the optima do not determine', () => {
  const optima = scales.slice(0, 3).map((scale) => ({ ...scale, optimum: 1e-5 }));
  assert.throws(() => refitHyperLaw(optima.slice(0, 2)), (error) => error instanceof FitError && /optima: expected at least 3/.test(error.message));
  const together = [1, 2, 4, 8].map((k) => ({ parameters: k * 1e8, tokens: k * 1e9, optimum: 1e-5 * k }));
  assert.throws(() => refitHyperLaw(together), /vary together/);
  assert.throws(() => hyperLawAt(PAPER_LEARNING_RATE, { parameters: 1e9, tokens: 1e9 }), /scale\.pretrainedTokens: .*nothing/);
});

test('finds the learning rate of the lowest loss by a quartic, and its interval covers it', () => {
  let covered = 0;
  for (let seed = 0; seed < 100; seed++) {
    const random = seeded(seed);
    const trials = [-2, -1.5, -1, -0.5, 0, 0.5, 1, 1.5, 2].map((x) => ({ learningRate: 3e-5 * Math.exp(x), loss: 0.5 + 0.02 * (x - 0.3) ** 2 + 0.003 * (x - 0.3) ** 3 + 0.0005 * random.normal() }));
    const best = learningRateOptimum(trials);
    assert.equal(best.degree, 4);
    if (best.lower! <= 3e-5 * Math.exp(0.3) && 3e-5 * Math.exp(0.3) <= best.upper!) covered += 1;
  }
  assert.ok(covered >= 88, `covered in ${covered} of 100`);
});

test('finds the batch of the lowest loss by a quadratic, and says when it lies beyond what was tried', () => {
  const loss = (batch: number): number => 0.4 + 0.01 * Math.log(batch / 300) ** 2;
  const inside = batchOptimum([128, 256, 512, 1024].map((batch) => ({ batch, loss: loss(batch) })));
  assert.ok(within(inside.value, 300, 1e-6) && !inside.atEdge && inside.upper! - inside.lower! < 1e-3);
  const beyond = batchOptimum([512, 1024, 2048].map((batch) => ({ batch, loss: loss(batch) })));
  assert.ok(beyond.atEdge && beyond.value === 512 || within(beyond.value, 512, 1e-6));
  assert.match(beyond.warnings.join(), /edge.*no interval/);
  assert.throws(() => batchOptimum([{ batch: 1, loss: 1 }, { batch: 2, loss: 1 }]), /at least 3 different values, got 2/);
});
