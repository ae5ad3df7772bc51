// What a trainer has reported by the middle of a long run: 200 curve points, 10 checkpoints, a validation in full.
import type { RunStatus } from '../../operator/src/api/status.ts';

const time = (minutes: number): string => new Date(Date.UTC(2026, 0, 1, 0, minutes)).toISOString().replace('.000', '');

const checkpoint = (index: number): NonNullable<RunStatus['startedFrom']> => ({
  step: 9500 - index * 500, uri: `pvc://runs/bench/polarpretrain/sample-0a1b2c3d/step-${String(9500 - index * 500).padStart(8, '0')}`,
  manifestSha256: index.toString(16).padStart(2, '0').repeat(32), valLoss: (0.41 + index / 1000).toFixed(6), tokens: (9500 - index * 500) * 65_536, completedTime: time(600 - index * 30),
});

const score = (loss: number): object => ({ pairs: 2000, loss: loss.toFixed(6), lossStandardError: '0.012345', accuracy: '0.823500', accuracyLower: '0.806123', accuracyUpper: '0.840321' });

/** The part of a status that ingest writes, about 22 KB of JSON. */
export const reportedStatus = (): RunStatus => {
  const history = Array.from({ length: 10 }, (_, index) => checkpoint(index));
  const curve = Array.from({ length: 200 }, (_, index) => ({
    step: index * 48 + 1, tokens: (index * 48 + 1) * 65_536, trainLoss: (0.69 - index / 800).toFixed(6),
    ...(index % 4 === 0 ? { valLoss: (0.69 - index / 900).toFixed(6), valAccuracy: (0.5 + index / 600).toFixed(6) } : {}),
  }));
  return {
    progress: {
      attempt: 1, seq: 4711, stage: 'Training', step: 9553, totalSteps: 10_000, tokens: 626_065_408, computedTokens: 700_000_000, flops: '1.26e+15', parameters: 300_000, parametersWithoutEmbedding: 250_000,
      trainLoss: '0.412345', trainAccuracy: '0.812500', valLoss: '0.421234', valAccuracy: '0.823500', tokensPerSecond: '65536.5', mfu: '0.3812', dataWaitShare: '0.0012', etaSeconds: 447,
      resumedFromStep: 0, trainSeconds: '9553.2', lostSteps: 0, saveSeconds: '1.25', checkpointEverySeconds: '600', lastReportTime: time(601),
    },
    validation: { step: 9500, seenPolicies: score(0.42), unseenPolicies: score(0.47), styleBaseline: { seenAccuracy: '0.61', unseenAccuracy: '0.58' } },
    checkpoints: { ...(history[0] && { latest: history[0] }), ...(history[3] && { best: history[3] }), history },
    curve,
  };
};
