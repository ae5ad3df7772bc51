// What a spec may say field by field and still cannot be. Pure.
import { parseCount } from '../api/scalars.ts';
import type { SweepSpec } from '../api/sweep.ts';
import { processesOf } from './capacity.ts';
import type { Sweep } from './observed.ts';

type Check = (spec: SweepSpec) => string | undefined;

const CHECKS: readonly Check[] = [tokensAreSome, batchesFit, lawsHold, trunksKeepTheirRate];

/** Field, what was expected and what was got; undefined when the sweep can be run. */
export function objectionTo({ spec, specIssue }: Sweep): string | undefined {
  if (spec === undefined) return specIssue ?? 'spec: expected an object';
  for (const check of CHECKS) {
    const objection = check(spec);
    if (objection !== undefined) return objection;
  }
  return undefined;
}

function tokensAreSome({ axes: { tokens = [] } }: SweepSpec): string | undefined {
  const index = tokens.findIndex((text) => parseCount(text) < 1);
  return index < 0 ? undefined : `spec.axes.tokens[${index}]: expected at least 1 token, got "${tokens[index] ?? ''}"`;
}

function batchesFit(spec: SweepSpec): string | undefined {
  const processes = processesOf(spec);
  const expected = `at least ${processes} (template.workers.replicas * gpusPerWorker)`;
  const { axes: { batchTriplets }, template: { optimizer } } = spec;
  const index = batchTriplets?.findIndex((batch) => batch < processes) ?? -1;
  if (index >= 0) return `spec.axes.batchTriplets[${index}]: expected ${expected}, got ${batchTriplets?.[index] ?? 0}`;
  const isOwn = batchTriplets === undefined && typeof optimizer.batchTriplets === 'number' && optimizer.batchTriplets < processes;
  return isOwn ? `spec.template.optimizer.batchTriplets: expected ${expected}, got ${optimizer.batchTriplets}` : undefined;
}

/** As the API server says of each run. */
function lawsHold(spec: SweepSpec): string | undefined {
  const field = autoField(spec);
  if (field === undefined) return undefined;
  if (spec.template.model.init?.pretrainedTokens === undefined) return `${field}: expected a number (auto needs template.model.init.pretrainedTokens), got auto`;
  return spec.axes.tokens === undefined ? `${field}: expected a number (auto needs axes.tokens), got auto` : undefined;
}

function autoField({ axes: { learningRates, batchTriplets }, template: { optimizer } }: SweepSpec): string | undefined {
  const index = learningRates?.indexOf('auto') ?? -1;
  if (index >= 0) return `spec.axes.learningRates[${index}]`;
  if (learningRates === undefined && optimizer.learningRate === 'auto') return 'spec.template.optimizer.learningRate';
  return batchTriplets === undefined && optimizer.batchTriplets === 'auto' ? 'spec.template.optimizer.batchTriplets' : undefined;
}

function trunksKeepTheirRate({ cooldowns, earlyStopping, template: { optimizer } }: SweepSpec): string | undefined {
  if (cooldowns?.reuse !== true) return undefined;
  if (earlyStopping !== undefined) return 'spec.earlyStopping: expected nothing beside cooldowns.reuse (a trunk serves points that are not compared), got an object';
  if (optimizer.learningRate === 'auto' || optimizer.batchTriplets === 'auto') return 'spec.cooldowns.reuse: expected numbers in template.optimizer (a branch continues what its trunk was trained with), got auto';
  const total = optimizer.warmupPercent + cooldowns.percent;
  return total > 100 ? `spec.cooldowns.percent: expected at most ${100 - optimizer.warmupPercent} (100 - template.optimizer.warmupPercent), got ${cooldowns.percent}` : undefined;
}
