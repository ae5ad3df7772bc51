// What a trainer left in its termination message, folded into the status: the way home when the stream was not there. Pure.
import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { CheckpointRecord, CurvePoint, Progress } from '../api/status.ts';
import { hasValidation, mergeCurve } from './curve.ts';
import { carried, checkpointRecordOf, positionOf, present, shortened, supersede } from './merge.ts';
import type { MergeContext, ReportedStatus } from './merge.ts';
import { numberChecks } from './numbers.ts';
import type { NumberChecks } from './numbers.ts';

const number = z.union([z.number(), z.string().max(32).transform(Number)]).optional().catch(undefined);
const point = z.object({ step: number, tokens: number, trainLoss: number, valLoss: number, valAccuracy: number });
const checkpoint = z.object({ step: number, path: z.string().max(1024), manifestSha256: z.string().max(64).default(''), valLoss: number, tokens: number })
  .optional().catch(undefined);

const terminationMessage = z.object({
  reason: z.string().max(64), attempt: z.int().min(1), exitCode: z.int().optional(),
  step: number, resumedFromStep: number, totalSteps: number, tokens: number, trainLoss: number, valLoss: number, valAccuracy: number,
  latest: checkpoint, best: checkpoint,
  tail: z.array(point.catch({})).max(40).default([]).catch([]),
});

export type Termination = z.infer<typeof terminationMessage>;

/** The termination message of worker 0, or undefined when the text is not one (the trainer died before it could write it). */
export function parseTermination(text: string): Termination | undefined {
  try {
    return terminationMessage.safeParse(JSON.parse(text)).data;
  } catch {
    return undefined;
  }
}

/**
 * The status after a worker's last words, or the same status object when they add nothing: a second look, an older
 * attempt, or a stream that had already told. `seq` stays, so that a late message of the stream still counts.
 */
export function mergeTermination(status: ReportedStatus, from: Termination, context: MergeContext): ReportedStatus {
  const held = positionOf(status);
  if (from.attempt < held.attempt) return status;
  const checks = numberChecks();
  const base = from.attempt > held.attempt ? begun(status, from.attempt, checks.whole(from.resumedFromStep)) : status;
  const told = [...from.tail, lastPoint(from)].flatMap((item) => curvePointOf(item, checks));
  const curve = base === status ? mergeCurve(told, base.curve ?? []) : mergeCurve(base.curve ?? [], told);
  const last = curve.findLast(hasValidation);
  const before = base.progress ?? {};
  const progress = present({ ...before, ...finalProgress(before, from, checks), valLoss: last?.valLoss, valAccuracy: last?.valAccuracy });
  const next = present({ ...base, progress, curve, checkpoints: checkpointsOf(base, from, checks, context) });
  return isDeepStrictEqual(next, status) ? status : { ...next, progress: { ...progress, source: 'LastWords', lastReportTime: context.now } };
}

/** The status at the beginning of an attempt that never reported. Unless it says where it resumed, the next report that does still finds the step reached before. */
function begun(status: ReportedStatus, attempt: number, resumedFromStep: number | undefined): ReportedStatus {
  if (resumedFromStep === undefined) {
    const { step, stage } = status.progress ?? {};
    return { ...status, progress: present({ ...carried(status.progress ?? {}), step, stage, attempt, seq: 0 }) };
  }
  const base = supersede(status, resumedFromStep);
  return { ...base, progress: { ...base.progress, attempt, seq: 0, resumedFromStep } };
}

function finalProgress(before: Progress, from: Termination, checks: NumberChecks): Progress {
  const step = checks.whole(from.step);
  const behind = before.stage === undefined || before.stage === 'WarmStart' || (before.step ?? 0) <= (step ?? 0);
  if (step === undefined || !behind) return {};
  const done = from.exitCode === 0 ? { stage: 'Done', etaSeconds: 0 } : {};
  return present({ step, totalSteps: checks.whole(from.totalSteps), tokens: checks.whole(from.tokens), trainLoss: checks.loss(from.trainLoss), ...done });
}

function lastPoint(from: Termination): Termination['tail'][number] {
  return { step: from.step, tokens: from.tokens, trainLoss: from.trainLoss };
}

function curvePointOf(from: Termination['tail'][number], checks: NumberChecks): CurvePoint[] {
  const step = checks.whole(from.step);
  if (step === undefined) return [];
  const made = present({
    step, tokens: checks.whole(from.tokens),
    trainLoss: checks.loss(from.trainLoss), valLoss: checks.loss(from.valLoss), valAccuracy: checks.share(from.valAccuracy),
  });
  return made.trainLoss === undefined && !hasValidation(made) ? [] : [made];
}

function checkpointsOf(status: ReportedStatus, from: Termination, checks: NumberChecks, context: MergeContext): ReportedStatus['checkpoints'] {
  const known = status.checkpoints?.history ?? [];
  const found = [from.latest, from.best].flatMap((item): CheckpointRecord[] => {
    if (item?.step === undefined) return [];
    const same = known.find((record) => record.step === item.step);
    return same === undefined ? checkpointRecordOf({ ...item, step: item.step, completedAt: '' }, checks, context.checkpointDirectoryUri) : [same];
  });
  if (found.length === 0) return status.checkpoints;
  const history = [...new Map([...known, ...found].map((record) => [record.step, record])).values()].toSorted((a, b) => b.step - a.step);
  const best = found.find((record) => record.step === from.best?.step) ?? status.checkpoints?.best;
  return present({ latest: history[0], best, history: shortened(history, context.branchPoints) });
}
