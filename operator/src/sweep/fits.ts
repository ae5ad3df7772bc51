// The laws of a sweep: computed in a thread of its own when the set of ended points, or what is asked of them, changes.
import { createHash } from 'node:crypto';
import { Worker } from 'node:worker_threads';
import type { SweepStatus } from '../api/sweepStatus.ts';
import type { Log } from '../runtime/log.ts';
import { designLaw } from './planned.ts';
import { NO_FIT } from './fitView.ts';
import type { FitView } from './fitView.ts';
import { observationOf } from './observations.ts';
import type { Answer, Laws, LawsRequest } from './laws.ts';
import { pointRecords } from './records.ts';
import type { Situation } from './situation.ts';

export interface FitterOptions {
  readonly log: Log;
  /** Called with the key of a sweep of which something new is known. */
  readonly onDone: (key: string) => void;
  readonly signal: AbortSignal;
}

/** What is known of the laws of a sweep now; when a fit is under way, the key is looked at again once it is done. */
export type FitOf = (key: string, s: Situation) => FitView;

/** Raised when the same points would be fitted otherwise than before. */
const VERSION = 2;
const MEMORY_MB = 512;

interface Job {
  readonly hash: string;
  readonly request: LawsRequest;
}

interface Known {
  /** Of the last job that was begun. */
  hash: string;
  answer: Answer;
  error?: string;
  isRunning: boolean;
}

/** One fit at a time: a sweep whose points end while it waits is fitted once, as it is then. */
export function fitter(options: FitterOptions): FitOf {
  const known = new Map<string, Known>();
  const waiting = new Map<string, Job>();
  let isBusy = false;
  const next = (): void => {
    const first = waiting.entries().next();
    if (isBusy || first.done === true || options.signal.aborted) return;
    const [key, job] = first.value;
    waiting.delete(key);
    isBusy = true;
    const entry: Known = { hash: job.hash, answer: {}, isRunning: true };
    known.set(key, entry);
    const told = (answer: Answer): void => {
      entry.answer = { ...entry.answer, ...answer };
      options.onDone(key);
    };
    void compute(job.request, options.signal, told).then((error) => {
      if (error !== undefined) {
        options.log.error({ key, err: error }, 'laws could not be computed');
        entry.error = error.message;
      }
      entry.isRunning = false;
      isBusy = false;
      options.onDone(key);
      next();
    });
  };
  return (key, s) => {
    const request = requestOf(s);
    if (!request.records.some((record) => observationOf(record, request.fit) !== undefined)) return NO_FIT;
    const hash = hashOf(request);
    const entry = known.get(key);
    if (entry?.hash !== hash && needsFit(s, hash)) {
      waiting.set(key, { hash, request });
      next();
    }
    return viewOf(s, hash, known.get(key));
  };
}

/** What status shows is not computed again by the operator that comes after this one, unless it is needed to plan. */
function needsFit({ seen: { sweep: { status } }, spec }: Situation, hash: string): boolean {
  return status.fittedRecords !== hash || spec.strategy === 'planned';
}

function viewOf({ seen: { sweep: { status } }, spec }: Situation, hash: string, entry: Known | undefined): FitView {
  const current = entry?.hash === hash ? entry : undefined;
  return { ...lawsView(status, hash, current), design: spec.strategy === 'grid' || current?.error !== undefined ? 'none' : current?.answer.design ?? 'pending' };
}

function lawsView(status: SweepStatus, hash: string, current: Known | undefined): Omit<FitView, 'design'> {
  if (current?.error !== undefined) return { state: 'FitFailed', message: current.error, fields: storedFields(status) };
  if (current?.answer.laws !== undefined) return fittedView(current.answer.laws, hash);
  if (status.fittedRecords !== hash) return { state: 'FitPending', message: 'the laws are being computed', fields: storedFields(status) };
  return { ...storedVerdict(status), fields: storedFields(status) };
}

function storedVerdict({ conditions = [] }: SweepStatus): Pick<FitView, 'state' | 'message'> {
  const before = conditions.find(({ type }) => type === 'Fitted');
  return { state: before?.reason === 'TooFewPoints' ? 'TooFewPoints' : 'Fitted', message: before?.message ?? '' };
}

/** What status says of the laws now. */
export function storedFields({ fits, prediction, optima, hyperLaws, summary, fittedRecords }: SweepStatus): FitView['fields'] {
  return Object.fromEntries(Object.entries({ fits, prediction, optima, hyperLaws, summary, fittedRecords }).filter(([, value]) => value !== undefined));
}

function fittedView({ fields, missing }: Laws, hash: string): Omit<FitView, 'design'> {
  const { fits = [] } = fields;
  const lacking = missing.length === 0 ? '' : `not fitted: ${missing.join('; ')}`;
  if (fits.length === 0) return { state: 'TooFewPoints', message: lacking, fields: { ...fields, fittedRecords: hash } };
  const doubts = fits.reduce((sum, { warnings = [] }) => sum + warnings.length, 0);
  const parts = [`${fits.length} laws fitted`, ...(doubts === 0 ? [] : [`${doubts} warnings in status.fits`]), ...(lacking === '' ? [] : [lacking])];
  return { state: 'Fitted', message: parts.join('; '), fields: { ...fields, fittedRecords: hash } };
}

/** Points in an order of their own: which ended first must not change a digit. */
function requestOf(s: Situation): LawsRequest {
  const ids = new Set(s.seen.grid.map(({ id }) => id));
  const records = pointRecords(s.records).filter(({ id, outcome }) => ids.has(id) && outcome === 'Succeeded').sort((a, b) => (a.id < b.id ? -1 : 1));
  const design = s.spec.strategy === 'planned' ? { design: designLaw(s) } : {};
  return { records, fit: s.spec.fit, targets: s.spec.targets ?? [], ...design };
}

function hashOf({ records, fit, targets, design }: LawsRequest): string {
  const told = records.map(({ id, parameters, parametersWithoutEmbedding, tokens, flops, valLoss, unseenLoss, curve }) => [id, parameters, parametersWithoutEmbedding, tokens, flops, valLoss ?? null, unseenLoss ?? null, curve]);
  return createHash('sha256').update(JSON.stringify([VERSION, told, fit, targets, design ?? null])).digest('hex').slice(0, 32);
}

/** Undefined once everything was told; an error when the thread failed. */
function compute(request: LawsRequest, signal: AbortSignal, told: (answer: Answer) => void): Promise<Error | undefined> {
  return new Promise((resolve) => {
    const thread = new Worker(new URL('./fitWorker.ts', import.meta.url), { workerData: request, resourceLimits: { maxOldGenerationSizeMb: MEMORY_MB } });
    const end = (): void => void thread.terminate();
    signal.addEventListener('abort', end, { once: true });
    let failure: Error | undefined;
    thread.on('message', told);
    thread.on('error', (error) => { failure = error instanceof Error ? error : new Error(String(error)); });
    thread.on('exit', () => {
      signal.removeEventListener('abort', end);
      resolve(failure);
    });
  });
}
