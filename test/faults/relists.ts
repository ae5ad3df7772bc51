// A long life in a minute and a half: every watch of one operator is ended again and again, and what the process holds is compared (O5).
import { setTimeout as sleep } from 'node:timers/promises';
import type { Holdings } from './operatorProcess.ts';
import type { Session } from './session.ts';
import { statusBody } from './statusBody.ts';

export const GONE = JSON.stringify({ type: 'ERROR', object: JSON.parse(statusBody(410, 'Expired')) as object });

// Longer than the longest pause between two tries: the operator takes the watch for one that had been well.
const WELL_MS = 11_000;
const BACK_WITHIN_MS = 20_000;
// A heap that is left to itself grows and shrinks by about so much.
const RSS_GROWTH_MIB = 40;
const FILES_GROWTH = 6;

/** Ends every watch so often. Throws when what the process holds after a quarter of them has grown much at the end. */
export async function relists(session: Session, times: number): Promise<void> {
  const { proxy, operator } = session;
  const count = proxy.watches.length;
  let early: Holdings | undefined;
  for (let round = 1; round <= times; round++) {
    operator.jump(WELL_MS);
    await sleep(20);
    const before = proxy.calls.length;
    endAll(session, round % 2 === 0);
    await untilWatchedAgain(session, before, count);
    if (round === Math.round(times / 4)) early = operator.holdings();
  }
  compare(early, operator.holdings(), times);
}

function endAll({ proxy }: Session, asExpired: boolean): void {
  for (const watch of proxy.watches) {
    if (asExpired) watch.inject(GONE);
    if (asExpired) watch.end();
    else watch.cut();
  }
}

async function untilWatchedAgain({ proxy }: Session, before: number, count: number): Promise<void> {
  const deadline = Date.now() + BACK_WITHIN_MS;
  while (proxy.calls.slice(before).filter(({ isWatch, status }) => isWatch && status === 200).length < count) {
    if (Date.now() > deadline) throw new Error(`${proxy.watches.length} watches ${BACK_WITHIN_MS / 1000} s after all had ended, expected ${count}`);
    await sleep(10);
  }
}

function compare(early: Holdings | undefined, late: Holdings | undefined, times: number): void {
  if (early === undefined || late === undefined) throw new Error('the operator did not run');
  const [from, to] = [`${early.rssMiB.toFixed(0)} MiB and ${early.files} files`, `${late.rssMiB.toFixed(0)} MiB and ${late.files} files`];
  if (late.rssMiB - early.rssMiB > RSS_GROWTH_MIB || late.files - early.files > FILES_GROWTH) throw new Error(`the operator held ${from} after ${Math.round(times / 4)} ends of all its watches, and ${to} after ${times}`);
  process.stdout.write(`      held ${from} after ${Math.round(times / 4)} ends of all watches, ${to} after ${times}\n`);
}
