// A report from a trainer folded into the part of a run's status that ingest owns. Pure.
import type { Checkpoints, Point, Progress as ReportedProgress, ReportRequest, Score, Validation } from '../gen/telemetry_pb.js';
import { listedSteps } from '../api/branchPoints.ts';
import type { BranchPoints } from '../api/branchPoints.ts';
import type { CheckpointRecord, CurvePoint, Progress, RunStatus } from '../api/status.ts';
import { hasValidation, mergeCurve } from './curve.ts';
import { numberChecks } from './numbers.ts';
import type { NumberChecks } from './numbers.ts';

/** What ingest writes, all of it in each write: server-side apply drops what a manager leaves out. */
export type ReportedStatus = Pick<RunStatus, 'progress' | 'validation' | 'checkpoints' | 'curve'>;

export interface MergeContext {
  /** Time of the merge, RFC 3339. */
  readonly now: string;
  /** status.checkpointDirectoryUri; checkpoints are left out while the run has none. */
  readonly checkpointDirectoryUri: string | undefined;
  /** Of spec.checkpoint. */
  readonly branchPoints?: BranchPoints | undefined;
}

export interface Merged {
  readonly status: ReportedStatus;
  /** False when the report is not newer than the status, which is then returned as it was. */
  readonly accepted: boolean;
  /** Fields left out because their value cannot stand in a status: NaN, infinite, negative, too large or malformed. */
  readonly refusedFields: number;
}

/** Checkpoints in status.checkpoints.history beside those that are branch points. */
const MAX_CHECKPOINTS = 10;
const MAX_HISTORY = 74;
/** A checkpoint as a message of the stream or a termination message tells it. */
export interface ReportedCheckpoint {
  readonly step: bigint | number;
  readonly path: string;
  readonly manifestSha256: string;
  readonly valLoss?: number | undefined;
  readonly tokens?: bigint | number | undefined;
  readonly completedAt: string;
}

const STAGES = ['Starting', 'WarmStart', 'Training', 'Done'];
const CHECKPOINT_NAME = /(?:^|\/)(step-[0-9]{8,15})\/?$/;
const SHA256 = /^[0-9a-f]{64}$/;
const RFC3339 = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,9})?(Z|[+-]\d{2}:\d{2})$/;

/** The (attempt, seq) a status holds; 0, 0 before the first report. */
export function positionOf(status: ReportedStatus): { attempt: number; seq: number } {
  return { attempt: status.progress?.attempt ?? 0, seq: status.progress?.seq ?? 0 };
}

/**
 * The status after a report. A report whose (attempt, seq) the status already has changes nothing.
 * The first report of a new attempt supersedes curve points and validation beyond the step it resumed from.
 */
export function mergeReport(status: ReportedStatus, report: ReportRequest, context: MergeContext): Merged {
  const held = positionOf(status);
  const seq = Number(report.seq);
  const newAttempt = report.attempt > held.attempt;
  if (!newAttempt && (report.attempt < held.attempt || seq <= held.seq)) return { status, accepted: false, refusedFields: 0 };
  const checks = numberChecks();
  // A termination message may have begun the attempt without saying where it was resumed.
  const isFirst = newAttempt || status.progress?.resumedFromStep === undefined;
  const resumedFromStep = (isFirst ? checks.whole(report.resumedFromStep) : status.progress?.resumedFromStep) ?? 0;
  const base = isFirst ? supersede(status, resumedFromStep) : status;
  const position: Progress = { attempt: report.attempt, seq, resumedFromStep, source: 'Stream', lastReportTime: context.now };
  return { status: fold(base, report, { checks, context, position }), accepted: true, refusedFields: checks.refused() };
}

interface Folding {
  readonly checks: NumberChecks;
  readonly context: MergeContext;
  readonly position: Progress;
}

