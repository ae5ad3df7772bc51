// Runs whose trainers report (rows 21, 22 and 28): honestly, and with every lie a broken or hostile trainer might tell. What an honest run ends in
// is what most lies must end in too.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pod } from '../../operator/src/run/objects.ts';
import type { End } from './kubelet.ts';
import { report, tryReport, voiceOf } from './reporter.ts';
import type { Message, Voice } from './reporter.ts';
import type { Workload } from './workloads.ts';
import type { StoredRun, World } from './world.ts';

const STEPS = 6;
const done: End = { code: 0, message: JSON.stringify({ message: 'trained 500 steps', reason: 'Completed' }) };

const checkpoint = (step: number, more: object = {}): object => ({ step: BigInt(step), path: `step-${step}`, manifestSha256: 'b'.repeat(64), tokens: BigInt(step * 100), completedAt: '2026-01-01T00:00:00Z', ...more });

/** What attempt 1 says at a step; points, progress and now and then a checkpoint. */
function said(uid: string, step: number, more: object = {}): Message {
  const progress = { stage: 'Training', step: BigInt(step), totalSteps: 500n, tokens: BigInt(step * 100), trainLoss: 1 / step, tokensPerSecond: 100, etaSeconds: 10n, trainSeconds: step };
  const checkpoints = step % 3 === 0 ? { checkpoints: { items: [checkpoint(step)], bestStep: BigInt(step) } } : {};
  return { runUid: uid, attempt: 1, seq: BigInt(step), points: [{ step: BigInt(step), tokens: BigInt(step * 100), trainLoss: 1 / step }], progress, ...checkpoints, ...more };
}

const honest = (uid: string): Message[] => Array.from({ length: STEPS }, (_, index) => said(uid, index + 1));

type Lie = (voice: Voice, run: StoredRun, world: World) => Promise<void>;

/** Two workers run; rank 0 says what the lie says; then both end well. */
function telling(name: string, lie: Lie): Workload {
  let release: () => void = () => undefined;
  const finished = new Map<string, Promise<void>>();
  return {
    name,
    reports: true,
    script: ({ world }) => (finished.get(world) ?? new Promise<void>(() => undefined)).then(() => done),
    run: async (world: World): Promise<void> => {
      finished.set(world.namespace, new Promise((resolve) => {
        release = resolve;
      }));
      const letGo = release;
      await world.claims();
      const run = await world.pretrain('demo');
      await world.mark('created', Number(run.metadata.resourceVersion));
      await world.untilRunning(1);
      await world.mark('running');
      await lie(await voiceOf(world, rankZero(world)), run, world);
      await world.mark('reported');
      letGo();
      await world.untilTrue('demo', 'Complete');
      await world.mark('complete');
    },
  };
}

function rankZero(world: World): Pod {
  const pod = world.pods().find(({ metadata }) => metadata.labels?.['batch.kubernetes.io/job-completion-index'] === '0');
  if (pod === undefined) throw new Error('no pod of rank 0');
  return pod;
}

function expectRefused(outcome: string): void {
  if (outcome === 'no refusal') throw new Error('a report about another run or attempt was taken in');
}

const uidOf = ({ metadata }: StoredRun): string => metadata.uid;

