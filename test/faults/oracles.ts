// Judges a finished plan: the end (O1), the counts (O2), every state (O3), rest (O4), the log (O5) and what was asked of the API server (O6).
import { controllerOf } from '../../operator/src/runtime/object.ts';
import type { KubeObject } from '../../operator/src/runtime/object.ts';
import { isStateWrite } from './call.ts';
import type { Call } from './call.ts';
import { brokenInvariants, orphans } from './invariants.ts';
import { differences, flatten, normalText, outcomes } from './normal.ts';
import type { Flat, Names } from './normal.ts';
import { WATCHED } from './observer.ts';
import type { Seen } from './observer.ts';
import { keepsCounts, mayFailRequests } from './plan.ts';
import type { Plan } from './plan.ts';
import type { Session } from './session.ts';

export interface Alarm {
  readonly oracle: string;
  readonly says: string;
}

/** What an undisturbed run of a workload ends in and does, learnt from several. */
export interface Reference {
  readonly end: Flat;
  readonly masked: ReadonlySet<string>;
  readonly counts: ReadonlyMap<string, number>;
  readonly writes: number;
  readonly seconds: number;
}

const MOST_PER_SECOND = 80;
// Somebody who writes forty times in a second is answered more often, and a dozen runs at once need more.
const MOST_WITH_MUCH_TO_DO = 150;
// A delay that doubles from five milliseconds is over a second after eight refusals.
const PATIENT_AFTER = 11;
// Every piece of news is a reason to try again, and after a conflict or while a namespace is emptied they come all at once.
const PATIENT_AFTER_NEWS = 40;
const PAUSES_MS = 2000;
const MAX_SAID = 6;

export function namesOf(session: Session): Names {
  const uids = new Set(session.observer.history(session.namespace).map(({ object }) => object.metadata.uid ?? '-'));
  return { namespace: session.namespace, uids: [...uids] };
}

export function allObjects({ observer, namespace }: Session): readonly KubeObject[] {
  return WATCHED.flatMap(({ kind }) => observer.objects(namespace, kind));
}

export function endOf(session: Session): Flat {
  return flatten(allObjects(session), namesOf(session));
}

/**
 * How often each object was created and deleted, by kind and name. A child put back in the moment in which its run was deleted is left out: nothing
 * can keep that from happening, and the garbage collector takes it away at once.
 */
