// A sweep on its way: what it does is printed until it is over.
import { setTimeout as sleep } from 'node:timers/promises';
import type { SweepStatus } from '../../operator/src/api/sweepStatus.ts';
import type { PointRecord } from '../../operator/src/sweep/point.ts';
import type { Cluster } from './cluster.ts';
import { read } from './cluster.ts';

const POLL_MS = 2000;
const QUIET_MS = 60_000;
const UNANSWERED_MS = 120_000;

/** What `kubectl polar sweep -o json` says. */
export interface SweepReport {
  readonly phase?: string;
  readonly points: NonNullable<SweepStatus['points']>;
  readonly spent: NonNullable<SweepStatus['spent']>;
  readonly fits: NonNullable<SweepStatus['fits']>;
  readonly prediction: NonNullable<SweepStatus['prediction']>;
  readonly failures: NonNullable<SweepStatus['failures']>;
  readonly records: readonly (Partial<PointRecord> & Pick<PointRecord, 'id' | 'point'>)[];
}

interface SweepObject { readonly status?: SweepStatus }

type Tell = (text: string) => void;

/** Follows a sweep to its end. Throws with the condition's message when it fails, stalls or `minutes` pass. */
export const follow = async (cluster: Cluster, name: string, limits: { readonly minutes: number; readonly tell: Tell }): Promise<SweepReport> => {
  const from = Date.now();
  for (let shown = { line: '', at: 0 }; ;) {
    const status = await statusOf(cluster, name);
    const line = lineOf(status);
    if (line !== shown.line || Date.now() - shown.at > QUIET_MS) {
      limits.tell(`${name}: ${line}`);
      shown = { line, at: Date.now() };
    }
    if (isOver(name, status)) return JSON.parse(await cluster.polar('sweep', name, '-o', 'json')) as SweepReport;
    if (Date.now() - from > limits.minutes * 60_000) throw new Error(`sweep ${name}: not Complete after ${limits.minutes} minutes; it was: ${line}`);
    await sleep(POLL_MS);
  }
};

/** A busy API server may not answer for a while. */
const statusOf = async (cluster: Cluster, name: string): Promise<SweepStatus> => {
  for (const from = Date.now(); ;) {
    try {
      return (await read<SweepObject>(cluster, 'polarsweep', name)).status ?? {};
    } catch (error) {
      if (Date.now() - from > UNANSWERED_MS) throw error;
      await sleep(POLL_MS);
    }
  }
};

const isOver = (name: string, { conditions = [] }: SweepStatus): boolean => {
  const bad = conditions.find(({ type, status }) => type === 'Failed' && status === 'True') ?? conditions.find(({ type, status }) => type === 'Accepted' && status === 'False');
  if (bad !== undefined) throw new Error(`sweep ${name}: ${bad.type}=${bad.status} ${bad.reason}: ${bad.message}`);
  return conditions.some(({ type, status }) => type === 'Complete' && status === 'True');
};

const lineOf = ({ phase, points, summary }: SweepStatus): string => {
  const { total, running, succeeded, failed, stopped } = { total: 0, running: 0, succeeded: 0, failed: 0, stopped: 0, ...points };
  const law = summary?.exponent === undefined ? '' : `, exponent ${summary.exponent}, R2 ${summary.r2 ?? '-'}`;
  return `${phase ?? 'no phase yet'}, ${succeeded} of ${total} points done, ${running} running, ${failed} failed, ${stopped} stopped${law}`;
};
