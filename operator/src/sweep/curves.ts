// Validation curves of running points, which no cache keeps: asked for once after each validation, and only where runs are compared.
import type { RunStatus } from '../api/status.ts';
import type { StoredRun } from '../run/caches.ts';
import type { KubeClient } from '../runtime/client.ts';
import { eachLive } from './live.ts';
import type { SweepRun } from './observed.ts';
import { curvePoints } from './records.ts';

type Compared = Pick<SweepRun, 'curve' | 'valLossStandardError'>;

const MOST_REMEMBERED = 2000;

export class Curves {
  readonly #known = new Map<string, { readonly mark: string; readonly compared: Compared }>();

  /** The runs with their curves; those that have not been validated yet come back as they are. */
  async of(client: KubeClient, namespace: string, runs: readonly SweepRun[]): Promise<readonly SweepRun[]> {
    const due = runs.filter((run) => markOf(run) !== '' && this.#known.get(run.uid)?.mark !== markOf(run));
    await eachLive(client, namespace, due, (run, live) => { if (live !== undefined) this.#keep(run, live); });
    return runs.map((run) => ({ ...run, ...this.#known.get(run.uid)?.compared }));
  }

  #keep(run: SweepRun, live: StoredRun): void {
    this.#known.delete(run.uid);
    this.#known.set(run.uid, { mark: markOf(run), compared: comparedOf(live.status ?? {}) });
    const oldest = this.#known.keys().next();
    if (this.#known.size > MOST_REMEMBERED && oldest.done !== true) this.#known.delete(oldest.value);
  }
}

function comparedOf({ validation = {}, curve = [] }: RunStatus): Compared {
  const error = Number(validation.seenPolicies?.lossStandardError ?? 'NaN');
  return { curve: curvePoints(curve), ...(Number.isFinite(error) ? { valLossStandardError: error } : {}) };
}

/** Changes with every validation. */
function markOf({ status: { progress = {}, attempt = 0 } }: SweepRun): string {
  return progress.valLoss === undefined || progress.stage === 'WarmStart' ? '' : `${attempt} ${progress.valLoss}`;
}