function fold(base: ReportedStatus, report: ReportRequest, { checks, context, position }: Folding): ReportedStatus {
  const validation = report.validation === undefined ? base.validation : validationOf(report.validation, checks);
  const checkpoints = report.checkpoints === undefined ? base.checkpoints : checkpointsOf(base.checkpoints, report.checkpoints, checks, context);
  const points = [...validationPoint(validation), ...report.points.flatMap((point) => curvePointOf(point, checks))];
  const curve = mergeCurve(base.curve ?? [], points);
  const last = curve.findLast(hasValidation);
  const progress = present({
    ...base.progress,
    ...(report.progress === undefined ? {} : progressOf(report.progress, checks)),
    valLoss: last?.valLoss, valAccuracy: last?.valAccuracy,
    ...(report.final ? { stage: 'Done', etaSeconds: 0 } : {}),
    ...position,
  });
  return present({ progress, validation, checkpoints, curve });
}

/** What stays of a status when an attempt resumes at that step: what the attempt before did beyond it was in vain. */
export function supersede(status: ReportedStatus, resumedFromStep: number): ReportedStatus {
  const { checkpoints, validation, progress = {} } = status;
  const keepsValidation = validation !== undefined && (validation.step ?? 0) <= resumedFromStep;
  const trained = progress.stage === 'WarmStart' ? 0 : progress.step ?? 0;
  const lostSteps = (progress.lostSteps ?? 0) + Math.max(0, trained - resumedFromStep);
  return present({
    progress: { ...carried(progress), lostSteps },
    checkpoints,
    validation: keepsValidation ? validation : undefined,
    curve: (status.curve ?? []).filter((point) => point.step <= resumedFromStep),
  });
}

/** The fields of an attempt's progress that hold for the next one until it tells better. */
export function carried({ lostSteps, trainSeconds, saveSeconds, checkpointEverySeconds }: Progress): Progress {
  return present({ lostSteps, trainSeconds, saveSeconds, checkpointEverySeconds });
}

function progressOf(from: ReportedProgress, checks: NumberChecks): Progress {
  const rate = checks.rate(from.tokensPerSecond);
  // Before the first step is done no rate is known, and with it no time of arrival.
  const isMeasured = rate !== undefined && rate !== '0';
  return present({
    stage: from.stage === '' ? undefined : STAGES.includes(from.stage) ? from.stage : checks.refuse(),
    step: checks.whole(from.step), totalSteps: given(checks.whole(from.totalSteps)),
    tokens: checks.whole(from.tokens), computedTokens: checks.whole(from.computedTokens), flops: checks.rate(from.flops),
    parameters: given(checks.whole(from.parameters)), parametersWithoutEmbedding: given(checks.whole(from.parametersWithoutEmbedding)),
    trainLoss: checks.loss(from.trainLoss), trainAccuracy: checks.share(from.trainAccuracy),
    mfu: checks.share(from.mfu), dataWaitShare: checks.share(from.dataWaitShare), stragglerRank: checks.whole(from.stragglerRank),
    trainSeconds: checks.seconds(from.trainSeconds), saveSeconds: checks.seconds(from.saveSeconds), checkpointEverySeconds: checks.seconds(from.checkpointEverySeconds),
    ...(isMeasured ? { tokensPerSecond: rate, etaSeconds: checks.whole(from.etaSeconds) } : {}),
  });
}

function curvePointOf(from: Point, checks: NumberChecks): CurvePoint[] {
  const step = checks.whole(from.step);
  if (step === undefined) return [];
  const [tokens, trainLoss] = [checks.whole(from.tokens), checks.loss(from.trainLoss)];
  // The common case, a hundred thousand times a second.
  if (from.valLoss === undefined && from.valAccuracy === undefined) return trainLoss === undefined ? [] : [tokens === undefined ? { step, trainLoss } : { step, tokens, trainLoss }];
  const point = present({ step, tokens, trainLoss, valLoss: checks.loss(from.valLoss), valAccuracy: checks.share(from.valAccuracy) });
  return trainLoss === undefined && !hasValidation(point) ? [] : [point];
}