const LIES: Readonly<Record<string, Lie>> = {
  'honest': (voice, run) => report(voice, honest(uidOf(run))),
  'twice': async (voice, run) => {
    await report(voice, honest(uidOf(run)).flatMap((message) => [message, message]));
    await report(voice, honest(uidOf(run)));
  },
  'late-echo': async (voice, run) => {
    await report(voice, honest(uidOf(run)));
    await tryReport(voice, honest(uidOf(run)).slice(0, 2));
  },
  'reordered': (voice, run) => report(voice, [...honest(uidOf(run))].sort((a, b) => (Number(a.seq) % 3) - (Number(b.seq) % 3)).concat(honest(uidOf(run)).slice(-1))),
  'lost': (voice, run) => report(voice, honest(uidOf(run)).filter(({ seq }) => seq !== 2n && seq !== 4n)),
  'another-attempt': async (voice, run) => {
    for (const attempt of [0, 2, 99, -1]) expectRefused(await tryReport(voice, [said(uidOf(run), 9, { attempt })]));
    await report(voice, honest(uidOf(run)));
  },
  'another-run': async (voice, run) => {
    for (const runUid of ['', 'demo', '00000000-0000-0000-0000-000000000000']) expectRefused(await tryReport(voice, [said(uidOf(run), 9, { runUid })]));
    await report(voice, honest(uidOf(run)));
  },
  'no-numbers': async (voice, run) => {
    const bad = [NaN, Infinity, -Infinity, 1e308, -1].map((trainLoss, index) => said(uidOf(run), index + 1, {
      points: [{ step: BigInt(index + 1), tokens: 1n, trainLoss, valLoss: trainLoss, valAccuracy: trainLoss }], progress: { stage: 'Training', step: BigInt(index + 1), totalSteps: 500n, trainLoss, tokensPerSecond: trainLoss, mfu: trainLoss, flops: trainLoss },
      validation: { step: 1n, seenPolicies: { pairs: 1n, loss: trainLoss, accuracy: trainLoss } },
    }));
    await report(voice, [...bad, ...honest(uidOf(run)).slice(5)]);
  },
  'step-back': async (voice, run) => {
    const steps = [1, 2, 5, 3, 2, 6];
    await report(voice, steps.map((step, index) => ({ ...said(uidOf(run), step), seq: BigInt(index + 1) })));
  },
  'huge-numbers': async (voice, run) => {
    const most = 2n ** 63n - 1n;
    const extreme = [most, -most, 2n ** 53n + 1n, -1n].map((value, index) => said(uidOf(run), index + 1, {
      points: [{ step: value, tokens: value }], progress: { stage: 'x'.repeat(10_000), step: value, totalSteps: value, tokens: value, etaSeconds: value, parameters: value },
      resumedFromStep: value, checkpoints: { items: [checkpoint(1, { step: value, tokens: value })], bestStep: value },
    }));
    for (const message of extreme) await tryReport(voice, [message]);
    await report(voice, honest(uidOf(run)).map((message) => ({ ...message, seq: BigInt(Number(message.seq) + 10) })));
  },
  'flood': async (voice, run) => {
    const many = Array.from({ length: 1000 }, (_, index) => said(uidOf(run), index + 1));
    await report(voice, [...many, { ...said(uidOf(run), 1001) }]);
  },
  'silent': async (voice) => {
    await tryReport(voice, []);
  },
  'claims': async (voice, run) => {
    const items = [
      checkpoint(3, { path: '../../../etc/passwd' }), checkpoint(4, { path: '/absolute' }), checkpoint(5, { path: '' }), checkpoint(10 ** 9), checkpoint(0), checkpoint(6, { manifestSha256: 'not hexadecimal' }),
      checkpoint(7, { completedAt: 'yesterday' }), checkpoint(8, { valLoss: NaN }), checkpoint(8), checkpoint(8), checkpoint(9, { path: 'other-run/step-9' }), checkpoint(10, { path: `${'x'.repeat(5000)}` }),
    ];
    for (const [index, item] of items.entries()) await tryReport(voice, [said(uidOf(run), index + 1, { checkpoints: { items: [item], bestStep: BigInt(10 ** 12) } })]);
    await report(voice, [said(uidOf(run), items.length + 1)]);
  },
  'many-claims': async (voice, run) => {
    const items = Array.from({ length: 2000 }, (_, index) => checkpoint(index + 1));
    await report(voice, [said(uidOf(run), 1, { checkpoints: { items, bestStep: 1n } }), ...honest(uidOf(run)).slice(1)]);
  },
  /** Row 28: a million points in messages of a thousand. */
  'growth': async (voice, run) => {
    const count = Number(process.env['POINTS'] ?? 1_000_000);
    for (let from = 0; from < count; from += 20_000) {
      const messages = Array.from({ length: Math.min(20, (count - from) / 1000) }, (_, block) => {
        const first = from + block * 1000;
        const points = Array.from({ length: 1000 }, (_point, index) => ({ step: BigInt(first + index + 1), tokens: BigInt(first + index), trainLoss: Math.sin(first + index) }));
        return { runUid: uidOf(run), attempt: 1, seq: BigInt(first / 1000 + 1), points, progress: { stage: 'Training', step: BigInt(first + 1000), totalSteps: BigInt(count) } };
      });
      await report(voice, messages);
    }
    await sleep(200);
  },
};

export const TELLING: readonly Workload[] = Object.entries(LIES).map(([name, lie]) => telling(name === 'honest' ? 'telling' : `lie-${name}`, lie));

/** Lies after which everything must be as with an honest trainer. */
export const HARMLESS = new Set(['twice', 'late-echo', 'another-attempt', 'another-run']);
