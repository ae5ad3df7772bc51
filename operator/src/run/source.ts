// The pre-train run that another run starts from: which one and which checkpoint its spec asks for, and what is there.
import type { RunStatus } from '../api/status.ts';
import { isTrue } from './objects.ts';
import type { RunSpec, Source } from './observed.ts';

export type Asked = Pick<Source, 'name' | 'field' | 'which'>;

export interface StoredSource {
  readonly status: RunStatus;
  /** Step of the last checkpoint that its pods' last words name. */
  readonly saidStep: number | undefined;
}

/** What a spec asks for; undefined when it names no pre-train run. */
export function askedOf(run: RunSpec): Asked | undefined {
  if (run.kind === 'PolarFinetune') {
    const { pretrainRef, checkpoint } = run.spec.init;
    return pretrainRef && { name: pretrainRef.name, field: 'spec.init.pretrainRef.name', which: checkpoint };
  }
  const { pretrainRef, step = 'latest' } = run.spec.resumeFrom ?? {};
  return pretrainRef && { name: pretrainRef.name, field: 'spec.resumeFrom.pretrainRef.name', which: step };
}

/** What is there; once the run has started from a checkpoint, that one, whatever became of the other run. */
export function sourceFrom(asked: Asked, startedFrom: RunStatus['startedFrom'], stored: StoredSource | undefined): Source {
  if (startedFrom !== undefined) return { ...asked, exists: true, complete: true, checkpoint: startedFrom };
  if (stored === undefined) return { ...asked, exists: false, complete: false };
  const { conditions, checkpoints } = stored.status;
  return {
    ...asked, exists: true, complete: isTrue(conditions, 'Complete') !== undefined, failed: isTrue(conditions, 'Failed')?.message,
    checkpoint: isBehind(stored) ? undefined : checkpointOf(checkpoints, asked.which),
    kept: isBehind(stored) ? undefined : checkpoints?.history?.map(({ step }) => step),
  };
}

/** After an absence of the operator a run may be complete before its last words are in its status: an older checkpoint may be removed already. */
function isBehind({ status, saidStep }: StoredSource): boolean {
  const latest = status.checkpoints?.latest;
  return latest !== undefined && saidStep !== undefined && latest.step < saidStep;
}

function checkpointOf(checkpoints: RunStatus['checkpoints'], which: Source['which']): Source['checkpoint'] {
  if (typeof which === 'number') return checkpoints?.history?.find(({ step }) => step === which);
  return checkpoints?.[which] ?? checkpoints?.latest;
}
