// Values nobody meant to be there, drawn by fast-check: what ended pods say, and how they say they ended.
import * as fc from 'fast-check';
import { setTimeout as sleep } from 'node:timers/promises';
import { isTrue } from '../../operator/src/run/objects.ts';
import type { End } from './kubelet.ts';
import type { Workload } from './workloads.ts';
import type { World } from './world.ts';

const RUNS = 12;
const LONGEST = 4096;

const odd = fc.oneof(fc.constant(null), fc.integer(), fc.double(), fc.boolean(), fc.string({ unit: 'binary' }), fc.constant({}), fc.constant([]), fc.constant(-1), fc.constant(1e308), fc.constant('__proto__'));
const fields = ['message', 'reason', 'latest', 'latest.step', 'step', 'checkpoints', 'progress', 'rows', '__proto__', 'constructor'];
const like = fc.dictionary(fc.constantFrom(...fields), fc.oneof(odd, fc.record({ step: odd, path: odd, manifest_sha256: odd, uri: odd })), { maxKeys: 6 });
const text = fc.oneof(
  like.map((value) => JSON.stringify(value)), fc.json(), fc.string({ unit: 'grapheme', maxLength: 500 }), fc.string({ unit: 'binary', maxLength: 500 }),
  fc.constant('{"message":'), fc.constant('x'.repeat(LONGEST)), fc.constant(`{"message":"${'\\u0000'.repeat(300)}"}`), fc.constant('\u001b[31mred\n{"level":"error"}'), fc.constant(`${'['.repeat(2000)}${']'.repeat(2000)}`),
);
const code = fc.oneof(fc.constantFrom(0, 1, 10, 11, 12, 14, 15, 16, 17, 137, 143, 255), fc.integer({ min: 1, max: 2 ** 31 - 1 }));
const ends: fc.Arbitrary<End> = fc.record({ code, message: text.map((value) => value.slice(0, LONGEST)) });

const done: End = { code: 0, message: '{}' };

/** Runs that end in drawn ways: each must come to an end of its own, whatever was said. */
export function hostileWorkload(seed: number): Workload {
  const drawn = fc.sample(ends, { seed, numRuns: RUNS });
  return {
    name: `hostile-${seed}`,
    reports: true,
    script: ({ run, attempt }) => sleep(100, attempt === 1 ? (drawn[Number(run.replace('demo', ''))] ?? done) : done),
    run: async (world: World): Promise<void> => {
      await world.claims();
      const names = drawn.map((_, index) => `demo${index}`);
      for (const name of names) await world.pretrain(name, { workers: { replicas: 1 }, recovery: { maxRestarts: 1 } });
      for (const [index, name] of names.entries()) {
        await world.untilRun(name, `${name} ends after ${JSON.stringify(drawn[index]).slice(0, 200)}`, ({ status }) => isTrue(status?.conditions, 'Complete') !== undefined || isTrue(status?.conditions, 'Failed') !== undefined);
      }
    },
  };
}

export const HOSTILE: readonly Workload[] = [1, 2, 3].map(hostileWorkload);
