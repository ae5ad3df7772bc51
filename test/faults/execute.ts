// Runs one plan and says what was alarming about it.
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultCluster } from './cluster.ts';
import { Injector } from './inject.ts';
import type { Observer } from './observer.ts';
import { endDiffers, judge, lastStateWrite } from './oracles.ts';
import type { Alarm, Reference } from './oracles.ts';
import type { Plan } from './plan.ts';
import { Session } from './session.ts';
import { workload } from './workloads.ts';

export interface Outcome {
  readonly plan: Plan;
  readonly alarms: readonly Alarm[];
  /** How many of its faults came to pass. */
  readonly fired: number;
  readonly seconds: number;
}

export interface Stage {
  readonly cluster: FaultCluster;
  readonly observer: Observer;
  readonly source?: string | undefined;
}

/** No state write for so long is rest. */
export const REST_MS = 1000;
const WITHIN_S = 25;

/** Runs the plan. Never throws: what goes wrong is an alarm. */
export async function execute(stage: Stage, plan: Plan, reference: Reference | undefined, look?: (session: Session) => void): Promise<Outcome> {
  const began = performance.now();
  const { alarms, fired } = await attempt(stage, plan, reference, look);
  return { plan, alarms, fired, seconds: (performance.now() - began) / 1000 };
}

 
async function attempt(stage: Stage, plan: Plan, reference: Reference | undefined, look?: (session: Session) => void): Promise<Pick<Outcome, 'alarms' | 'fired'>> {
  let session: Session | undefined;
  try {
    const chosen = workload(plan.workload);
    session = await Session.open({ ...stage, workload: chosen, plan });
    const injector = new Injector(plan, session);
    const alarms = [...(await live(session, injector, reference))];
    look?.(session);
    const code = await session.close();
    if (code !== 0 && code !== null) alarms.push({ oracle: 'O5 exit', says: `exit code ${code} on SIGTERM` });
    alarms.push(...judge(session, plan, reference));
    if (alarms.length > 0) session.keepLog(plan.id);
    session.forget();
    return { alarms, fired: injector.fired };
  } catch (error) {
    await session?.close().catch(() => undefined);
    return { alarms: [{ oracle: 'harness', says: error instanceof Error ? (error.stack ?? error.message) : String(error) }], fired: 0 };
  }
}

/** The workload with its faults, and then rest. */
async function live(session: Session, injector: Injector, reference: Reference | undefined): Promise<readonly Alarm[]> {
  await session.startOperator();
  await session.untilWatching();
  session.world.onMark = async (name, revision) => {
    session.noteMark(name, revision);
    await injector.mark(name);
  };
  try {
    await workload(injector.plan.workload).run(session.world);
  } catch (error) {
    return [{ oracle: 'O4 progress', says: `${error instanceof Error ? error.message : String(error)}; ${standing(session)}` }];
  }
  await injector.over();
  injector.disarm();
  return settle(session, injector.plan, reference);
}

/** ESR: within a time of the last fault the state is right, and stays so without any write. */
async function settle(session: Session, plan: Plan, reference: Reference | undefined): Promise<readonly Alarm[]> {
  const since = Date.now();
  const deadline = since + (plan.within ?? WITHIN_S) * 1000;
  for (;;) {
    const wrong = endDiffers(session, plan, reference);
    const isAtRest = Date.now() - Math.max(since, lastStateWrite(session.proxy.calls)) >= REST_MS;
    if (wrong.length === 0 && isAtRest) return [];
    if (Date.now() > deadline) {
      const restless = isAtRest ? [] : [{ oracle: 'O4 rest', says: `still writes ${plan.within ?? WITHIN_S} s after the last fault; last ${session.proxy.calls.findLast((call) => call.isWrite)?.key ?? ''}` }];
      return [...restless, ...wrong.slice(0, 8).map((says) => ({ oracle: 'O1 end', says }))];
    }
    await sleep(100);
  }
}

function standing({ world }: Session): string {
  const run = world.run('demo');
  const conditions = (run?.status?.conditions ?? []).map(({ type, status, reason, message }) => `${type}=${status} ${reason} (${message.slice(0, 120)})`);
  return `demo is ${run === undefined ? 'absent' : (run.status?.phase ?? 'without status')} at attempt ${run?.status?.attempt ?? 0}: ${conditions.join('; ')}`;
}
