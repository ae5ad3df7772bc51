// An API server with runs that have a worker 0 and its token, for bench/operator/telemetry.ts.
import { setUp as setUpIngest } from '../../test/integration/ingestWorld.ts';
import type { SetUp } from '../../test/integration/ingestWorld.ts';
import type { Member } from './telemetryClient.ts';

export interface BenchWorld {
  readonly set: SetUp;
  readonly kubeconfigPath: string;
  readonly tearDown: () => Promise<void>;
}

export async function setUp(): Promise<BenchWorld> {
  const set = await setUpIngest();
  return { set, kubeconfigPath: set.cluster.kubeconfigPath, tearDown: () => set.tearDown() };
}

/** A run whose first attempt has begun. */
export async function aRunNamed({ set }: BenchWorld, name: string): Promise<Member> {
  const { run, token } = await set.world.training(name, 3600 * 4);
  return { runUid: run.metadata.uid, token, sentBefore: 0 };
}
