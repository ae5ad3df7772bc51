// Which points of a planned sweep to run next: V-optimal design by the delta method. The law is linearised at its
// present estimates (and at parameters that the data admit as well, since early estimates are far off); the point comes
// first that cuts the variance of the prediction at the target most per FLOP^k. Each choice counts as measured for the next.
import { predict } from '../fit/predict.ts';
import type { At, Fit } from '../fit/types.ts';
import type { Candidate, Law, Measured, Remaining } from './candidate.ts';
import { openLedger } from './ledger.ts';
import type { Choice, Ledger } from './ledger.ts';
import { byCost, startOf } from './start.ts';
import { viewsOf } from './views.ts';
import type { View } from './views.ts';

export interface Situation {
  /** Points that may be started, neither started nor ended. */
  readonly candidates: readonly Candidate[];
  readonly observed: readonly Measured[];
  /** Started, not ended; they count as if their loss were known to come. */
  readonly running: readonly Candidate[];
  readonly law: Law;
  /** fitLaw of `observed` in the form of `law`; absent when it threw, or points are too few. */
  readonly fit?: Fit | undefined;
  /** What is to be predicted, with the columns that the law needs; absent: the largest point. */
  readonly target?: At | undefined;
  /** Runs that may be started now. */
  readonly slots: number;
  readonly remaining?: Remaining | undefined;
  /** k; default 0.4. */
  readonly costExponent?: number | undefined;
  /** Share of a branch's budget that is its cooldown, in percent, where candidates have trunks; default 20. */
  readonly cooldownPercent?: number | undefined;
  /** Stop when the interval of the target is within +- so many percent of the loss; never by itself when absent. */
  readonly precisionPercent?: number | undefined;
}

export interface NextPoints {
  /** In the order to start: as many as there are slots unless candidates or budget run out, none when `isDone`. */
  readonly choices: readonly Choice[];
  /** The target is known well enough, or nothing is left that could be started. */
  readonly isDone: boolean;
  /** Why, for people. */
  readonly message: string;
  /** Half the width of the target's interval in percent of the loss; absent without a fit. */
  readonly halfWidthPercent?: number;
}

const COST_EXPONENT = 0.4;
const COOLDOWN_PERCENT = 20;

/** @throws FitError or RangeError when the target lacks a column of the law */
export function nextPoints(situation: Situation): NextPoints {
  const halfWidthPercent = situation.fit && halfWidthOf(situation.fit, targetOf(situation));
  const known = halfWidthPercent === undefined ? {} : { halfWidthPercent };
  const ledger = ledgerFor(situation);
  const end = reasonToEnd(situation, ledger, halfWidthPercent);
  if (end !== undefined) return { choices: [], isDone: true, message: end, ...known };
  const first = situation.fit?.form === situation.law.form ? [] : takeStart(situation, ledger);
  const best = takeBest(situation, ledger, first.map(({ candidate }) => candidate));
  return { choices: [...first, ...best], isDone: false, message: announced(first.length, best.length), ...known };
}

function reasonToEnd({ candidates, precisionPercent, running }: Situation, ledger: Ledger, halfWidthPercent = Infinity): string | undefined {
  if (precisionPercent !== undefined && halfWidthPercent <= precisionPercent) {
    return `the interval at the target is +- ${halfWidthPercent.toPrecision(3)} % of the loss, within ${precisionPercent} %`;
  }
  if (candidates.length === 0) return running.length === 0 ? 'every point has ended' : 'every point has been started';
  return candidates.some(ledger.canPay) ? undefined : `none of the ${candidates.length} points left fits into what is left of the budget`;
}

function announced(first: number, best: number): string {
  if (first + best === 0) return 'no run may be started now';
  const parts = [
    ...(first > 0 ? [`${first} of the smallest points, to tell the parameters of the law apart`] : []),
    ...(best > 0 ? [`${best} that cut the variance at the target most for their FLOPs`] : []),
  ];
  return `next: ${parts.join(', then ')}`;
}

/** Half the width of the law's interval at a target, in percent of the loss. */
export function halfWidthOf(fit: Fit, target: At): number {
  const { loss, lower, upper } = predict(fit, target);
  return 50 * (upper - lower) / loss;
}

function ledgerFor({ observed, running, remaining = {}, cooldownPercent = COOLDOWN_PERCENT }: Situation): Ledger {
  return openLedger([...observed, ...running], remaining, cooldownPercent);
}

/** What is to be predicted; without a target the largest point. */
export function targetOf({ target, candidates, observed, running }: Situation): At {
  const { parameters, tokens } = [...candidates, ...observed, ...running].reduce((a, b) => (b.flops > a.flops ? b : a));
  return target ?? { parameters, tokens };
}

function takeStart({ candidates, observed, running, law, slots }: Situation, ledger: Ledger): Choice[] {
  const free = new Set(candidates.map(({ id }) => id));
  return startOf(law, [...observed, ...running, ...candidates]).flatMap((point) => free.has(point.id) ? [point] : [])
    .reduce<Choice[]>((taken, point) => taken.length < slots && ledger.canPay(point) ? [...taken, ledger.take(point)] : taken, []);
}

function takeBest(situation: Situation, ledger: Ledger, taken: readonly Candidate[]): Choice[] {
  const slots = situation.slots - taken.length;
  if (slots <= 0) return [];
  const left = situation.candidates.filter((candidate) => !taken.includes(candidate)).sort(byCost);
  const { law, fit, observed, running } = situation;
  const views = viewsOf({ law, fit, target: targetOf(situation), known: [...observed, ...running, ...taken], left });
  const open = new Set(left.keys());
  const choices: Choice[] = [];
  while (choices.length < slots) {
    const best = bestOf(views, open, (i) => worth(left[i]!, ledger, situation.costExponent ?? COST_EXPONENT));
    if (best === undefined) break;
    open.delete(best);
    choices.push(ledger.take(left[best]!));
    for (const { knowledge, slopes } of views) knowledge.learn(slopes[best]!);
  }
  return choices;
}

/** 1 / FLOPs^k, 0 for what cannot be paid. */
function worth(candidate: Candidate, ledger: Ledger, exponent: number): number {
  return ledger.canPay(candidate) ? ledger.added(candidate) ** -exponent : 0;
}

/** The candidate that cuts the target's variance most for what it costs, as a mean of shares over the views; the cheapest of equals. */
function bestOf(views: readonly View[], open: ReadonlySet<number>, worthOf: (i: number) => number): number | undefined {
  const targets = views.map(({ knowledge, target }) => ({ product: knowledge.times(target), variance: knowledge.variance(target) }));
  let best: number | undefined;
  let most = 0;
  for (const i of open) {
    const value = worthOf(i);
    if (value <= 0) continue;
    let share = 0;
    views.forEach(({ knowledge, slopes }, v) => { share += knowledge.cut(slopes[i]!, targets[v]!.product) / targets[v]!.variance; });
    if (best === undefined || share * value > most) { best = i; most = share * value; }
  }
  return best;
}

