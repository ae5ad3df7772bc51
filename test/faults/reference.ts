// What each workload does when nothing disturbs it: its end, its counts, and the trace that plans are made from.
import { isStateWrite } from './call.ts';
import { execute } from './execute.ts';
import type { Stage } from './execute.ts';
import { lineKey } from './inject.ts';
import { normalText } from './normal.ts';
import type { Flat } from './normal.ts';
import { countsOf, endOf, namesOf } from './oracles.ts';
import type { Alarm, Reference } from './oracles.ts';
import type { Session } from './session.ts';

/** One step of a trace, as plans name it. */
export interface Step {
  readonly kind: 'write' | 'read' | 'line';
  readonly key: string;
  /** Which of the steps with that key, from 1. */
  readonly nth: number;
}

export interface Learnt {
  readonly reference: Reference;
  readonly trace: readonly Step[];
  readonly marks: readonly string[];
  readonly alarms: readonly Alarm[];
}

interface Observation {
  readonly end: Flat;
  readonly counts: ReadonlyMap<string, number>;
  readonly writes: number;
  readonly trace: readonly Step[];
  readonly marks: readonly string[];
}

/** Runs a workload that often; what differs between the runs is masked. Throws when it does not end by itself, as then nothing can be compared with it. */
export async function learn(stage: Stage, workload: string, runs = 3): Promise<Learnt> {
  const seen: Observation[] = [];
  const alarms: Alarm[] = [];
  let seconds = 0;
  for (let run = 1; run <= runs; run++) {
    const plan = { id: `reference-${workload}-${run}`, row: '0', workload, faults: [] };
    const outcome = await execute(stage, plan, undefined, (session) => seen.push(observe(session)));
    alarms.push(...outcome.alarms);
    const stuck = outcome.alarms.find(({ oracle }) => oracle === 'O4 progress' || oracle === 'harness');
    if (stuck !== undefined) throw new Error(`workload ${workload} does not end undisturbed: ${stuck.says}; ${outcome.alarms.map(({ says }) => says).join('; ')}`);
    seconds = Math.max(seconds, outcome.seconds);
  }
  const [first, ...others] = seen;
  if (first === undefined) throw new Error(`workload ${workload} was never observed: ${alarms.map(({ says }) => says).join('; ')}`);
  const paths = new Set(seen.flatMap(({ end }) => [...end.keys()]));
  const masked = new Set([...paths].filter((path) => others.some(({ end }) => end.get(path) !== first.end.get(path))));
  const uneven = [...new Set(seen.flatMap(({ counts }) => [...counts.keys()]))].filter((key) => others.some(({ counts }) => counts.get(key) !== first.counts.get(key)));
  alarms.push(...uneven.map((key) => ({ oracle: 'O2 counts', says: `${key}: ${seen.map(({ counts }) => counts.get(key) ?? 0).join(', ')} times in undisturbed runs` })));
  return { reference: { end: first.end, masked, counts: first.counts, writes: Math.max(...seen.map(({ writes }) => writes)), seconds }, trace: first.trace, marks: first.marks, alarms };
}

function observe(session: Session): Observation {
  return {
    end: endOf(session), counts: countsOf(session), writes: session.proxy.calls.filter(isStateWrite).length,
    trace: traceOf(session), marks: session.marks,
  };
}

function traceOf(session: Session): readonly Step[] {
  const names = namesOf(session);
  const calls = session.proxy.calls.filter((call) => !call.isWatch && (isStateWrite(call) || !call.isWrite))
    .map((call) => ({ at: call.at, kind: call.isWrite ? 'write' as const : 'read' as const, key: normalText(call.key, names) }));
  const lines = session.proxy.lines.filter(({ type }) => type !== 'BOOKMARK').map((line) => ({ at: line.at, kind: 'line' as const, key: normalText(lineKey(line), names) }));
  const counts = new Map<string, number>();
  return [...calls, ...lines].sort((a, b) => a.at - b.at).map(({ kind, key }) => {
    const nth = (counts.get(`${kind} ${key}`) ?? 0) + 1;
    counts.set(`${kind} ${key}`, nth);
    return { kind, key, nth };
  });
}
