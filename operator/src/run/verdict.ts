// What a check decides.
import type { Reason } from '../api/reasons.ts';
import type { Action } from '../runtime/apply.ts';
import type { StopRequest } from './stopping.ts';
import type { RegistryRecord } from './registry.ts';

export interface Verdict {
  /** Performed in order; nothing when absent. */
  readonly actions?: readonly Action[];
  /** The next attempt is to begin: written to status before anything of it is created. */
  readonly begins?: 'first' | 'charged' | 'free';
  /** The workers of the attempt are asked to save a checkpoint and stop: written to status before its Job is touched. */
  readonly stops?: StopRequest;
  /** The run is over. */
  readonly ends?: { readonly type: 'Complete' | 'Failed'; readonly reason: Reason; readonly message: string };
  readonly progressing: { readonly status: 'True' | 'False'; readonly reason: Reason; readonly message: string };
  /** A task of the checkpoint registry has ended. */
  readonly registered?: RegistryRecord;
  readonly requeueAfterMs?: number | undefined;
}
