// Progress as JSON lines on stdout, one every few seconds and one at the end: what a controller puts into status.
import { showCount } from './counts.ts';
import type { EndReason, Engine } from './engine.ts';
import type { GenerateConfig } from './config.ts';
import { showMoney } from './money.ts';

// The rate is an average over about this long.
const AVERAGED_MS = 60_000;

export interface Progress {
  /** The line for now; `reason` in the last one only. */
  readonly line: (reason?: EndReason) => string;
}

export function createProgress(config: GenerateConfig, engine: Engine, worker: number, now: () => number): Progress {
  const samples: { at: number; settled: number }[] = [{ at: now(), settled: engine.tally.settled }];
  const rateOf = (): number => {
    const at = now();
    samples.push({ at, settled: engine.tally.settled });
    while (samples.length > 2 && at - (samples[0]?.at ?? at) > AVERAGED_MS) samples.shift();
    const first = samples[0];
    return first === undefined || at <= first.at ? 0 : ((engine.tally.settled - first.settled) * 1000) / (at - first.at);
  };
  const line = (reason?: EndReason): string => {
    const { tally, lanes, budget } = engine;
    const rate = rateOf();
    const left = tally.requests - tally.settled;
    const policies = config.policies.map(({ name }, i) => [name, policyLine(engine, name, i)] as const);
    return JSON.stringify({
      type: reason === undefined ? 'progress' : 'end', ...(reason === undefined ? {} : { reason }), time: new Date(now()).toISOString(), worker, workers: config.workers,
      requests: { all: tally.requests, settled: tally.settled, inFlight: lanes.reduce((sum, lane) => sum + lane.inFlight, 0) },
      prefixesDone: Math.floor(tally.settled / 3), rows: [...tally.policies.values()].reduce((sum, { rows }) => sum + rows, 0),
      shards: { all: tally.shards, complete: tally.shardsComplete, open: tally.shardsOpen },
      spent: { tokens: budget.spent.tokens, money: showMoney(budget.spent.money) },
      requestsPerSecond: rate.toFixed(2), etaSeconds: rate > 0 ? Math.ceil(left / rate) : null,
      policies: Object.fromEntries(policies),
    });
  };
  return { line };
}

function policyLine({ lanes, tally }: Engine, name: string, i: number): object {
  const lane = lanes[i];
  const count = tally.policies.get(name);
  if (lane === undefined || count === undefined) return {};
  const state = lane.parked !== undefined ? 'parked' : (lane.waiting ?? 'working');
  return { state, ...(lane.parked === undefined ? {} : { why: lane.parked }), ...showCount(count), retries: lane.retries, errors: Object.fromEntries(lane.errors.counts), ...(lane.errors.last === undefined ? {} : { lastError: lane.errors.last }) };
}
