// Early stopping among points that differ only in their learning rate: successive halving as runs reach its rungs.
// A run is judged against those that have reached the rung, not against those still to come (as ASHA does): no run waits.

/** A run among those it is compared with. */
export interface Rival {
  readonly id: string;
  readonly learningRate: number;
  /** Its budget, in the unit of `curve`. */
  readonly budget: number;
  /** Validations, in order; `at` counts steps (or tokens) from the beginning of training. */
  readonly curve: readonly { readonly at: number; readonly loss: number }[];
  /** Of its validation losses; 0 when not known. */
  readonly standardError?: number | undefined;
  /** Stopped: by this rule, before. Ended: with a loss. */
  readonly state: 'Waiting' | 'Running' | 'Ended' | 'Failed' | 'Stopped';
}

export interface EarlyStopping {
  /** Share of the runs at a rung that goes on, in percent. */
  readonly keepPercent: number;
  /** Rungs, in percent of the budget. */
  readonly atPercent: readonly number[];
}

export interface Stop {
  readonly id: string;
  /** The rung, in percent. */
  readonly atPercent: number;
  /** Why, for people; becomes the message of the point's record. */
  readonly message: string;
}

/** Losses that differ by less than so many standard errors of their difference are taken for equal. */
const CLEARLY = 2;

/** A run at a rung. */
interface Entry {
  readonly rival: Rival;
  readonly loss: number;
  /** Fall of the loss per unit of the curve, over the second half of what led to the rung. */
  readonly fall: number;
}

/**
 * The running ones that are to be stopped now: of the runs at a rung those beyond the best `keepPercent`, unless they
 * may still count. Each is judged at the last rung it has reached, and only by a better run that has not been stopped
 * itself; so the best is never stopped, and never the last one. Nor is one whose learning rate is next to the best's
 * (the optimum is read from those), one that is not clearly worse, or one that would catch up with the best before the
 * end at its present rate of falling. Runs that have not reached a rung or have no validation around it are left
 * alone; failed ones are nobody's measure.
 */
export function toStop(rivals: readonly Rival[], options: EarlyStopping): readonly Stop[] {
  const rungs = options.atPercent.toSorted((a, b) => a - b);
  const stops = new Map<string, Stop>();
  rungs.forEach((rung, i) => {
    const passed = (rival: Rival): boolean => rungs.slice(i + 1).some((later) => entryOf(rival, later).length > 0);
    for (const stop of stopsAt(rung, rivals, options)) if (!passed(rivals.find(({ id }) => id === stop.id)!)) stops.set(stop.id, stop);
  });
  return [...stops.values()];
}

function stopsAt(rung: number, rivals: readonly Rival[], { keepPercent }: EarlyStopping): Stop[] {
  const entries = rivals.flatMap((rival) => entryOf(rival, rung)).sort((a, b) => a.loss - b.loss || (a.rival.id < b.rival.id ? -1 : 1));
  const best = entries.find(({ rival }) => rival.state !== 'Stopped');
  if (best === undefined) return [];
  const kept = Math.max(1, Math.ceil(entries.length * keepPercent / 100));
  return entries.slice(kept).filter((entry) => entry.rival.state === 'Running' && !mayCount(entry, best, rung, rivals))
    .map((entry) => ({ id: entry.rival.id, atPercent: rung, message: messageOf(entry, best, { rung, place: entries.indexOf(entry) + 1, of: entries.length, kept }) }));
}

function entryOf(rival: Rival, rung: number): Entry[] {
  if (rival.state === 'Failed' || rival.state === 'Waiting') return [];
  const at = rival.budget * rung / 100;
  const [loss, before] = [lossAt(rival, at), lossAt(rival, at / 2)];
  if (loss === undefined) return [];
  return [{ rival, loss, fall: before === undefined ? 0 : (before - loss) / (at / 2) }];
}

/** Validation loss at a place of the curve, straight in ln(place) between the validations around it. */
function lossAt({ curve }: Rival, at: number): number | undefined {
  const after = curve.findIndex((point) => point.at >= at);
  const [left, right] = [curve[after - 1], curve[after]];
  if (right === undefined) return undefined;
  if (right.at === at) return right.loss;
  if (left === undefined) return undefined;
  const share = Math.log(at / left.at) / Math.log(right.at / left.at);
  const loss = left.loss + share * (right.loss - left.loss);
  return Number.isFinite(loss) ? loss : undefined;
}

function mayCount(entry: Entry, best: Entry, rung: number, rivals: readonly Rival[]): boolean {
  const gap = entry.loss - best.loss;
  if (gap <= CLEARLY * Math.hypot(entry.rival.standardError ?? 0, best.rival.standardError ?? 0)) return true;
  if (neighbours(best.rival, rivals).includes(entry.rival.learningRate)) return true;
  return gap <= (entry.fall - best.fall) * entry.rival.budget * (1 - rung / 100);
}

/** The next smaller and the next larger learning rate that has not failed. */
function neighbours({ learningRate }: Rival, rivals: readonly Rival[]): number[] {
  const rates = rivals.filter(({ state }) => state !== 'Failed').map((one) => one.learningRate);
  return [Math.max(...rates.filter((rate) => rate < learningRate)), Math.min(...rates.filter((rate) => rate > learningRate))];
}

function messageOf(entry: Entry, best: Entry, { rung, place, of, kept }: { readonly rung: number; readonly place: number; readonly of: number; readonly kept: number }): string {
  const error = Math.hypot(entry.rival.standardError ?? 0, best.rival.standardError ?? 0);
  const within = error > 0 ? ` +- ${error.toPrecision(2)}` : '';
  return `stopped early: at ${rung} % of its budget its validation loss was ${entry.loss.toFixed(4)}, number ${place} of the ${of} learning rates that got there, of which ${kept} ${kept === 1 ? 'goes' : 'go'} on; `
    + `learning rate ${best.rival.learningRate} had ${best.loss.toFixed(4)} (difference ${(entry.loss - best.loss).toFixed(4)}${within})`;
}
