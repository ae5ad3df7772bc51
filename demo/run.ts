// Follows a run's status until it is Complete or Failed: a line for every validation, change of stage and few seconds.
import type { Condition, RunStatus } from '../operator/src/api/status.ts';
import type { Kubectl } from './kubectl.ts';

export interface Run { readonly kind: string; readonly metadata: { readonly name: string }; readonly status?: RunStatus }

const POLL_MS = 1000;
const QUIET_SECONDS = 5;

const condition = (run: Run, type: string): Condition | undefined => run.status?.conditions?.find((each) => each.type === type);

const shown = (value: string | number | undefined): string => String(value ?? '-');
const UNREMARKABLE = new Set(['Valid', 'NotStalled']);

function waitingLine(run: Run): string {
  const waiting = ['Stalled', 'Accepted', 'PodsReady'].map((type) => condition(run, type)).find((each) => each !== undefined && !UNREMARKABLE.has(each.reason));
  const { phase = 'Pending' } = run.status ?? {};
  return waiting === undefined ? `${phase}  waiting for the operator` : `${phase}  ${waiting.reason}  ${waiting.message}`;
}

function progressLine(run: Run): string {
  const { progress, phase, attempt } = run.status ?? {};
  if (progress === undefined) return waitingLine(run);
  return [
    `${shown(phase)} attempt ${shown(attempt)}`, `${shown(progress.stage)} ${shown(progress.step)}/${shown(progress.totalSteps)}`,
    `loss ${shown(progress.trainLoss)}`, `val loss ${shown(progress.valLoss)}`, `val acc ${shown(progress.valAccuracy)}`,
    `${shown(progress.tokensPerSecond)} tokens/s`, `eta ${shown(progress.etaSeconds)} s`,
  ].join('  ');
}

/** True when the run is Complete. Throws with the condition's reason and message when it failed. */
function isComplete(run: Run): boolean {
  const failed = condition(run, 'Failed');
  if (failed?.status === 'True') throw new Error(`${run.kind}/${run.metadata.name} failed: ${failed.reason}: ${failed.message}`);
  return condition(run, 'Complete')?.status === 'True';
}

/** What must be shown at once when it changes. */
const milestone = ({ status }: Run): string => [status?.phase, status?.attempt, status?.progress?.stage, status?.progress?.valLoss].join();

/** Follows a run to its end. Rejects with the condition's message when the run fails or `seconds` pass. */
export async function follow(kubectl: Kubectl, kind: string, name: string, seconds: number): Promise<Run> {
  const t0 = performance.now();
  let shown = { line: '', milestone: '', at: -Infinity };
  for (;;) {
    const run = await kubectl.get<Run>(kind, name);
    if (run === undefined) throw new Error(`${kind}/${name} is gone`);
    const elapsed = (performance.now() - t0) / 1000;
    const now = { line: progressLine(run), milestone: milestone(run), at: elapsed };
    if (now.milestone !== shown.milestone || (now.line !== shown.line && elapsed - shown.at >= QUIET_SECONDS)) {
      console.log(`  ${elapsed.toFixed(0).padStart(4)} s  ${kind}/${name}  ${now.line}`);
      shown = now;
    }
    if (isComplete(run)) return run;
    if (elapsed > seconds) throw new Error(`${kind}/${name} is not Complete after ${String(seconds)} s; it was: ${now.line}`);
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