export function countsOf(session: Session): ReadonlyMap<string, number> {
  const names = namesOf(session);
  const counts = new Map<string, number>();
  const history = session.observer.history(session.namespace);
  const late = bornLate(history);
  for (const { kind, object, type } of history) {
    if (type === 'MODIFIED' || late.has(object.metadata.uid)) continue;
    const key = `${type} ${normalText(`${kind} ${object.metadata.name}`, names)}`;
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** UIDs of children that were created when what controls them was gone already. */
function bornLate(history: readonly Seen[]): ReadonlySet<string | undefined> {
  const [gone, late] = [new Set<string>(), new Set<string | undefined>()];
  for (const { object, type } of history) {
    if (type === 'DELETED') gone.add(object.metadata.uid ?? '');
    if (type === 'ADDED' && gone.has(controllerOf(object)?.uid ?? '')) late.add(object.metadata.uid);
  }
  return late;
}

/** O1: what of the end differs; nothing when it is as it should be. */
export function endDiffers(session: Session, plan: Plan, reference: Reference | undefined): readonly string[] {
  if (reference === undefined || plan.compare === 'free') return [];
  const end = endOf(session);
  return plan.compare === 'outcome' ? differences(outcomes(reference.end), outcomes(end), reference.masked) : differences(reference.end, end, reference.masked);
}

/** Everything but the end and rest, which are waited for. */
export function judge(session: Session, plan: Plan, reference: Reference | undefined): readonly Alarm[] {
  const { observer, namespace, proxy } = session;
  const gaps = observer.gaps(namespace);
  return [
    ...alarms('O2 counts', reference !== undefined && keepsCounts(plan) && gaps.length === 0 ? countsDiffer(reference.counts, countsOf(session)) : []),
    ...alarms('O2 storm', storms(proxy.calls, plan)),
    ...alarms('O3 invariant', brokenInvariants(observer.history(namespace), gaps)),
    ...alarms('O3 invariant', plan.compare === 'free' ? [] : orphans(allObjects(session))),
    ...alarms('O3 precondition', deletesWithoutUid(proxy.calls)),
    ...alarms('O5 log', logProblems(session, plan)),
    ...alarms('O6 permission', forbidden(proxy.calls, plan)),
  ];
}

function alarms(oracle: string, says: readonly string[]): readonly Alarm[] {
  const shown = says.length > MAX_SAID ? [...says.slice(0, MAX_SAID), `and ${says.length - MAX_SAID} more`] : says;
  return shown.map((one) => ({ oracle, says: one }));
}

function countsDiffer(wanted: ReadonlyMap<string, number>, got: ReadonlyMap<string, number>): readonly string[] {
  const keys = [...new Set([...wanted.keys(), ...got.keys()])];
  return keys.filter((key) => wanted.get(key) !== got.get(key)).map((key) => `${key}: expected ${wanted.get(key) ?? 0} times, got ${got.get(key) ?? 0}`);
}

/** More requests in a second than an operator that starts needs, or the same refused write again and again without longer pauses. */
function storms(calls: readonly Call[], plan: Plan): readonly string[] {
  const allowed = hasMuchToDo(plan) ? MOST_WITH_MUCH_TO_DO : MOST_PER_SECOND;
  const most = mostWithin(calls.map(({ at }) => at), 1000);
  const refused = Map.groupBy(calls.filter((call) => call.isWrite && call.status >= 400), ({ key, status }) => `${key} (${status})`);
  const restless = [...refused].filter(([, of]) => of.some(({ at, status }, index) => index >= patientAfter(status, plan) && at - (of[index - 3]?.at ?? 0) < PAUSES_MS)).map(([key]) => key);
  return [
    ...(most > allowed ? [`${most} requests within a second, expected at most ${allowed}`] : []),
    ...restless.map((key) => `${key} was refused again and again and is still sent again within a second, expected longer and longer pauses`),
  ];
}

function hasMuchToDo({ row, faults }: Plan): boolean {
  return row === 'stored' || row === 'hostile' || faults.some((fault) => fault.do === 'act' && fault.name === 'fight');
}

function patientAfter(status: number, { workload }: Plan): number {
  return status === 409 || workload === 'namespace' ? PATIENT_AFTER_NEWS : PATIENT_AFTER;
}

/** How many of the times, which are in order, lie within such a span. */
function mostWithin(times: readonly number[], spanMs: number): number {
  let first = 0;
  let most = 0;
  times.forEach((time, index) => {
    while (time - (times[first] ?? time) >= spanMs) first += 1;
    most = Math.max(most, index - first + 1);
  });
  return most;
}

/** A DELETE names the UID of what it means; else a namesake that came meanwhile goes. */
function deletesWithoutUid(calls: readonly Call[]): readonly string[] {
  return calls.filter((call) => call.method === 'DELETE' && !/"preconditions":\{[^}]*"uid":"[^"]+"/.test(call.body)).map(({ key }) => `${key} has no UID as precondition`);
}

// Objects of another run of that name are in the way until they are collected, and a namespace that is being deleted takes nothing.
const IN_THE_WAY = /already exists|is being terminated/;

function logProblems(session: Session, plan: Plan): readonly string[] {
  const { lines, other } = session.operator.log();
  const errors = mayFailRequests(plan) ? [] : lines.filter(({ level, err }) => level === 'error' && !IN_THE_WAY.test(err?.message ?? ''));
  return [
    ...session.operator.deaths.map(({ code, signal }) => `the operator ended by itself with ${signal ?? `exit code ${code}`}: ${other.slice(-3).join(' | ')}`),
    ...other.map((line) => `not a log line: ${line.slice(0, 300)}`),
    ...errors.map(({ msg, err }) => `error in the log: ${msg}: ${err?.message ?? ''}`),
    ...lines.filter(({ err }) => ['TypeError', 'RangeError', 'ReferenceError'].includes(err?.type ?? '')).map(({ msg, err }) => `${msg}: ${err?.stack?.split('\n').slice(0, 3).join('') ?? ''}`),
  ];
}

/** Only a plan that takes permissions away, or an API server that has just begun and has not read its rules yet, may refuse one. */
function forbidden(calls: readonly Call[], plan: Plan): readonly string[] {
  const isMeant = plan.workload === 'namespace' || plan.faults.some((fault) => fault.do === 'apiserver' || fault.do === 'forbid' || (fault.do === 'answer' && fault.code === 403) || (fault.do === 'act' && /permission|namespace/.test(fault.name)));
  return isMeant ? [] : calls.filter(({ status }) => status === 403).map(({ key }) => `${key} was forbidden`);
}

/** When the operator last wrote state, in milliseconds since the epoch. */
export function lastStateWrite(calls: readonly Call[]): number {
  return calls.findLast(isStateWrite)?.at ?? 0;
}
