// Workers that take keys from a queue and give them to a reconciler; one switch decides what happens to a key afterwards.
import { randomUUID } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { isConflict } from './apiError.ts';
import { sleep } from './clock.ts';
import type { Log } from './log.ts';
import { activeWorkers, maxConcurrentReconciles, reconcileErrors, reconcilePanics, reconcileSeconds, reconcileTimeouts, reconcileTotal, terminalReconcileErrors } from './metrics.ts';
import { splitKey } from './object.ts';
import type { WorkQueue } from './queue.ts';
import { attributesOf, inSpan } from './tracing.ts';

export interface Result {
  /** Look at the key again after this long; nothing is scheduled when absent. */
  readonly requeueAfterMs?: number | undefined;
}

/** An error that no retry can heal; the key waits for its next change. */
export class TerminalError extends Error {
  override readonly name = 'TerminalError';
}

export interface ReconcileContext {
  readonly log: Log;
  readonly signal: AbortSignal;
}

export type Reconcile = (key: string, context: ReconcileContext) => Promise<Result>;

export interface Cache {
  readonly hasSynced: boolean;
  readonly resource: { readonly plural: string };
}

export interface ControllerOptions {
  readonly name: string;
  readonly queue: WorkQueue;
  readonly reconcile: Reconcile;
  readonly workers: number;
  /** All must hold a full list before the first reconcile: absence is a fact only then. */
  readonly caches: readonly Cache[];
  readonly log: Log;
  /** What log lines and the span of a reconcile say of its object besides namespace and name. */
  readonly fieldsOf?: (key: string) => Record<string, unknown>;
  readonly syncTimeoutMs?: number;
}

const LATE_MS = 120_000;
const SYNC_MS = 600_000;
const RESULTS = ['success', 'error', 'requeue', 'requeue_after'] as const;

/** Works until the signal aborts, then finishes the keys in hand. Throws when the caches do not fill in time. */
export async function runController(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  const { name, queue, log } = options;
  for (const result of RESULTS) reconcileTotal.inc({ controller: name, result }, 0);
  for (const counter of [reconcileErrors, terminalReconcileErrors, reconcilePanics, reconcileTimeouts]) counter.inc({ controller: name }, 0);
  maxConcurrentReconciles.set({ controller: name }, options.workers);
  await waitForCaches(options.caches, options.syncTimeoutMs ?? SYNC_MS, signal);
  if (signal.aborted) return;
  log.info({ controller: name, workers: options.workers }, 'controller started');
  signal.addEventListener('abort', () => queue.shutDown(), { once: true });
  await Promise.all(Array.from({ length: options.workers }, () => work(options, signal)));
  log.info({ controller: name }, 'controller stopped');
}

/** Resolves when every cache holds a full list or the signal aborts. Throws naming those that do not within the time. */
export async function waitForCaches(caches: readonly Cache[], timeoutMs: number, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const missing = caches.filter((cache) => !cache.hasSynced);
    if (missing.length === 0 || signal.aborted) return;
    if (Date.now() > deadline) throw new Error(`no full list within ${timeoutMs} ms of: ${missing.map((cache) => cache.resource.plural).join(', ')}`);
    await sleep(20, signal);
  }
}

async function work(options: ControllerOptions, signal: AbortSignal): Promise<void> {
  for (let key = await options.queue.get(); key !== undefined; key = await options.queue.get()) {
    activeWorkers.inc({ controller: options.name });
    await reconcileOne(options, key, signal);
    activeWorkers.dec({ controller: options.name });
    options.queue.done(key);
    // Thousands of runs at rest, read from caches alone, would else keep leases, probes and trainers waiting.
    await setImmediate();
  }
}

async function reconcileOne(options: ControllerOptions, key: string, signal: AbortSignal): Promise<void> {
  const { name, queue } = options;
  const about = { ...splitKey(key), ...options.fieldsOf?.(key) };
  const reconcileId = randomUUID();
  const log = options.log.child({ controller: name, ...about, reconcileId });
  const stopTimer = reconcileSeconds.startTimer({ controller: name });
  const late = setTimeout(() => {
    reconcileTimeouts.inc({ controller: name });
    log.warn({ afterMs: LATE_MS }, 'reconcile takes very long');
  }, LATE_MS);
  const outcome = await inSpan(`reconcile ${name}`, { controller: name, reconcileId, ...attributesOf(about) }, async (span) => {
    const ended = await outcomeOf(options, key, { log, signal });
    if ('error' in ended) span.fail(ended.error);
    return ended;
  });
  stopTimer();
  clearTimeout(late);
  if ('error' in outcome) {
    if (signal.aborted) log.info({ err: outcome.error }, 'reconcile given up, this replica stops or no longer leads');
    else afterError(options, key, outcome.error, log);
    return;
  }
  queue.forget(key);
  const { requeueAfterMs } = outcome.result;
  if (requeueAfterMs !== undefined) queue.addAfter(key, requeueAfterMs);
  reconcileTotal.inc({ controller: name, result: requeueAfterMs === undefined ? 'success' : 'requeue_after' });
}

async function outcomeOf(options: ControllerOptions, key: string, context: ReconcileContext): Promise<{ result: Result } | { error: Error }> {
  try {
    return { result: await options.reconcile(key, context) };
  } catch (thrown) {
    if (thrown instanceof Error) return { error: thrown };
    reconcilePanics.inc({ controller: options.name });
    return { error: new Error(`reconcile threw ${typeof thrown}: ${String(thrown)}`) };
  }
}

function afterError(options: ControllerOptions, key: string, error: Error, log: Log): void {
  const { name, queue } = options;
  if (isConflict(error)) {
    // Somebody else wrote first; what they wrote is on its way to the cache.
    log.debug({ err: error }, 'object changed meanwhile, trying again');
    reconcileTotal.inc({ controller: name, result: 'requeue' });
    queue.addRateLimited(key);
    return;
  }
  reconcileTotal.inc({ controller: name, result: 'error' });
  reconcileErrors.inc({ controller: name });
  if (error instanceof TerminalError) {
    terminalReconcileErrors.inc({ controller: name });
    queue.forget(key);
    log.error({ err: error }, 'reconcile failed for good');
    return;
  }
  const retryInMs = queue.addRateLimited(key);
  log.error({ err: error, retryInMs, failures: queue.failures(key) }, 'reconcile failed');
}