/** The place of a validation in the curve, for a trainer that did not report it as a point too. */
function validationPoint(validation: ReportedStatus['validation']): CurvePoint[] {
  const { loss, accuracy } = (validation?.seenPolicies ?? {}) as { loss?: string; accuracy?: string };
  if (validation?.step === undefined || loss === undefined) return [];
  return [present({ step: validation.step, valLoss: loss, valAccuracy: accuracy })];
}

function validationOf(from: Validation, checks: NumberChecks): ReportedStatus['validation'] {
  const baseline = present({ seenAccuracy: checks.share(from.baselineSeenAccuracy), unseenAccuracy: checks.share(from.baselineUnseenAccuracy) });
  return present({
    step: checks.whole(from.step),
    seenPolicies: scoreOf(from.seenPolicies, checks),
    unseenPolicies: scoreOf(from.unseenPolicies, checks),
    styleBaseline: Object.keys(baseline).length === 0 ? undefined : baseline,
  });
}

function scoreOf(from: Score | undefined, checks: NumberChecks): Record<string, unknown> | undefined {
  if (from === undefined) return undefined;
  return present({
    pairs: checks.whole(from.pairs), loss: checks.loss(from.loss), lossStandardError: checks.loss(from.lossStandardError),
    accuracy: checks.share(from.accuracy), accuracyLower: checks.share(from.accuracyLower), accuracyUpper: checks.share(from.accuracyUpper),
  });
}

function checkpointsOf(before: ReportedStatus['checkpoints'], from: Checkpoints, checks: NumberChecks, context: MergeContext): ReportedStatus['checkpoints'] {
  const records = from.items.flatMap((item) => checkpointRecordOf(item, checks, context.checkpointDirectoryUri));
  const history = records.toSorted((a, b) => b.step - a.step);
  const bestStep = checks.whole(from.bestStep);
  const best = [...history, before?.best].find((record) => record?.step === bestStep);
  return present({ latest: history[0], best, history: shortened(history, context.branchPoints) });
}

/** What a status shows of all checkpoints, newest first. */
export function shortened(history: readonly CheckpointRecord[], branchPoints: BranchPoints = {}): CheckpointRecord[] {
  const listed = new Set(listedSteps(history, branchPoints));
  return history.filter(({ step }, place) => place < MAX_CHECKPOINTS || listed.has(step)).slice(0, MAX_HISTORY);
}

/** The record of a reported checkpoint. Its URI is made from the run's own directory: a trainer cannot point anywhere else. */
export function checkpointRecordOf(from: ReportedCheckpoint, checks: NumberChecks, directoryUri: string | undefined): CheckpointRecord[] {
  const step = checks.whole(from.step);
  const name = CHECKPOINT_NAME.exec(from.path)?.[1];
  if (step === undefined || directoryUri === undefined) return [];
  if (name === undefined || Number(name.slice('step-'.length)) !== step) return checks.refuse() ?? [];
  return [present({
    step, uri: `${directoryUri.replace(/\/+$/, '')}/${name}`,
    manifestSha256: sha256Of(from.manifestSha256, checks), valLoss: checks.loss(from.valLoss),
    tokens: checks.whole(from.tokens), completedTime: timeOf(from.completedAt, checks),
  })];
}

function sha256Of(text: string, checks: NumberChecks): string | undefined {
  if (text === '') return undefined;
  return SHA256.test(text) ? text : checks.refuse();
}

/** The instant as the API server accepts it for format date-time. */
function timeOf(text: string, checks: NumberChecks): string | undefined {
  if (text === '') return undefined;
  const at = new Date(RFC3339.test(text) ? text : Number.NaN);
  return Number.isNaN(at.getTime()) ? checks.refuse() : at.toISOString();
}

/** Zero stands for "not given" in proto3. */
function given(value: number | undefined): number | undefined {
  return value === 0 ? undefined : value;
}

/** The record without the fields that are undefined. */
export function present<T extends object>(record: T): T {
  return Object.fromEntries(Object.entries(record).filter(([, value]) => value !== undefined)) as T;
}
