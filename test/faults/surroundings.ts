// Rows about what surrounds an operator: its clock, its rules, its token, and a long life.
import { one, plan } from './candidates.ts';
import type { Candidate, Row } from './candidates.ts';
import type { Fault } from './plan.ts';

const MINUTES = 60_000;
const CLOCKS: Readonly<Record<string, number>> = { 'ahead': 4 * MINUTES, 'behind': -4 * MINUTES, 'hours ahead': 180 * MINUTES, 'hours behind': -180 * MINUTES };
const JUMPS: Readonly<Record<string, number>> = { forward: 10 * MINUTES, back: -10 * MINUTES };
const FORBIDDEN = ['polarpretrains', 'jobs', 'pods', 'services', 'configmaps', 'persistentvolumeclaims', 'events', 'leases'];

/** The operator's clock is wrong from the start, or is set in the middle, also while something waits to be tried again. */
export const brokenClocks: Row = (ground) => [
  ...Object.entries(CLOCKS).map(([name, clockMs]) => plan('clock', ground, name, { clockMs, faults: [] })),
  ...Object.entries(JUMPS).flatMap(([name, ms]) => [
    ...ground.learnt.marks.map((mark) => plan('clock', ground, `${name} at ${mark}`, { faults: one({ mark }, { do: 'clock', ms }) })),
    plan('clock', ground, `${name} while it waits`, { faults: refusedWhile(ms) }),
  ]),
];

/** The clock is set after the tenth refusal, while the operator waits two seconds and a half before it tries again. */
function refusedWhile(ms: number): readonly Fault[] {
  return [{ at: { mark: 'created' }, do: 'clock', ms, afterMs: 3500 }, { at: { write: 'POST jobs demo-pretrain-1' }, do: 'answer', code: 500, times: 10 }];
}

/** A rule is really taken away and put back. Reviews of trainers' tokens need more than rules of one namespace. */
export const lostRules: Row = (ground) => (ground.workload === 'telling' ? [] : ground.learnt.marks.slice(0, 2).flatMap((mark) => FORBIDDEN.map((resource) =>
  plan('rules', ground, `${resource} at ${mark}`, { account: 'own', faults: one({ mark }, { do: 'forbid', resource, ms: 3000 }) }))));

// It takes up to ten seconds until a token is refused: these workloads miss nothing meanwhile.
const PATIENT = new Set(['complete', 'crash', 'suspend', 'extend', 'disrupt', 'fatal']);

/** The token is replaced and the old one refused, at once or some seconds before the new one is there. */
export const rotatedTokens: Row = (ground) => (!PATIENT.has(ground.workload) ? [] : ground.learnt.marks.slice(0, 2).flatMap((mark) => [0, 4000].map((lateMs) =>
  plan('token', ground, `${lateMs === 0 ? 'in time' : 'late'} at ${mark}`, { account: 'own', faults: one({ mark }, { do: 'rotate', lateMs }) }))));

// Setting the clock forward would end its leadership again and again.
const NO_LEASE = ['--leader-elect', 'false'];

/** Hundreds of broken watches in one life. */
export function longLife(): readonly Candidate[] {
  return [{ plan: { id: 'long-relists', row: 'long', workload: 'relists', compare: 'free', args: NO_LEASE, faults: one({ mark: 'running' }, { do: 'relists', times: 200 }) } }];
}
